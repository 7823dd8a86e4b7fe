/**
 * The carrier: from an intercepted LAN connection to a relayed one. Opens Multipath TCP to a gateway with the Convert
 * message first, lets the client's first bytes follow, and begins to relay when the gateway has reached the server.
 * Without a gateway the connection goes direct.
 *
 * Going direct after all is only allowed while no byte of the client can have reached the server through the gateway: a
 * request must never arrive twice. Those bytes are therefore kept until the gateway has answered.
 */
import { type Endpoint, equalEndpoints, familyOf } from "@hybrid-access/core/base/ip-address";
import type { CounterName, Counters } from "@hybrid-access/core/dataplane/counters";
import { FAR, NEAR, type Relay } from "@hybrid-access/core/dataplane/relay";
import type { WorkerContext, WorkerFront } from "@hybrid-access/core/dataplane/worker";
import {
  type ConnectResult,
  type Engine,
  type FallbackReason,
  isTroubled,
  type Leg,
  READY,
  WOULD_BLOCK,
} from "@hybrid-access/core/engine/engine";
import { ERRNO, errnoName } from "@hybrid-access/core/platform/errno";
import { createWorkBuffer } from "@hybrid-access/core/platform/socket";
import { ERROR_CODE, errorName, MAX_MESSAGE_BYTES } from "@hybrid-access/core/wire/convert/codes";
import { findTlv, parseConvertMessage } from "@hybrid-access/core/wire/convert/message";
import type { Tlv } from "@hybrid-access/core/wire/convert/tlv";
import {
  type CarrierMessage,
  type CarrierSetup,
  type ChoiceReport,
  type FlowReport,
  GATEWAY_BUSY,
  GATEWAY_DOWN,
  GATEWAY_UP,
  type GatewayReport,
  type SubflowLimitReport,
  type UplinkReport,
} from "./carrier-setup.ts";
import { answerConnections } from "./connection-list.ts";
import { CookieJar } from "./cookie-jar.ts";
import { chooseGateway } from "./gateway-choice.ts";
import { GatewayMemory } from "./gateway-memory.ts";
import {
  connectMessage,
  followedBy,
  forgetCookie,
  NO_GATEWAY,
  NOTHING,
  newOpening,
  type Opening,
  sourceOf,
} from "./opening.ts";
import { UplinkChoice, type UplinkSource } from "./uplink-choice.ts";

/** The most that is read from a client before the gateway has answered: what fits into an initial window (RFC 6928). */
const EARLY_BYTES = 14_600;
/** More than any answer, so that it mostly comes at once. */
const ANSWER_READ_BYTES = 2 * MAX_MESSAGE_BYTES;
/** Over the last uplink: the kernel's own patience with a silent server; it may give up earlier by itself. */
const DIRECT_MS = 150_000;

const FALLBACK_COUNTERS: Readonly<Record<FallbackReason, CounterName>> = {
  "peer-without-mptcp": "fallbackPeerWithoutMptcp",
  "syn-dropped": "fallbackSynDropped",
  unknown: "fallbackUnknown",
};

export class Carrier implements WorkerFront {
  readonly #engine: Engine;
  readonly #relay: Relay;
  readonly #counters: Counters;
  readonly #report: WorkerContext["report"];
  readonly #listen: readonly Endpoint[];
  #gateways: readonly (Endpoint | undefined)[];
  readonly #gatewayStates: Int32Array;
  readonly #capacity: number;
  readonly #uplinks: UplinkChoice;
  readonly #openings = new Map<number, Opening>();
  readonly #scratch = createWorkBuffer(EARLY_BYTES);
  readonly #cookies = new CookieJar();
  readonly #memory = new GatewayMemory();
  #gatewayMs: number;
  #replyMs: number;
  #reportFlows: boolean;
  readonly #reportChoices: boolean;
  #mostSubflows: number;

  constructor({ engine, relay, counters, report }: WorkerContext, setup: CarrierSetup) {
    this.#engine = engine;
    this.#relay = relay;
    this.#counters = counters;
    this.#report = report;
    this.#listen = setup.listen;
    this.#gateways = setup.gateways;
    this.#gatewayStates = new Int32Array(setup.gatewayStates);
    this.#capacity = setup.relay.maxConnections;
    this.#uplinks = new UplinkChoice(setup.uplinkStates, setup.uplinks);
    this.#gatewayMs = setup.gatewayMs;
    this.#replyMs = setup.replyMs;
    this.#reportFlows = setup.reportFlows;
    this.#mostSubflows = setup.mostSubflows;
    this.#reportChoices = setup.reportChoices;
  }

