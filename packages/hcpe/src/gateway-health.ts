/**
 * Which gateways serve. Workers notice failures on live connections; a gateway that failed is asked with a Convert Info
 * message (RFC 8803 section 6.2.3) until it answers, and is used again then.
 */
import { describeError } from "@hybrid-access/core/base/error";
import { type Endpoint, formatEndpoint, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type { Logger } from "@hybrid-access/core/services/log";
import { GATEWAY_DOWN, GATEWAY_UP } from "./carrier-setup.ts";
import { askInfo } from "./probe.ts";

const PROBE_INTERVAL_MS = 1000;

export interface GatewayStatus {
  readonly gateway: string;
  readonly up: boolean;
  readonly reason: string | null;
}

export class GatewayHealth {
  readonly #gateways: readonly Endpoint[];
  readonly #states: Int32Array;
  readonly #reasons = new Map<number, string>();
  readonly #probing = new Map<number, NodeJS.Timeout | undefined>();
  readonly #answeredAtMs = new Map<number, number>();
  readonly #sourcesFor: (peer: IpAddress) => readonly (IpAddress | undefined)[];
  readonly #log: Logger;
  #stopped = false;

  /** `memory` is shared with the workers; `sourcesFor` gives the addresses to ask from, one for each uplink. */
  constructor(
    gateways: readonly Endpoint[],
    memory: SharedArrayBuffer,
    sourcesFor: (peer: IpAddress) => readonly (IpAddress | undefined)[],
    log: Logger,
  ) {
    this.#gateways = gateways;
    this.#states = new Int32Array(memory);
    this.#sourcesFor = sourcesFor;
    this.#log = log;
  }

  static createMemory(gateways: number): SharedArrayBuffer {
    return new SharedArrayBuffer(gateways * Int32Array.BYTES_PER_ELEMENT);
  }

  status(): GatewayStatus[] {
    return this.#gateways.map((endpoint, gateway) => ({
      gateway: formatEndpoint(endpoint),
      up: Atomics.load(this.#states, gateway) === GATEWAY_UP,
      reason: this.#reasons.get(gateway) ?? null,
    }));
  }

  /** A worker could not use a gateway: it stays down until it answers a probe. */
  onDown(gateway: number, reason: string): void {
    Atomics.store(this.#states, gateway, GATEWAY_DOWN);
    if (!this.#probing.has(gateway)) {
      this.#log.warn({ gateway: this.#name(gateway), reason }, "gateway down, connections go direct");
    }
    this.#reasons.set(gateway, reason);
    this.#startProbing(gateway);
  }

  /**
   * A gateway failed one connection, or keeps it waiting: that may concern one destination only. A probe tells; while it
   * fails the gateway is down. Slow servers must not turn into a stream of probes: one that has just been answered counts.
   */
  onDoubtful(gateway: number, reason: string): void {
    this.#log.debug({ gateway: this.#name(gateway), reason }, "gateway failed a connection");
    const answeredAtMs = this.#answeredAtMs.get(gateway) ?? Number.NEGATIVE_INFINITY;
    if (performance.now() - answeredAtMs >= PROBE_INTERVAL_MS) this.#startProbing(gateway);
  }

  #name(gateway: number): string {
    const endpoint = this.#gateways[gateway];
    return endpoint === undefined ? String(gateway) : formatEndpoint(endpoint);
  }

  #startProbing(gateway: number): void {
    if (this.#probing.has(gateway) || this.#stopped) return;
    this.#probing.set(gateway, undefined);
    void this.#probe(gateway);
  }

  async #probe(gateway: number): Promise<void> {
    const endpoint = this.#gateways[gateway];
    if (endpoint === undefined) return;
    const failure = await askOverAll(endpoint, this.#sourcesFor(endpoint.address));
    if (this.#stopped) return;
    if (failure === undefined) {
      this.#answeredAtMs.set(gateway, performance.now());
      const wasDown = Atomics.exchange(this.#states, gateway, GATEWAY_UP) === GATEWAY_DOWN;
      this.#reasons.delete(gateway);
      this.#probing.delete(gateway);
      if (wasDown) this.#log.info({ gateway: this.#name(gateway) }, "gateway up");
      return;
    }
    if (Atomics.exchange(this.#states, gateway, GATEWAY_DOWN) === GATEWAY_UP) {
      this.#log.warn({ gateway: this.#name(gateway), reason: failure }, "gateway down, connections go direct");
    }
    this.#reasons.set(gateway, failure);
    this.#probing.set(
      gateway,
      setTimeout(() => void this.#probe(gateway), PROBE_INTERVAL_MS),
    );
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#probing.values()) clearTimeout(timer);
  }
}

/** Asks over every uplink at once. Undefined when the gateway answered over one; otherwise why not over the first. */
async function askOverAll(gateway: Endpoint, sources: readonly (IpAddress | undefined)[]): Promise<string | undefined> {
  const asked = sources.map(async (source) => {
    const failure = await askInfo(gateway, source);
    if (failure !== undefined) throw new Error(failure);
  });
  try {
    await Promise.any(asked);
    return undefined;
  } catch (error) {
    return describeError((error as AggregateError).errors[0]);
  }
}
