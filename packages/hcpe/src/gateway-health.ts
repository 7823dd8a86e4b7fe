/**
 * Which gateways serve. Workers notice failures on live connections; a gateway that failed is asked with a Convert Info
 * message (RFC 8803 section 6.2.3) until it answers, and is used again then.
 */

import { once } from "node:events";
import { connect } from "node:net";
import { describeError } from "@hybrid-access/core/base/error";
import { type Endpoint, formatEndpoint, formatIpAddress, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type { Logger } from "@hybrid-access/core/services/log";
import { errorName } from "@hybrid-access/core/wire/convert/codes";
import { emitConvertMessage, findTlv, parseConvertMessage } from "@hybrid-access/core/wire/convert/message";
import { GATEWAY_DOWN, GATEWAY_UP } from "./carrier.ts";

const PROBE_INTERVAL_MS = 1000;
const PROBE_TIMEOUT_MS = 2000;

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
  readonly #sourceFor: (peer: IpAddress) => IpAddress | undefined;
  readonly #log: Logger;
  #stopped = false;

  /** `memory` is shared with the workers; `sourceFor` gives the address to ask from. */
  constructor(
    gateways: readonly Endpoint[],
    memory: SharedArrayBuffer,
    sourceFor: (peer: IpAddress) => IpAddress | undefined,
    log: Logger,
  ) {
    this.#gateways = gateways;
    this.#states = new Int32Array(memory);
    this.#sourceFor = sourceFor;
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
   * A gateway refused one connection: that may concern one destination only. A probe tells; while it fails the gateway
   * is down.
   */
  onRefused(gateway: number, reason: string): void {
    this.#log.debug({ gateway: this.#name(gateway), reason }, "gateway refused a connection");
    this.#startProbing(gateway);
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
    const failure = await askInfo(endpoint, this.#sourceFor(endpoint.address));
    if (this.#stopped) return;
    if (failure === undefined) {
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

/** Asks a gateway for its extensions. Undefined when it answered; otherwise why it does not serve. */
async function askInfo({ address, port }: Endpoint, source: IpAddress | undefined): Promise<string | undefined> {
  const socket = connect({
    host: formatIpAddress(address),
    port,
    ...(source && { localAddress: formatIpAddress(source) }),
  });
  const timer = setTimeout(() => socket.destroy(new Error("no answer in time")), PROBE_TIMEOUT_MS);
  try {
    await once(socket, "connect");
    socket.write(emitConvertMessage([{ type: "info" }]));
    let received = new Uint8Array();
    for await (const chunk of socket) {
      received = Buffer.concat([received, chunk as Uint8Array]);
      const result = parseConvertMessage(received);
      if (result.outcome === "incomplete") continue;
      if (result.outcome !== "message") return "its answer is no Convert message";
      const error = findTlv(result.message, "error");
      // A gateway that asks for a cookie serves those who have one.
      return error === undefined || errorName(error.code) === "missingCookie" ? undefined : errorName(error.code);
    }
    return "it closed without an answer";
  } catch (error) {
    return describeError(error);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