  onMessage(raw: unknown): void {
    const message = raw as CarrierMessage;
    if (message.type === "uplinks") {
      this.#followUplinks(message.uplinks);
    } else if (message.type === "gateways") {
      this.#followGateways(message.gateways);
    } else if (message.type === "listConnections") {
      this.#report(answerConnections(message, this.#engine, this.#relay, this.#capacity));
    } else if (message.type === "policy") {
      this.#reportFlows = message.reportFlows;
      this.#mostSubflows = message.mostSubflows;
    } else {
      this.#gatewayMs = message.gatewayMs;
      this.#replyMs = message.replyMs;
    }
  }

  /** An attempt over an uplink that has gone would wait for its time in vain, where another one is left. */
  #followUplinks(uplinks: readonly UplinkSource[]): void {
    this.#uplinks.sources = uplinks;
    for (const [slot, opening] of [...this.#openings]) {
      const peer = this.#gateways[opening.gateway] ?? opening.destination;
      const isGone = opening.stage !== "answer" && !this.#uplinks.has(familyOf(peer.address), opening.uplink);
      if (isGone && this.#hasOtherUplink(opening, peer)) this.#onAttemptFailed(slot, opening, ERRNO.ENETUNREACH);
    }
  }

  /** What was learnt of a gateway does not hold for another one in its place. */
  #followGateways(gateways: readonly (Endpoint | undefined)[]): void {
    gateways.forEach((endpoint, place) => {
      const before = this.#gateways[place];
      if (before === undefined || (endpoint !== undefined && equalEndpoints(before, endpoint))) return;
      this.#cookies.deleteAll(place);
      this.#memory.forget(place);
    });
    this.#gateways = gateways;
  }

  onAccept(slot: number): void {
    const destination = this.#engine.localEndpoint(this.#relay.leg(slot, NEAR));
    // A program on this host that connects to the listener itself: carried on, it would come back here for ever.
    if (destination === undefined || this.#listen.some((own) => equalEndpoints(own, destination))) {
      return this.#relay.abort(slot);
    }
    const opening = newOpening(destination);
    this.#openings.set(slot, opening);
    this.#tryNextGateway(slot, opening);
  }

  /** Connects to the next gateway that is up, or direct when none is. */
  #tryNextGateway(slot: number, opening: Opening): void {
    const stateOf = (place: number) => Atomics.load(this.#gatewayStates, place);
    const { gateway, reason } = chooseGateway(this.#gateways.length, stateOf, opening.triedGateways);
    opening.gateway = gateway;
    opening.gatewayReason = reason;
    opening.triedGateways.push(gateway);
    opening.failedUplinks = [];
    forgetCookie(opening);
    const endpoint = this.#gateways[opening.gateway];
    if (endpoint === undefined) this.#goDirect(slot, opening, reason);
    else this.#connectToGateway(slot, opening, endpoint);
  }

  #connectToGateway(slot: number, opening: Opening, endpoint: Endpoint): void {
    opening.uplink = this.#uplinks.next(familyOf(endpoint.address), opening.failedUplinks);
    if (opening.cookieOrigin === "stored") {
      opening.cookie = this.#cookies.get(opening.gateway, sourceOf(opening.uplink, endpoint));
    }
    const limit = this.#memory.mayAskForLimit(opening.gateway, this.#relay.nowMs) ? this.#mostSubflows : undefined;
    const message = connectMessage(opening.destination, opening.cookie, limit);
    opening.askedForLimit = limit !== undefined;
    const mayOpenFast = this.#memory.mayOpenFast(opening, this.#relay.nowMs);
    const { leg, taken } = this.#connect(opening, endpoint, "mptcp", mayOpenFast ? message : undefined);
    if (leg < 0) return this.#onAttemptFailed(slot, opening, -leg);
    opening.stage = "connecting";
    opening.fastOpen = taken > 0;
    // What an earlier attempt has read from the client goes again: the gateway's error said that it was not delivered.
    opening.outgoing = followedBy(message.subarray(taken), opening.early);
    opening.answer = NOTHING;
    this.#relay.setFar(slot, leg);
    this.#relay.setTimer(slot, this.#uplinks.attemptMs(familyOf(endpoint.address), this.#gatewayMs));
    if (this.#reportFlows) this.#reportFlow(slot, opening.destination);
    if (this.#reportChoices) this.#reportChoice(slot, opening, endpoint);
  }

  #reportChoice(slot: number, opening: Opening, peer: Endpoint): void {
    const { destination, gateway, gatewayReason, uplink, failedUplinks } = opening;
    this.#report({
      type: "choice",
      destination,
      local: this.#engine.localEndpoint(this.#relay.leg(slot, FAR)),
      gateway: gateway === NO_GATEWAY ? undefined : peer,
      gatewayReason,
      uplink: uplink?.name,
      uplinkReason: this.#uplinks.why(familyOf(peer.address), failedUplinks, uplink),
    } satisfies ChoiceReport);
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

