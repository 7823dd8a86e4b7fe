/**
 * From what the kernel says of every subflow, at two moments, to what each uplink did in between. Pure. Subflows that
 * have ended stay in the sums of their connection and uplink; what one carried after the last look is not in them.
 */
import type { IpAddress } from "@hybrid-access/core/base/ip-address";
import type { SubflowDiagnostics } from "@hybrid-access/core/platform/netlink/socket-diagnostics";
import type { DirectionSample, QualitySample } from "@hybrid-access/core/policy/uplink-quality";

/** What the subflows over one uplink did since the look before. */
export interface UplinkTraffic {
  readonly sample: QualitySample;
  /** The least round-trip time that one of them has seen; undefined when none has. */
  readonly leastRttMs: number | undefined;
  /** Open now. */
  readonly subflows: number;
}

/** Subflows of a connection that have ended. */
export interface EndedSubflows {
  count: number;
  bytesUp: number;
  bytesDown: number;
}

interface Known {
  subflow: SubflowDiagnostics;
  readonly uplink: string;
}

/** A connection may be without subflows for as long as the kernel keeps it (net.mptcp.close_timeout, 60 s). */
const FORGET_MS = 120_000;

export class TrafficMeter {
  #known = new Map<number, Known>();
  readonly #ended = new Map<number, EndedSubflows & { seenMs: number }>();
  #lastMs: number | undefined;

  /** Takes a look. `uplinkOf` names the uplink of a local address; subflows of other addresses are ignored. */
  update(
    subflows: readonly SubflowDiagnostics[],
    uplinkOf: (address: IpAddress) => string | undefined,
    nowMs: number,
  ): Map<string, UplinkTraffic> {
    const durationMs = Math.max(1, nowMs - (this.#lastMs ?? nowMs));
    this.#lastMs = nowMs;
    const sums = new Map<string, Sum>();
    const before = this.#known;
    this.#known = new Map();
    for (const subflow of subflows) {
      const previous = before.get(subflow.cookie);
      const uplink = previous?.uplink ?? uplinkOf(subflow.local.address);
      if (uplink === undefined) continue;
      before.delete(subflow.cookie);
      this.#known.set(subflow.cookie, { subflow, uplink });
      const sum = sums.get(uplink) ?? new Sum();
      sums.set(uplink, sum);
      sum.add(subflow, previous?.subflow);
      const ended = this.#ended.get(subflow.token);
      if (ended !== undefined) ended.seenMs = nowMs;
    }
    for (const { subflow } of before.values()) this.#end(subflow, nowMs);
    for (const [token, { seenMs }] of this.#ended) if (nowMs - seenMs > FORGET_MS) this.#ended.delete(token);
    return new Map(Array.from(sums, ([uplink, sum]) => [uplink, sum.traffic(durationMs)]));
  }

  #end({ token, bytesAcknowledged, bytesReceived }: SubflowDiagnostics, nowMs: number): void {
    const ended = this.#ended.get(token) ?? { count: 0, bytesUp: 0, bytesDown: 0, seenMs: nowMs };
    ended.count += 1;
    ended.bytesUp += bytesAcknowledged;
    ended.bytesDown += bytesReceived;
    ended.seenMs = nowMs;
    this.#ended.set(token, ended);
  }

  /** The uplink that a subflow began on; it may have lost the address since. */
  uplinkOf({ cookie }: SubflowDiagnostics): string | undefined {
    return this.#known.get(cookie)?.uplink;
  }

  /** What the ended subflows of a connection carried. */
  ended(token: number): Readonly<EndedSubflows> {
    const { count, bytesUp, bytesDown } = this.#ended.get(token) ?? { count: 0, bytesUp: 0, bytesDown: 0 };
    return { count, bytesUp, bytesDown };
  }
}

/** What the kernel says before a first measurement: 2^32 - 1 us. */
const UNKNOWN_RTT_MS = 4_294_967;

/** The sum over the subflows of one uplink. */
class Sum {
  readonly #down = new DirectionSum();
  readonly #up = new DirectionSum();
  #timeouts = 0;
  #subflows = 0;
  #leastRttMs = Number.POSITIVE_INFINITY;

  add(now: SubflowDiagnostics, before: SubflowDiagnostics | undefined): void {
    const since = (field: keyof SubflowDiagnostics & NumberField) => now[field] - (before?.[field] ?? 0);
    this.#subflows += 1;
    if (now.leastRttMs > 0) this.#leastRttMs = Math.min(this.#leastRttMs, now.leastRttMs);
    this.#down.add(
      since("bytesReceived"),
      since("dataSegmentsReceived"),
      since("segmentsOutOfOrder"),
      now.receiveRttMs > 0 ? now.receiveRttMs : now.rttMs,
    );
    this.#up.add(since("bytesAcknowledged"), since("dataSegmentsSent"), since("segmentsRetransmitted"), now.rttMs);
    // A handshake without an answer may be the gateway's fault.
    if (now.state !== "SYN-SENT") this.#timeouts = Math.max(this.#timeouts, now.timeouts);
  }

  traffic(durationMs: number): UplinkTraffic {
    return {
      sample: {
        durationMs,
        down: this.#down.sample(),
        up: this.#up.sample(),
        timeouts: this.#timeouts,
      },
      leastRttMs: this.#leastRttMs < UNKNOWN_RTT_MS ? this.#leastRttMs : undefined,
      subflows: this.#subflows,
    };
  }
}

type NumberField =
  | "bytesReceived"
  | "bytesAcknowledged"
  | "dataSegmentsReceived"
  | "dataSegmentsSent"
  | "segmentsOutOfOrder"
  | "segmentsRetransmitted";

class DirectionSum {
  #bytes = 0;
  #segments = 0;
  #troubled = 0;
  #weightedRttMs = 0;

  /** The round-trip time of a subflow counts by its segments: one that carried nothing has an old one. */
  add(bytes: number, segments: number, troubled: number, rttMs: number): void {
    this.#bytes += bytes;
    this.#segments += segments;
    this.#troubled += troubled;
    this.#weightedRttMs += segments * rttMs;
  }

  sample(): DirectionSample {
    return {
      bytes: this.#bytes,
      segments: this.#segments,
      troubledSegments: Math.min(this.#troubled, this.#segments),
      rttMs: this.#segments > 0 && this.#weightedRttMs > 0 ? this.#weightedRttMs / this.#segments : undefined,
    };
  }
}
