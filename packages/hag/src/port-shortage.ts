/**
 * Toward which servers no port was free a moment ago. The kernel looks at every port before it says so, which takes
 * milliseconds of the worker's time (docs/limits.md): whoever goes on asking must not cost them each time. Pure.
 */
import { addressKey, type Endpoint, endpointKey, type IpAddress } from "@hybrid-access/core/base/ip-address";

/** How long it is taken for granted. A port that becomes free meanwhile is not missed. */
const PAUSE_MS = 100;
/** Servers with all ports in use at once; each takes tens of thousands of connections. */
const MOST_SERVERS = 64;

export class PortShortage {
  /** When it ends, by source and server; the one noted first goes first. */
  readonly #untilMs = new Map<string, number>();

  /** No port of `source` (the host's own address when undefined) was free toward `server`. */
  note(source: IpAddress | undefined, server: Endpoint, nowMs: number): void {
    const key = keyOf(source, server);
    this.#untilMs.delete(key);
    this.#untilMs.set(key, nowMs + PAUSE_MS);
    const [oldest] = this.#untilMs.keys();
    if (this.#untilMs.size > MOST_SERVERS && oldest !== undefined) this.#untilMs.delete(oldest);
  }

  /** Whether that is so lately that asking again is of no use. */
  holds(source: IpAddress | undefined, server: Endpoint, nowMs: number): boolean {
    if (this.#untilMs.size === 0) return false;
    const key = keyOf(source, server);
    const untilMs = this.#untilMs.get(key);
    if (untilMs === undefined) return false;
    if (nowMs < untilMs) return true;
    this.#untilMs.delete(key);
    return false;
  }
}

function keyOf(source: IpAddress | undefined, server: Endpoint): string {
  return endpointKey(server) + (source === undefined ? "" : addressKey(source));
}
