/**
 * Subflows that stand still while their connection goes on (RFC 8041 section 2.2, INFOCOM14): what they have in flight was
 * acknowledged over another subflow, and they retransmit it all the same. Such a subflow is better replaced by a fresh one.
 */
import { type Endpoint, endpointKey } from "../../base/ip-address.ts";

/** One subflow, as sampled. */
export interface SubflowSample {
  readonly token: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Sent and not acknowledged by the peer's TCP. */
  readonly inFlightBytes: number;
  /** Acknowledged by the peer's TCP since the subflow began. */
  readonly acknowledgedBytes: number;
  /** The retransmission timeout (RFC 6298), without its doublings. */
  readonly rtoMs: number;
}

/** A subflow stands still after so many retransmission timeouts without an acknowledgement. */
export const STALL_TIMEOUTS = 4;

interface Watched {
  readonly sample: SubflowSample;
  /** When something was last acknowledged; when the subflow was first seen. */
  readonly acknowledgedMs: number;
  /** The same, or when nothing was in flight: there was nothing to acknowledge. */
  readonly progressMs: number;
}

/** Compares samples with the ones before; remembers one entry for each subflow of the last samples. */
export class StallDetector {
  #watched = new Map<string, Watched>();

  /** Takes a sample of every subflow, and gives those that stand still while another one of their connection moves. */
  update(samples: readonly SubflowSample[], nowMs: number): SubflowSample[] {
    const watched = new Map(samples.map((sample) => [keyOf(sample), this.#follow(sample, nowMs)]));
    this.#watched = watched;
    const lastMovedMs = new Map<number, number>();
    for (const { sample, acknowledgedMs } of watched.values()) {
      lastMovedMs.set(sample.token, Math.max(acknowledgedMs, lastMovedMs.get(sample.token) ?? acknowledgedMs));
    }
    return Array.from(watched.values())
      .filter(({ sample: { token, rtoMs }, progressMs }) => {
        const quietMs = nowMs - (lastMovedMs.get(token) ?? nowMs);
        return nowMs - progressMs > STALL_TIMEOUTS * rtoMs && quietMs <= rtoMs;
      })
      .map(({ sample }) => sample);
  }

  #follow(sample: SubflowSample, nowMs: number): Watched {
    const before = this.#watched.get(keyOf(sample));
    const moved = before === undefined || sample.acknowledgedBytes > before.sample.acknowledgedBytes;
    const acknowledgedMs = moved ? nowMs : before.acknowledgedMs;
    const progressMs = moved || sample.inFlightBytes === 0 ? nowMs : before.progressMs;
    return { sample, acknowledgedMs, progressMs };
  }
}

function keyOf({ token, local, remote }: SubflowSample): string {
  return `${token} ${endpointKey(local)} ${endpointKey(remote)}`;
}