  #goDirect(slot: number, opening: Opening, reason: string): void {
    this.#counters.add("connectionsDirect");
    opening.gateway = NO_GATEWAY;
    opening.gatewayReason = reason;
    opening.failedUplinks = [];
    this.#connectDirect(slot, opening);
  }

  #connectDirect(slot: number, opening: Opening): void {
    const { destination } = opening;
    opening.uplink = this.#uplinks.next(familyOf(destination.address), opening.failedUplinks);
    const { leg } = this.#connect(opening, destination, "tcp", undefined);
    if (leg < 0) return this.#onAttemptFailed(slot, opening, -leg);
    opening.stage = "direct";
    this.#relay.setFar(slot, leg);
    const share = this.#uplinks.attemptMs(familyOf(destination.address), this.#gatewayMs);
    this.#relay.setTimer(slot, this.#hasOtherUplink(opening, destination) ? share : DIRECT_MS);
    if (this.#reportChoices) this.#reportChoice(slot, opening, destination);
  }

  #connect(
    { uplink }: Opening,
    peer: Endpoint,
    protocol: "mptcp" | "tcp",
    firstBytes: Uint8Array | undefined,
  ): ConnectResult {
    const source = sourceOf(uplink, peer);
    return this.#engine.connect({
      peer,
      protocol,
      ...(firstBytes && { firstBytes }),
      ...(source && { source: { address: source, port: 0 } }),
    });
  }

  /** Whether an uplink is left for this gateway or server beside those that have failed and the one under way. */
  #hasOtherUplink({ uplink, failedUplinks }: Opening, peer: Endpoint): boolean {
    return this.#uplinks.isOtherLeft(familyOf(peer.address), failedUplinks, uplink);
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
    if (opening.stage === "answer") {
      this.#sendOutgoing(slot, opening);
      this.#readAnswer(slot, opening);
      return;
    }
    const errno = isTroubled(bits) ? this.#engine.takeError(this.#relay.leg(slot, FAR)) : 0;
    if (errno !== 0) return this.#onConnectError(slot, opening, errno);
    if ((bits & (READY.write | READY.read)) === 0) return;
    this.#judgeUplinks(opening);
    if (opening.abandoned) return this.#relay.abort(slot);
    if (opening.stage === "direct") return this.#startDirect(slot, opening);
    opening.stage = "answer";
    this.#relay.tellWritable(slot, FAR, false);
    opening.replyDeadlineMs = this.#relay.nowMs + this.#replyMs;
    this.#relay.setTimer(slot, Math.min(this.#gatewayMs, this.#replyMs));
    this.#readEarly(slot, opening);
    if (this.#openings.get(slot) === opening) this.#readAnswer(slot, opening);
  }

  #onConnectError(slot: number, opening: Opening, errno: number): void {
    // A handshake that fails is refused, unreachable or times out; after a reset the gateway had the request.
    if (errno === ERRNO.ECONNRESET && opening.gateway !== NO_GATEWAY) {
      return this.#onBrokenGateway(slot, opening, errnoName(errno));
    }
    this.#onAttemptFailed(slot, opening, errno);
  }

  /** Something was reached: over this uplink, and not over those that were tried before. */
  #judgeUplinks({ uplink, failedUplinks, gateway, destination }: Opening): void {
    if (uplink === undefined) return;
    const witness = this.#gateways[gateway] ?? destination;
    const protocol = gateway === NO_GATEWAY ? "tcp" : "mptcp";
    for (const blamed of this.#uplinks.judge(familyOf(witness.address), uplink, failedUplinks)) {
      this.#counters.add("uplinkFailures");
      this.#report({ type: "uplinkSilent", uplink: blamed, witness, protocol } satisfies UplinkReport);
    }
  }

  /** Takes the client's first bytes once and lets them follow the Convert message. */
  #readEarly(slot: number, opening: Opening): void {
    if (opening.early.length === 0 && this.#relay.isReadable(slot, NEAR)) {
      const length = this.#relay.read(slot, NEAR, this.#scratch, EARLY_BYTES);
      if (length < 0 && length !== WOULD_BLOCK) return this.#relay.abort(slot);
      if (length > 0) {
        opening.early = this.#scratch.slice(0, length);
        opening.outgoing = followedBy(opening.outgoing, opening.early);
      }
    }
    this.#sendOutgoing(slot, opening);
  }

  #sendOutgoing(slot: number, opening: Opening): void {
    if (opening.outgoing.length === 0) return;
    const taken = this.#relay.write(slot, FAR, opening.outgoing);
    // A failed write shows as an error when the answer is read.
    if (taken <= 0) return;
    opening.outgoing = opening.outgoing.subarray(taken);
  }

  #readAnswer(slot: number, opening: Opening): void {
    if (!this.#relay.isReadable(slot, FAR)) return;
    const length = this.#relay.read(slot, FAR, this.#scratch, ANSWER_READ_BYTES);
    if (length === WOULD_BLOCK) return;
    if (length <= 0) return this.#onBrokenGateway(slot, opening, length === 0 ? "closed" : errnoName(-length));
    const answer = followedBy(opening.answer, this.#scratch.subarray(0, length));
    const result = parseConvertMessage(answer);
    if (result.outcome === "incomplete") {
      opening.answer = answer.slice();
      return;
    }
    if (result.outcome !== "message") return this.#onBrokenGateway(slot, opening, "its answer is no Convert message");
    const error = findTlv(result.message, "error");
    if (error !== undefined) return this.#onErrorAnswer(slot, opening, error);
    const limit = findTlv(result.message, "subflowLimit");
    if (limit !== undefined) this.#reportLimit(slot, opening.gateway, limit.subflows);
    this.#countProtocol(this.#relay.leg(slot, FAR), opening);
    this.#relay.preload(slot, FAR, answer.slice(result.byteLength));
    this.#relay.preload(slot, NEAR, opening.outgoing);
    this.#start(slot);
  }

  #reportLimit(slot: number, gateway: number, subflows: number): void {
    if (!this.#memory.learnLimit(gateway, subflows, this.#mostSubflows)) return;
    const local = this.#engine.localEndpoint(this.#relay.leg(slot, FAR));
    const peer = this.#gateways[gateway]?.address;
    if (local === undefined || peer === undefined) return;
    this.#report({ type: "subflowLimit", local, gateway: peer, subflows } satisfies SubflowLimitReport);
  }

  /** Now, not at the handshake: options that are removed from data show only after some was exchanged. */
  #countProtocol(far: Leg, opening: Opening): void {
    if (this.#engine.isMultipath(far)) return this.#counters.add("connectionsMultipath");
    if (opening.fastOpen) this.#memory.fastOpenFailed(opening, this.#relay.nowMs);
    this.#counters.add("connectionsPlain");
    this.#counters.add(FALLBACK_COUNTERS[this.#engine.info(far).fallback ?? "unknown"]);
  }

  /**
   * A handshake failed, or took too long: nothing of the client has left. A refusal comes from the gateway, or the server,
   * itself; anything else may be the uplink's fault, so the next uplink comes first, then the next gateway.
   */
  #onAttemptFailed(slot: number, opening: Opening, errno: number): void {
    const { uplink, gateway, destination } = opening;
    const peer = this.#gateways[gateway];
    this.#relay.dropFar(slot);
    if (errno !== ERRNO.ECONNREFUSED && this.#hasOtherUplink(opening, peer ?? destination)) {
      if (uplink !== undefined) opening.failedUplinks.push(uplink.index);
      forgetCookie(opening);
      if (peer === undefined) return this.#connectDirect(slot, opening);
      return this.#connectToGateway(slot, opening, peer);
    }
    if (errno === ERRNO.ETIMEDOUT && peer === undefined) this.#counters.add("connectionsTimedOut");
    if (peer !== undefined) this.#markDown(gateway, errno === ERRNO.ETIMEDOUT ? "no answer in time" : errnoName(errno));
    if (peer === undefined || opening.abandoned) return this.#relay.abort(slot);
    this.#tryNextGateway(slot, opening);
  }

  /**
   * The gateway broke off before its answer: it died, or the server reset at once and took the answer with it. The
   * client sees a reset, which is the truth in the second case and safe in the first; a probe tells which it was.
   */
  #onBrokenGateway(slot: number, opening: Opening, reason: string): void {
    this.#doubt(opening.gateway, reason);
    this.#relay.abort(slot);
  }

  /** Has the control plane probe a gateway. */
  #doubt(gateway: number, reason: string): void {
    if (!this.#memory.doubt(gateway, this.#relay.nowMs)) return;
    this.#report({ type: "gatewayDoubtful", gateway, reason } satisfies GatewayReport);
  }

  #markDown(gateway: number, reason: string): void {
    this.#counters.add("gatewayFailures");
    // Not a place that nobody has any more.
    Atomics.compareExchange(this.#gatewayStates, gateway, GATEWAY_UP, GATEWAY_DOWN);
    Atomics.compareExchange(this.#gatewayStates, gateway, GATEWAY_BUSY, GATEWAY_DOWN);
    this.#report({ type: "gatewayDown", gateway, reason } satisfies GatewayReport);
  }

  /** RFC 8803 section 6.2.8. An error says that nothing was delivered, so the connection may go another way. */
  #onErrorAnswer(slot: number, opening: Opening, { code, value }: Tlv & { type: "error" }): void {
    this.#counters.add("convertErrors");
    if (code === ERROR_CODE.connectionReset || code === ERROR_CODE.destinationUnreachable) {
      return this.#relay.abort(slot);
    }
    if (this.#newCookie(opening, code, value)) return this.#tryAgain(slot, opening);
    if (code === ERROR_CODE.unsupportedMessage && opening.askedForLimit) {
      this.#memory.limitUnknown(opening.gateway, this.#relay.nowMs);
      return this.#tryAgain(slot, opening);
    }
    // One that has no room says nothing of the others.
    if (code === ERROR_CODE.resourceExceeded) return this.#leaveGateway(slot, opening);
    const reason = errorName(code) ?? `error ${code}`;
    if (code !== ERROR_CODE.networkFailure) this.#doubt(opening.gateway, reason);
    this.#goDirect(slot, opening, reason);
  }

  #leaveGateway(slot: number, opening: Opening): void {
    this.#doubt(opening.gateway, "resourceExceeded");
    this.#relay.dropFar(slot);
    this.#tryNextGateway(slot, opening);
  }

  /** Whether the gateway is to be asked again: without the cookie it did not accept, or with the one it has given. */
  #newCookie(opening: Opening, code: number, value: Uint8Array): boolean {
    const endpoint = this.#gateways[opening.gateway];
    const source = endpoint && sourceOf(opening.uplink, endpoint);
    const refused = code === ERROR_CODE.missingCookie || code === ERROR_CODE.notAuthorized;
    if (refused && opening.cookie !== undefined) {
      this.#cookies.delete(opening.gateway, source);
      if (opening.cookieOrigin !== "stored") return false;
      opening.cookie = undefined;
      opening.cookieOrigin = "dropped";
      return true;
    }
    if (code !== ERROR_CODE.missingCookie || value.length <= 1) return false;
    opening.cookie = value.slice(1);
    opening.cookieOrigin = "given";
    this.#cookies.set(opening.gateway, source, opening.cookie);
    return true;
  }

  #tryAgain(slot: number, opening: Opening): void {
    const endpoint = this.#gateways[opening.gateway];
    this.#relay.dropFar(slot);
    if (endpoint !== undefined) this.#connectToGateway(slot, opening, endpoint);
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
    if (opening === undefined) return;
    if (opening.stage === "answer") return this.#onSilence(slot, opening);
    this.#onAttemptFailed(slot, opening, ERRNO.ETIMEDOUT);
  }

  /**
   * The gateway has accepted and not answered yet. The server may be slow, or the gateway stuck: a probe tells, and when
   * it marks the gateway down nobody waits for it any longer.
   */
  #onSilence(slot: number, opening: Opening): void {
    const leftMs = opening.replyDeadlineMs - this.#relay.nowMs;
    const isDown = Atomics.load(this.#gatewayStates, opening.gateway) === GATEWAY_DOWN;
    if (isDown && opening.early.length === 0) {
      this.#relay.dropFar(slot);
      return this.#tryNextGateway(slot, opening);
    }
    if (isDown || leftMs <= 0) {
      this.#counters.add("connectionsTimedOut");
      return this.#relay.abort(slot);
    }
    this.#doubt(opening.gateway, "no answer to a connection");
    this.#relay.setTimer(slot, Math.min(this.#gatewayMs, leftMs));
  }

  onClosed(slot: number): void {
    this.#openings.delete(slot);
  }
}
