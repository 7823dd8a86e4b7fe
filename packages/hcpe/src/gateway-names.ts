/**
 * Follows the DNS names of gateways: asked for again when the answer has expired, within bounds. A name that is not
 * answered keeps the addresses it had.
 */
import { Resolver } from "node:dns/promises";
import { describeError } from "@hybrid-access/core/base/error";
import {
  type Endpoint,
  formatEndpoint,
  formatIpAddress,
  type IpAddress,
  parseIpAddress,
} from "@hybrid-access/core/base/ip-address";
import type { Logger } from "@hybrid-access/core/services/log";
import { isPossibleGateway } from "./gateway-host.ts";

/** An answer is used for as long as it says, within these. */
const SHORTEST_MS = 1000;
const LONGEST_MS = 300_000;
/** After no answer. */
const RETRY_MS = 5000;
const QUERY_MS = 1000;
const QUERY_TRIES = 2;

export interface NamesOptions {
  readonly names: readonly string[];
  /** Without any, those of the host. */
  readonly resolvers: readonly Endpoint[];
  readonly onAddresses: (name: string, addresses: readonly IpAddress[]) => void;
  readonly log: Logger;
}

interface Answer {
  readonly addresses: readonly IpAddress[];
  readonly lifeMs: number;
}

export class GatewayNames {
  readonly #options: NamesOptions;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #failing = new Set<string>();
  #stopped = false;

  constructor(options: NamesOptions) {
    this.#options = options;
  }

  start(): void {
    for (const name of this.#options.names) void this.#follow(name);
  }

  async #follow(name: string): Promise<void> {
    const { onAddresses, log } = this.#options;
    let nextMs = RETRY_MS;
    try {
      const { addresses, lifeMs } = await this.#resolve(name);
      if (this.#stopped) return;
      this.#failing.delete(name);
      nextMs = lifeMs;
      onAddresses(name, addresses);
    } catch (error) {
      if (this.#stopped) return;
      const detail = describeError(error);
      if (!this.#failing.has(name)) log.warn({ name, detail }, "gateway's name is not answered; its addresses stay");
      this.#failing.add(name);
    }
    this.#timers.set(
      name,
      setTimeout(() => void this.#follow(name), nextMs),
    );
  }

  /** Both families; one of them may have no address. Rejects when there is none at all. */
  async #resolve(name: string): Promise<Answer> {
    // A new one each time: the host's servers may have changed.
    const resolver = new Resolver({ timeout: QUERY_MS, tries: QUERY_TRIES });
    const { resolvers, log } = this.#options;
    if (resolvers.length > 0) resolver.setServers(resolvers.map(formatEndpoint));
    const settled = await Promise.allSettled([
      resolver.resolve4(name, { ttl: true }),
      resolver.resolve6(name, { ttl: true }),
    ]);
    const records = settled.flatMap((one) => (one.status === "fulfilled" ? one.value : []));
    const addresses = records.flatMap(({ address }) => parseIpAddress(address) ?? []);
    const possible = addresses.filter(isPossibleGateway);
    if (possible.length < addresses.length) {
      const refused = addresses.filter((address) => !isPossibleGateway(address)).map(formatIpAddress);
      log.warn({ name, refused }, "a gateway's name has addresses that no gateway can have");
    }
    if (possible.length === 0) {
      const failed = settled.find((one) => one.status === "rejected");
      throw failed?.reason ?? new Error("no address that a gateway can have");
    }
    const lifeMs = 1000 * Math.min(...records.map(({ ttl }) => ttl));
    return { addresses: possible, lifeMs: Math.min(LONGEST_MS, Math.max(SHORTEST_MS, lifeMs)) };
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }
}
