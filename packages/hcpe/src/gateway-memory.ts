/** What a worker has learnt of gateways, by their place in the list, and goes by for a while. */
import { fastOpenKey, type Opening } from "./opening.ts";

/** The control plane is asked to probe a gateway at most so often. */
const DOUBT_PAUSE_MS = 500;
/** How long a way on which data in the SYN did not get through goes without; then one connection tries again. */
const FAST_OPEN_PAUSE_MS = 600_000;
/** How long a gateway that does not know the Subflow Limit TLV is not asked; then one connection asks again. */
const SUBFLOW_LIMIT_PAUSE_MS = 600_000;

export class GatewayMemory {
  readonly #doubtedAtMs = new Map<number, number>();
  /** By gateway and uplink: when Fast Open last cost a connection its Multipath TCP. */
  readonly #fastOpenFailedAtMs = new Map<string, number>();
  readonly #limitUnknownAtMs = new Map<number, number>();
  /** How many subflows it allows, as the control plane was told. */
  readonly #subflowLimits = new Map<number, number>();

  /** Whether the control plane is to be asked to probe it. Thousands of connections may doubt at once: they ask together. */
  doubt(gateway: number, nowMs: number): boolean {
    if (nowMs - (this.#doubtedAtMs.get(gateway) ?? Number.NEGATIVE_INFINITY) < DOUBT_PAUSE_MS) return false;
    this.#doubtedAtMs.set(gateway, nowMs);
    return true;
  }

  /**
   * Where the gateway's host, or something before it, does not take data in the SYN, Linux sends it again as plain TCP,
   * and the connection has one subflow for its life: a dear price for a round trip.
   */
  mayOpenFast(opening: Opening, nowMs: number): boolean {
    const failedAtMs = this.#fastOpenFailedAtMs.get(fastOpenKey(opening)) ?? Number.NEGATIVE_INFINITY;
    return nowMs - failedAtMs >= FAST_OPEN_PAUSE_MS;
  }

  fastOpenFailed(opening: Opening, nowMs: number): void {
    this.#fastOpenFailedAtMs.set(fastOpenKey(opening), nowMs);
  }

  mayAskForLimit(gateway: number, nowMs: number): boolean {
    return nowMs - (this.#limitUnknownAtMs.get(gateway) ?? Number.NEGATIVE_INFINITY) >= SUBFLOW_LIMIT_PAUSE_MS;
  }

  limitUnknown(gateway: number, nowMs: number): void {
    this.#limitUnknownAtMs.set(gateway, nowMs);
  }

  /** Whether the control plane is to be told what it allows: one that allows what we do, as before, changes nothing. */
  learnLimit(gateway: number, subflows: number, own: number): boolean {
    const told = this.#subflowLimits.get(gateway) ?? own;
    if (subflows >= own && told >= own) return false;
    this.#subflowLimits.set(gateway, subflows);
    return true;
  }

  /** Another gateway has its place. */
  forget(gateway: number): void {
    for (const map of [this.#doubtedAtMs, this.#limitUnknownAtMs, this.#subflowLimits]) map.delete(gateway);
    for (const key of this.#fastOpenFailedAtMs.keys()) {
      if (key.startsWith(`${gateway} `)) this.#fastOpenFailedAtMs.delete(key);
    }
  }
}
