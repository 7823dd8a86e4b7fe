/**
 * The carrier: from an intercepted LAN connection to a relayed one. Opens Multipath TCP to a gateway with the Convert
 * message first, lets the client's first bytes follow, and begins to relay when the gateway has reached the server.
 * Without a gateway the connection goes direct.
 *
 * Going direct after all is only allowed while no byte of the client can have reached the server through the gateway: a
 * request must never arrive twice. Those bytes are therefore kept until the gateway has answered.
 */
import { concatBytes } from "@hybrid-access/core/base/bytes";
import { type Endpoint, familyOf, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type { Counters } from "@hybrid-access/core/dataplane/counters";
import { FAR, NEAR, type Relay } from "@hybrid-access/core/dataplane/relay";
import type { RelaySetup, WorkerContext, WorkerFront } from "@hybrid-access/core/dataplane/worker";
import type { WorkerReport } from "@hybrid-access/core/dataplane/worker-pool";
import { type Engine, READY, WOULD_BLOCK } from "@hybrid-access/core/engine/engine";
import { ERRNO, errnoName } from "@hybrid-access/core/platform/errno";
import type { Flow } from "@hybrid-access/core/policy/rules";
import { ERROR_CODE, errorName, MAX_MESSAGE_BYTES } from "@hybrid-access/core/wire/convert/codes";
import { emitConvertMessage, findTlv, parseConvertMessage } from "@hybrid-access/core/wire/convert/message";
import type { Tlv } from "@hybrid-access/core/wire/convert/tlv";

/** An uplink as a worker sees it: where connections leave from. The preferred one comes first. */
export interface UplinkSource {
  readonly name: string;
  readonly ipv4?: IpAddress;
  readonly ipv6?: IpAddress;
}

/** What the control plane gives a worker; plain data that crosses threads. */
export interface CarrierSetup {
  readonly relay: RelaySetup;
  /** Where TPROXY delivers. */
  readonly listen: readonly Endpoint[];
  readonly gateways: readonly Endpoint[];
  /** One word for each gateway, shared by all threads: {@link GATEWAY_UP} or {@link GATEWAY_DOWN}. */
  readonly gatewayStates: SharedArrayBuffer;
  readonly uplinks: readonly UplinkSource[];
  readonly gatewayMs: number;
  readonly replyMs: number;
  /** Whether the policy depends on what a connection is: then each one is reported ({@link FlowReport}). */
  readonly reportFlows: boolean;
}

/** What the control plane may say later. */
export type CarrierMessage =
  | { readonly type: "uplinks"; readonly uplinks: readonly UplinkSource[] }
  | { readonly type: "reportFlows"; readonly reportFlows: boolean }
  | { readonly type: "timeouts"; readonly gatewayMs: number; readonly replyMs: number };

/** A gateway did not serve; `gateway` is its place in the list. */
export interface GatewayReport extends WorkerReport {
  readonly type: "gatewayDown" | "gatewayRefused";
  readonly gateway: number;
  readonly reason: string;
}

/** What a connection to a gateway carries, said when its SYN leaves. */
export interface FlowReport extends WorkerReport {
  readonly type: "flow";
  /** The local end of the connection to the gateway. */
  readonly local: Endpoint;
  readonly flow: Flow;
}

export const GATEWAY_UP = 0;
export const GATEWAY_DOWN = 1;

type Stage =
  /** Waiting for the gateway's handshake. */
  | "connecting"
  /** Waiting for the gateway's answer; the client's first bytes may be on their way. */
  | "answer"
  /** Waiting for the server itself. */
  | "direct";

interface Opening {
  stage: Stage;
  readonly destination: Endpoint;
  gateway: number;
  /** Bytes to the gateway that have not been taken yet: the Convert message, then `early`. */
  outgoing: Uint8Array;
  /** The client's first bytes, kept until the answer. */
  early: Uint8Array;
  answer: Uint8Array;
  cookie: Uint8Array | undefined;
  /** The client has reset while the gateway's handshake was under way. */
  abandoned: boolean;
}

/** The most that is read from a client before the gateway has answered: what fits into an initial window (RFC 6928). */
const EARLY_BYTES = 14_600;
const NOTHING = new Uint8Array();
const NO_GATEWAY = -1;
/** The kernel's own patience with a silent server; it gives up earlier by itself (net.ipv4.tcp_syn_retries). */
const DIRECT_MS = 150_000;

export class Carrier implements WorkerFront {
  readonly #engine: Engine;
  readonly #relay: Relay;
  readonly #counters: Counters;
  readonly #report: WorkerContext["report"];
  readonly #gateways: readonly Endpoint[];
  readonly #gatewayStates: Int32Array;
  readonly #openings = new Map<number, Opening>();
  readonly #scratch = new Uint8Array(EARLY_BYTES);
  /** By gateway and source address: what a gateway that wants cookies has given (RFC 8803 section 6.2.7). */
  readonly #cookies = new Map<string, Uint8Array>();
  #uplinks: readonly UplinkSource[];
  #gatewayMs: number;
  #replyMs: number;
  #reportFlows: boolean;

  constructor({ engine, relay, counters, report }: WorkerContext, setup: CarrierSetup) {
    this.#engine = engine;
    this.#relay = relay;
    this.#counters = counters;
    this.#report = report;
    this.#gateways = setup.gateways;
    this.#gatewayStates = new Int32Array(setup.gatewayStates);
    this.#uplinks = setup.uplinks;
    this.#gatewayMs = setup.gatewayMs;
    this.#replyMs = setup.replyMs;
    this.#reportFlows = setup.reportFlows;
  }

  onMessage(raw: unknown): void {
    const message = raw as CarrierMessage;
    if (message.type === "uplinks") {
      this.#uplinks = message.uplinks;
    } else if (message.type === "reportFlows") {
      this.#reportFlows = message.reportFlows;
    } else {
      this.#gatewayMs = message.gatewayMs;
      this.#replyMs = message.replyMs;
    }
  }

  onAccept(slot: number): void {
    const destination = this.#engine.localEndpoint(this.#relay.leg(slot, NEAR));
    if (destination === undefined) return this.#relay.abort(slot);
    const opening: Opening = {
      stage: "connecting",
      destination,
      gateway: NO_GATEWAY,
      outgoing: NOTHING,
      early: NOTHING,
      answer: NOTHING,
      cookie: undefined,
      abandoned: false,
    };
    this.#openings.set(slot, opening);
    this.#tryGateway(slot, opening);
  }

  /** Connects to the next gateway that is up, or direct when none is. */
  #tryGateway(slot: number, opening: Opening): void {
    const gateway = this.#nextGateway(opening.gateway);
    const endpoint = this.#gateways[gateway];
    if (endpoint === undefined) return this.#goDirect(slot, opening);
    opening.gateway = gateway;
    const source = this.#sourceFor(endpoint.address);
    opening.cookie ??= this.#cookies.get(cookieKey(gateway, source));
    const message = connectMessage(opening.destination, opening.cookie);
    const { leg, taken } = this.#engine.connect({
      peer: endpoint,
      protocol: "mptcp",
      firstBytes: message,
      ...(source === undefined ? {} : { source: { address: source, port: 0 } }),
    });
    if (leg < 0) return this.#onGatewayFailure(slot, opening, errnoName(-leg));
    opening.stage = "connecting";
    opening.outgoing = message.subarray(taken);
    opening.answer = NOTHING;
    this.#relay.setFar(slot, leg);
    this.#relay.setTimer(slot, this.#gatewayMs);
    if (this.#reportFlows) this.#reportFlow(slot, opening.destination);
  }

  /** The control plane sees this connection by its ends only. */
  #reportFlow(slot: number, destination: Endpoint): void {
    const near = this.#relay.leg(slot, NEAR);
    const client = this.#engine.remoteEndpoint(near)?.address;
    const local = this.#engine.localEndpoint(this.#relay.leg(slot, FAR));
    if (local === undefined || client === undefined) return;
    const flow = { client, destination, dscp: this.#engine.synDscp(near) };
    this.#report({ type: "flow", local, flow } satisfies FlowReport);
  }

  #nextGateway(after: number): number {
    for (let gateway = after + 1; gateway < this.#gateways.length; gateway++) {
      if (Atomics.load(this.#gatewayStates, gateway) === GATEWAY_UP) return gateway;
    }
    return NO_GATEWAY;
  }

  /** The address of the best uplink that has one of this family; the kernel chooses when none has. */
  #sourceFor(peer: IpAddress): IpAddress | undefined {
    const family = familyOf(peer);
    return this.#uplinks.find((uplink) => uplink[family] !== undefined)?.[family];
  }

  onReady(slot: number, side: 0 | 1, bits: number): void {
    const opening = this.#openings.get(slot);
    if (opening === undefined) return;
    if (side === FAR) this.#onFarReady(slot, opening, bits);
    else if ((bits & READY.error) !== 0) this.#onClientReset(slot, opening);
    else if (opening.stage === "answer") this.#readEarly(slot, opening);
  }

  /**
   * Linux resets a Multipath TCP handshake with a fast close that has no key yet. Where it crosses the handshake's end the
   * gateway ignores it, and keeps the connection and the server's for net.mptcp.close_timeout. So the handshake comes first.
   */
  #onClientReset(slot: number, opening: Opening): void {
    if (opening.stage === "connecting") opening.abandoned = true;
    else this.#relay.abort(slot);
  }

  #onFarReady(slot: number, opening: Opening, bits: number): void {
    const far = this.#relay.leg(slot, FAR);
    if (opening.stage !== "answer") {
      const errno = this.#engine.takeError(far);
      if (opening.stage === "direct") return errno === 0 ? this.#startDirect(slot, opening) : this.#relay.abort(slot);
      // A handshake that fails is refused (ECONNREFUSED) or times out; after a reset the gateway had the request.
      if (errno === ERRNO.ECONNRESET) return this.#onBrokenGateway(slot, opening, errnoName(errno));
      if (errno !== 0) return this.#onGatewayFailure(slot, opening, errnoName(errno));
      if ((bits & (READY.write | READY.read)) === 0) return;
      if (opening.abandoned) return this.#relay.abort(slot);
      opening.stage = "answer";
      this.#relay.setTimer(slot, this.#replyMs);
      this.#readEarly(slot, opening);
    } else {
      this.#sendOutgoing(slot, opening);
    }
    if (this.#openings.get(slot) === opening) this.#readAnswer(slot, opening);
  }

  /** Takes the client's first bytes once and lets them follow the Convert message. */
  #readEarly(slot: number, opening: Opening): void {
    if (opening.early.length === 0) {
      const length = this.#engine.read(this.#relay.leg(slot, NEAR), this.#scratch, EARLY_BYTES);
      if (length < 0 && length !== WOULD_BLOCK) return this.#relay.abort(slot);
      if (length > 0) {
        opening.early = this.#scratch.slice(0, length);
        opening.outgoing = concatBytes([opening.outgoing, opening.early]);
      }
    }
    this.#sendOutgoing(slot, opening);
  }

  #sendOutgoing(slot: number, opening: Opening): void {
    if (opening.outgoing.length === 0) return;
    const far = this.#relay.leg(slot, FAR);
    const taken = this.#engine.write(far, opening.outgoing, opening.outgoing.length);
    // A failed write shows as an error when the answer is read.
    if (taken <= 0) return;
    opening.outgoing = opening.outgoing.subarray(taken);
  }

  #readAnswer(slot: number, opening: Opening): void {
    const room = Math.min(EARLY_BYTES, 2 * MAX_MESSAGE_BYTES);
    const length = this.#engine.read(this.#relay.leg(slot, FAR), this.#scratch, room);
    if (length === WOULD_BLOCK) return;
    if (length <= 0) return this.#onBrokenGateway(slot, opening, length === 0 ? "closed" : errnoName(-length));
    opening.answer = concatBytes([opening.answer, this.#scratch.subarray(0, length)]);
    const result = parseConvertMessage(opening.answer);
    if (result.outcome === "incomplete") return;
    if (result.outcome !== "message") return this.#onBrokenGateway(slot, opening, "its answer is no Convert message");
    const error = findTlv(result.message, "error");
    if (error !== undefined) return this.#onErrorAnswer(slot, opening, error);
    this.#relay.preload(slot, FAR, opening.answer.slice(result.byteLength));
    this.#relay.preload(slot, NEAR, opening.outgoing);
    this.#start(slot);
  }

  /** The handshake failed: nothing of the client has left. */
  #onGatewayFailure(slot: number, opening: Opening, reason: string): void {
    this.#markDown(opening.gateway, reason);
    if (opening.abandoned) return this.#relay.abort(slot);
    this.#relay.dropFar(slot);
    this.#tryGateway(slot, opening);
  }

  /**
   * The gateway broke off before its answer: it died, or the server reset at once and took the answer with it. The
   * client sees a reset, which is the truth in the second case and safe in the first; a probe tells which it was.
   */
  #onBrokenGateway(slot: number, opening: Opening, reason: string): void {
    this.#report({ type: "gatewayRefused", gateway: opening.gateway, reason } satisfies GatewayReport);
    this.#relay.abort(slot);
  }

  #markDown(gateway: number, reason: string): void {
    this.#counters.add("gatewayFailures");
    Atomics.store(this.#gatewayStates, gateway, GATEWAY_DOWN);
    this.#report({ type: "gatewayDown", gateway, reason } satisfies GatewayReport);
  }

  /** RFC 8803 section 6.2.8. An error says that nothing was delivered, so the connection may go another way. */
  #onErrorAnswer(slot: number, opening: Opening, { code, value }: Tlv & { type: "error" }): void {
    this.#counters.add("convertErrors");
    if (code === ERROR_CODE.connectionReset || code === ERROR_CODE.destinationUnreachable) {
      return this.#relay.abort(slot);
    }
    if (code === ERROR_CODE.missingCookie && opening.cookie === undefined && value.length > 1) {
      return this.#retryWithCookie(slot, opening, value.slice(1));
    }
    if (code !== ERROR_CODE.networkFailure) {
      const reason = errorName(code) ?? `error ${code}`;
      this.#report({ type: "gatewayRefused", gateway: opening.gateway, reason } satisfies GatewayReport);
    }
    this.#goDirect(slot, opening);
  }

  #retryWithCookie(slot: number, opening: Opening, cookie: Uint8Array): void {
    const endpoint = this.#gateways[opening.gateway];
    const source = endpoint && this.#sourceFor(endpoint.address);
    this.#cookies.set(cookieKey(opening.gateway, source), cookie);
    opening.cookie = cookie;
    this.#relay.dropFar(slot);
    opening.gateway -= 1;
    this.#tryGateway(slot, opening);
  }

  #goDirect(slot: number, opening: Opening): void {
    this.#counters.add("connectionsDirect");
    const source = this.#sourceFor(opening.destination.address);
    const { leg } = this.#engine.connect({
      peer: opening.destination,
      protocol: "tcp",
      ...(source === undefined ? {} : { source: { address: source, port: 0 } }),
    });
    if (leg < 0) return this.#relay.abort(slot);
    opening.stage = "direct";
    this.#relay.setFar(slot, leg);
    this.#relay.setTimer(slot, DIRECT_MS);
  }

  #startDirect(slot: number, opening: Opening): void {
    this.#relay.preload(slot, NEAR, opening.early);
    this.#start(slot);
  }

  #start(slot: number): void {
    this.#openings.delete(slot);
    this.#relay.start(slot);
  }

  onTimer(slot: number): void {
    const opening = this.#openings.get(slot);
    if (opening?.stage === "connecting") return this.#onGatewayFailure(slot, opening, "no answer in time");
    this.#counters.add("connectionsTimedOut");
    this.#relay.abort(slot);
  }

  onClosed(slot: number): void {
    this.#openings.delete(slot);
  }
}

function cookieKey(gateway: number, source: IpAddress | undefined): string {
  return `${gateway} ${source ?? ""}`;
}

function connectMessage(destination: Endpoint, cookie: Uint8Array | undefined): Uint8Array {
  const connect: Tlv = { type: "connect", peer: destination, options: [] };
  return emitConvertMessage(cookie === undefined ? [connect] : [{ type: "cookie", cookie }, connect]);
}
