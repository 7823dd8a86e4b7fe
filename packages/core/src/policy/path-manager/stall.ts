/**
 * Subflows that stand still while their connection goes on (RFC 8041 section 2.2, INFOCOM14): what they have in flight was
 * acknowledged over another subflow (DATA_ACK), and they retransmit it all the same. Such a subflow is better replaced by
 * a fresh one, which begins with new data. What the peer sends can be judged by the peer alone.
 */
import { endpointKey } from "../../base/ip-address.ts";
import type { PathSamples, SubflowSample } from "./samples.ts";

/** A subflow stands still after so many retransmission timeouts without an acknowledgement. */
export const STALL_TIMEOUTS = 4;

interface Watched {
  readonly sample: SubflowSample;
  /** When something was last acknowledged, when nothing was in flight, or when the subflow was first seen. */
  readonly progressMs: number;
  /** What its connection had sent by then: all that the subflow has in flight is among it. */
  readonly sentBytes: number;
}

/** Compares samples with the ones before; remembers one entry for each subflow of the last samples. */
export class StallDetector {
  #watched = new Map<string, Watched>();

  /**
   * Takes a sample of every subflow; gives those that stand still with nothing that the peer still lacks, where their
   * connection has another one.
   */
  update({ subflows, connections }: PathSamples, nowMs: number): readonly SubflowSample[] {
    const byToken = new Map(connections.map((connection) => [connection.token, connection]));
    const watched = new Map<string, Watched>();
    const stalled: SubflowSample[] = [];
    for (const sample of subflows) {
      const connection = byToken.get(sample.token);
      if (connection === undefined) continue;
      const entry = this.#follow(sample, connection.sentBytes, nowMs);
      watched.set(keyOf(sample), entry);
      // A kernel that counts no bytes of connections (before 6.5) proves nothing.
      const overtaken = entry.sentBytes > 0 && connection.acknowledgedBytes >= entry.sentBytes;
      if (overtaken && nowMs - entry.progressMs > STALL_TIMEOUTS * sample.rtoMs) stalled.push(sample);
    }
    this.#watched = watched;
    const moving = new Set(subflows.filter((sample) => !stalled.includes(sample)).map(({ token }) => token));
    return stalled.filter(({ token }) => moving.has(token));
  }

  #follow(sample: SubflowSample, sentBytes: number, nowMs: number): Watched {
    const before = this.#watched.get(keyOf(sample));
    const moved =
      before === undefined ||
      sample.inFlightSegments === 0 ||
      before.sample.inFlightSegments === 0 ||
      sample.acknowledgedBytes > before.sample.acknowledgedBytes;
    return moved ? { sample, progressMs: nowMs, sentBytes } : { ...before, sample };
  }
}

function keyOf({ token, local, remote }: SubflowSample): string {
  return `${token} ${endpointKey(local)} ${endpointKey(remote)}`;
}
