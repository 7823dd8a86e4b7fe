/**
 * The converter (RFC 8803 section 4): from an accepted connection to a relayed one. Reads the Convert message, decides
 * whether this client may reach that destination, connects, answers, and hands both legs to the relay.
 *
 * Order matters: nothing leaves toward a destination before client, cookie, limits and destination were judged.
 */
import { concatBytes } from "@hybrid-access/core/base/bytes";
import { type Endpoint, type IpAddress, isIpv4 } from "@hybrid-access/core/base/ip-address";
import { findPrefix, type Prefix } from "@hybrid-access/core/base/prefix";
import type { Counters } from "@hybrid-access/core/dataplane/counters";
import { FAR, NEAR, type Relay } from "@hybrid-access/core/dataplane/relay";
import type { WorkerContext, WorkerFront, WorkerSetup } from "@hybrid-access/core/dataplane/worker";
import { type Engine, isTroubled, READY, WOULD_BLOCK } from "@hybrid-access/core/engine/engine";
import { ERRNO } from "@hybrid-access/core/platform/errno";
import { createWorkBuffer } from "@hybrid-access/core/platform/socket";
import { ERROR_CODE, type ErrorName, MAX_MESSAGE_BYTES } from "@hybrid-access/core/wire/convert/codes";
import {
  type ConvertMessage,
  echoError,
  emitConvertMessage,
  findTlv,
  padError,
  parseConvertMessage,
} from "@hybrid-access/core/wire/convert/message";
import type { Tlv } from "@hybrid-access/core/wire/convert/tlv";
import { TCP_OPTION, type TcpOption } from "@hybrid-access/core/wire/tcp-options";
import { ClientSlots } from "./client-slots.ts";
import { type ClientLimits, ClientTable } from "./client-table.ts";
import { isCookieValid, makeCookie } from "./cookie.ts";
import { type DestinationRules, judgeDestination } from "./destination-policy.ts";
import { PortShortage } from "./port-shortage.ts";

/** What the control plane gives a worker; plain data that crosses threads. */
export interface ConverterSetup extends WorkerSetup {
  readonly listen: readonly { readonly address: IpAddress; readonly port: number }[];
  /** Connections to addresses of no interface are taken too, when routing brings them here. */
  readonly transparent: boolean;
  readonly rules: ConverterRules;
  readonly clientTable: SharedArrayBuffer;
  readonly clientSlots: SharedArrayBuffer;
  /** One word: the gateway's load in percent. */
  readonly load: SharedArrayBuffer;
}

/** What may change while the worker runs. */
export interface ConverterRules {
  readonly clients: readonly Prefix[];
  readonly destinations: DestinationRules;
  readonly ownAddresses: readonly IpAddress[];
  /** Servers see the gateway's address, or the client's own. */
  readonly egress: "shared" | "client";
  /** Not empty: a cookie under one of these keys is required. */
  readonly cookieKeys: readonly Uint8Array[];
  readonly limits: ClientLimits;
  /** Subflows of one connection, the initial one included; clients that ask are told. */
  readonly subflows: number;
  /** For the Convert message to arrive. */
  readonly headerMs: number;
  /** For the server to answer. */
  readonly connectMs: number;
}

type Stage =
  /** Waiting for the Convert message. */
  | "header"
  /** Waiting for the server. */
  | "connecting"
  /** The server did not answer its first SYN, and the client has not proven that it receives: no SYN is repeated yet. */
  | "unproven"
  /** The answer waits until the client has proven that it receives (see Engine.isEstablished). */
  | "establishing"
  /** The answer was an error and has been sent; waiting for the client to close. */
  | "refusing";

interface Opening {
  stage: Stage;
  readonly client: IpAddress;
  /** The beginning of the Convert message, when it did not come whole. */
  header: Uint8Array;
  /** Set once a connection was asked for. */
  destination: Endpoint | undefined;
  /** Until when the server may take to answer, on the relay's clock. */
  connectUntilMs: number;
  /** Holds one of the slots for strangers. */
  stranger: boolean;
  /** In stage "refusing": bytes read away. */
  discardedBytes: number;
  /** In stage "establishing": what to send, and whether the relay is to start then. */
  answer: Uint8Array | undefined;
  relayAfterwards: boolean;
  /** Extensions were asked for beside a connection. */
  wantsInfo: boolean;
  /** The client wants to know how many subflows it may have. */
  wantsSubflowLimit: boolean;
  wantsLoad: boolean;
}

/** Option kinds the converter understands: it translates Multipath TCP, and the kernel sends the others by itself. */
const SUPPORTED_OPTIONS = [
  TCP_OPTION.windowScale,
  TCP_OPTION.sackPermitted,
  TCP_OPTION.timestamps,
  TCP_OPTION.multipathTcp,
];

/** How long a refused client may take to close. */
const REFUSAL_MS = 3000;

/**
 * The share of a worker's slots for connections that are refused on no client's account: strangers' and those over a
 * client's limits. Beyond it they are reset without an answer, so that they leave room for others.
 */
const STRANGERS_SHARE = 1 / 16;

/** A refused client that goes on sending is reset: more than the first flight of a client that has not read the error. */
const MOST_DISCARDED_BYTES = 64 * 1024;

/** For the answer to a first SYN: shorter than the first retransmission timeout (RFC 6298 section 2.1: 1 s). */
const FIRST_SYN_MS = 900;

/** RFC 8803 section 6.2.8: which error tells the client of a failed attempt to connect, by errno. */
const CONNECT_ERRORS: Readonly<Record<number, readonly [ErrorName, number]>> = {
  [ERRNO.ECONNREFUSED]: ["connectionReset", 0],
  [ERRNO.ECONNRESET]: ["connectionReset", 0],
  [ERRNO.ENETUNREACH]: ["destinationUnreachable", 0],
  [ERRNO.EHOSTUNREACH]: ["destinationUnreachable", 1],
  [ERRNO.EADDRNOTAVAIL]: ["resourceExceeded", 0],
  [ERRNO.EMFILE]: ["resourceExceeded", 0],
  [ERRNO.ENFILE]: ["resourceExceeded", 0],
  [ERRNO.ENOBUFS]: ["resourceExceeded", 0],
};

export class Converter implements WorkerFront {
  readonly #engine: Engine;
  readonly #relay: Relay;
  readonly #counters: Counters;
  readonly #openings = new Map<number, Opening>();
  readonly #clientSlots: ClientSlots;
  readonly #clientMemory: SharedArrayBuffer;
  readonly #scratch = createWorkBuffer(MAX_MESSAGE_BYTES);
  readonly #mostStrangers: number;
  readonly #load: Int32Array;
  readonly #shortage = new PortShortage();
  #strangers = 0;
  #clients: ClientTable;
  #rules: ConverterRules;

  constructor({ engine, relay, counters, index }: WorkerContext, setup: ConverterSetup) {
    this.#engine = engine;
    this.#relay = relay;
    this.#counters = counters;
    this.#clientSlots = new ClientSlots(setup.clientSlots, setup.relay.maxConnections, index);
    this.#mostStrangers = Math.ceil(setup.relay.maxConnections * STRANGERS_SHARE);
    this.#clientMemory = setup.clientTable;
    this.#rules = setup.rules;
    this.#load = new Int32Array(setup.load);
    this.#clients = new ClientTable(this.#clientMemory, setup.rules.limits);
  }

  onMessage(message: unknown): void {
    this.#rules = message as ConverterRules;
    this.#clients = new ClientTable(this.#clientMemory, this.#rules.limits);
  }

  onAccept(slot: number): void {
    const near = this.#relay.leg(slot, NEAR);
    const client = this.#engine.remoteEndpoint(near)?.address;
    if (client === undefined) return this.#relay.abort(slot);
    const opening = newOpening(client);
    this.#openings.set(slot, opening);
    if (findPrefix(this.#rules.clients, client) === undefined) {
      this.#counters.add("clientsRefused");
      return this.#refuseStranger(slot, opening, error("notAuthorized"));
    }
    const admitted = this.#clients.admit(client, Date.now());
    if (typeof admitted === "string") {
      this.#counters.add("clientLimitRefused");
      return this.#refuseStranger(slot, opening, error("resourceExceeded"));
    }
    this.#clientSlots.take(slot, admitted);
    this.#relay.setTimer(slot, this.#rules.headerMs);
    // Data that came in the SYN is there already.
    this.#readHeader(slot, opening);
  }

  onReady(slot: number, side: 0 | 1, bits: number): void {
    const opening = this.#openings.get(slot);
    if (opening === undefined) return;
    if (side === NEAR) this.#onNearReady(slot, opening, bits);
    else if (opening.stage === "connecting") this.#onConnected(slot, opening, bits);
    // The server was reached and has reset before the client's handshake ended: that is still to be told.
    else if ((bits & READY.error) !== 0) this.#onConnectFailure(slot, opening, ERRNO.ECONNRESET);
  }

  #onNearReady(slot: number, opening: Opening, bits: number): void {
    if ((bits & READY.error) !== 0) return this.#relay.abort(slot);
    if (opening.stage === "header") this.#readHeader(slot, opening);
    else if (opening.stage === "establishing") this.#sendAnswer(slot, opening);
    else if (opening.stage === "refusing") this.#discard(slot, opening);
    else if (opening.stage === "unproven" && this.#isProven(slot)) this.#connect(slot, opening);
  }

  #readHeader(slot: number, opening: Opening): void {
    const length = this.#relay.read(slot, NEAR, this.#scratch, MAX_MESSAGE_BYTES - opening.header.length);
    if (length === WOULD_BLOCK) return;
    if (length <= 0) return this.#relay.abort(slot);
    const received = concatBytes([opening.header, this.#scratch.subarray(0, length)]);
    const result = parseConvertMessage(received);
    switch (result.outcome) {
      case "incomplete":
        opening.header = received;
        return;
      case "foreign":
        this.#counters.add("convertForeign");
        return this.#relay.abort(slot);
      case "invalid":
        return this.#refuse(slot, opening, result.error);
      case "message":
        this.#relay.preload(slot, NEAR, received.slice(result.byteLength));
        return this.#onRequest(slot, opening, result.message, received.subarray(0, result.byteLength));
    }
  }

  #onRequest(slot: number, opening: Opening, message: ConvertMessage, received: Uint8Array): void {
    const refusal = this.#judgeCookie(opening.client, findTlv(message, "cookie")?.cookie);
    if (refusal !== undefined) return this.#refuse(slot, opening, refusal);
    const connect = findTlv(message, "connect");
    opening.wantsInfo = findTlv(message, "info") !== undefined;
    opening.wantsSubflowLimit = findTlv(message, "subflowLimit") !== undefined;
    opening.wantsLoad = opening.wantsInfo && findTlv(message, "gatewayLoad") !== undefined;
    if (connect !== undefined) return this.#onConnectRequest(slot, opening, connect, received);
    // Answers of a converter make no sense as requests.
    if (!opening.wantsInfo) return this.#refuse(slot, opening, echoError("unsupportedMessage", received));
    this.#answer(slot, opening, this.#askedFor(opening), false);
  }

  /** What goes with the answer because the client has asked for it. */
  #askedFor({ wantsInfo, wantsSubflowLimit, wantsLoad }: Opening): Tlv[] {
    const limit: Tlv = { type: "subflowLimit", subflows: this.#rules.subflows };
    const load: Tlv = { type: "gatewayLoad", percent: Atomics.load(this.#load, 0) };
    const supported = wantsInfo ? [supportedExtensions()] : [];
    return [...supported, ...(wantsSubflowLimit ? [limit] : []), ...(wantsLoad ? [load] : [])];
  }

  #judgeCookie(client: IpAddress, cookie: Uint8Array | undefined): ErrorTlv | undefined {
    const [key] = this.#rules.cookieKeys;
    if (key === undefined) return undefined;
    if (cookie === undefined) return error("missingCookie", padError([0, ...makeCookie(key, client)]));
    if (isCookieValid(this.#rules.cookieKeys, client, cookie)) return undefined;
    this.#counters.add("cookiesRefused");
    return error("notAuthorized");
  }

  #onConnectRequest(slot: number, opening: Opening, connect: Tlv & { type: "connect" }, received: Uint8Array): void {
    // Counted here and not when accepted: health probes (Info alone) come over plain TCP, and nothing was stripped there.
    const multipath = this.#engine.isMultipath(this.#relay.leg(slot, NEAR));
    this.#counters.add(multipath ? "connectionsMultipath" : "connectionsPlain");
    const verdict = judgeDestination(connect.peer, this.#rules.destinations, this.#rules.ownAddresses);
    if (!verdict.allowed) {
      this.#counters.add("destinationsRefused");
      return this.#refuse(
        slot,
        opening,
        verdict.invalid ? echoError("malformedMessage", received) : error("notAuthorized"),
      );
    }
    const unsupported = connect.options.filter((option) => !isSupported(option)).map(({ kind }) => kind);
    if (unsupported.length > 0)
      return this.#refuse(slot, opening, error("unsupportedTcpOption", padError(unsupported)));
    opening.destination = connect.peer;
    this.#connect(slot, opening);
  }

  /**
   * RFC 8803 section 9.3: a SYN to the server is repeated only for a client that has proven its address; whoever forges
   * SYNs with data gets one out for each, and no more.
   */
  #connect(slot: number, opening: Opening): void {
    const peer = opening.destination;
    if (peer === undefined) return this.#relay.abort(slot);
    const ofClient = this.#rules.egress === "client" && sameFamily(peer.address, opening.client);
    const source = ofClient ? opening.client : undefined;
    const { nowMs } = this.#relay;
    if (this.#shortage.holds(source, peer, nowMs)) return this.#onConnectFailure(slot, opening, ERRNO.EADDRNOTAVAIL);
    const { leg } = this.#engine.connect({
      peer,
      protocol: "tcp",
      ...(source && { source: { address: source, port: 0 }, transparent: true }),
    });
    if (leg === -ERRNO.EADDRNOTAVAIL) this.#shortage.note(source, peer, nowMs);
    if (leg < 0) return this.#onConnectFailure(slot, opening, -leg);
    opening.stage = "connecting";
    this.#relay.setFar(slot, leg);
    opening.connectUntilMs = nowMs + this.#rules.connectMs;
    this.#relay.setTimer(slot, Math.min(FIRST_SYN_MS, this.#rules.connectMs));
  }

  #isProven(slot: number): boolean {
    return this.#engine.isEstablished(this.#relay.leg(slot, NEAR));
  }

  /** The server has not answered yet: its SYN is repeated by the kernel, given up, or waits for the client's proof. */
  #onConnectTimer(slot: number, opening: Opening): void {
    const leftMs = opening.connectUntilMs - this.#relay.nowMs;
    if (leftMs <= 0) return this.#onConnectFailure(slot, opening, ERRNO.ETIMEDOUT);
    if (this.#isProven(slot)) return this.#relay.setTimer(slot, leftMs);
    this.#relay.dropFar(slot);
    opening.stage = "unproven";
    this.#relay.tellWritable(slot, NEAR, true);
    this.#relay.setTimer(slot, this.#rules.headerMs);
  }

  #onConnected(slot: number, opening: Opening, bits: number): void {
    const far = this.#relay.leg(slot, FAR);
    const errno = isTroubled(bits) ? this.#engine.takeError(far) : 0;
    if (errno !== 0) return this.#onConnectFailure(slot, opening, errno);
    const header: Tlv = { type: "extendedTcpHeader", options: this.#engine.tcpOptions(far) };
    this.#answer(slot, opening, [header, ...this.#askedFor(opening)], true);
  }

  #onConnectFailure(slot: number, opening: Opening, errno: number): void {
    this.#counters.add("connectFailures");
    const [name, value] = CONNECT_ERRORS[errno] ?? ["networkFailure", 0];
    this.#refuse(slot, opening, error(name, Uint8Array.of(value)));
  }

  /** Like {@link #refuse}, on nobody's account and so within a bound of its own. */
  #refuseStranger(slot: number, opening: Opening, tlv: ErrorTlv): void {
    if (this.#strangers >= this.#mostStrangers) return this.#relay.abort(slot);
    this.#strangers += 1;
    opening.stranger = true;
    this.#refuse(slot, opening, tlv);
  }

  /** Answers with an error and waits for the client to close: a reset would take the answer away from it. */
  #refuse(slot: number, opening: Opening, tlv: ErrorTlv): void {
    this.#counters.add("convertErrors");
    this.#relay.dropFar(slot);
    this.#answer(slot, opening, [tlv], false);
  }

  #answer(slot: number, opening: Opening, message: ConvertMessage, relayAfterwards: boolean): void {
    opening.answer = emitConvertMessage(message);
    opening.relayAfterwards = relayAfterwards;
    opening.stage = "establishing";
    this.#relay.setTimer(slot, relayAfterwards ? this.#rules.headerMs : REFUSAL_MS);
    this.#sendAnswer(slot, opening);
  }

  /**
   * Linux keeps back what is written to a leg that was accepted with data in its SYN before the handshake ended, even
   * when it ends: so the answer waits for that; the leg's readiness says when.
   */
  #sendAnswer(slot: number, opening: Opening): void {
    const near = this.#relay.leg(slot, NEAR);
    if (opening.answer === undefined) return;
    if (!this.#engine.isEstablished(near)) return this.#relay.tellWritable(slot, NEAR, true);
    const written = this.#engine.write(near, opening.answer, opening.answer.length);
    if (written !== opening.answer.length) return this.#relay.abort(slot);
    if (opening.relayAfterwards) return this.#startRelay(slot);
    opening.stage = "refusing";
    this.#engine.shutdownWrite(near);
    this.#discard(slot, opening);
  }

  #startRelay(slot: number): void {
    this.#openings.delete(slot);
    this.#clientSlots.settle(slot, this.#clients);
    this.#relay.start(slot);
  }

  /** Reads away what a refused client still sends, up to a bound. */
  #discard(slot: number, opening: Opening): void {
    while (opening.discardedBytes <= MOST_DISCARDED_BYTES) {
      const length = this.#relay.read(slot, NEAR, this.#scratch, this.#scratch.length);
      if (length === WOULD_BLOCK) return;
      if (length <= 0) return length === 0 ? this.#relay.finish(slot) : this.#relay.abort(slot);
      opening.discardedBytes += length;
    }
    this.#relay.abort(slot);
  }

  onTimer(slot: number): void {
    const opening = this.#openings.get(slot);
    if (opening?.stage === "connecting") return this.#onConnectTimer(slot, opening);
    this.#counters.add("connectionsTimedOut");
    this.#relay.abort(slot);
  }

  onClosed(slot: number): void {
    if (this.#openings.get(slot)?.stranger) this.#strangers -= 1;
    this.#openings.delete(slot);
    this.#clientSlots.leave(slot, this.#clients);
  }
}

type ErrorTlv = Tlv & { type: "error" };

function error(name: ErrorName, value: Uint8Array = Uint8Array.of(0)): ErrorTlv {
  return { type: "error", code: ERROR_CODE[name], value };
}

const NOTHING = new Uint8Array();

function newOpening(client: IpAddress): Opening {
  return {
    stage: "header",
    client,
    header: NOTHING,
    destination: undefined,
    connectUntilMs: 0,
    stranger: false,
    discardedBytes: 0,
    answer: undefined,
    relayAfterwards: false,
    wantsInfo: false,
    wantsSubflowLimit: false,
    wantsLoad: false,
  };
}

function supportedExtensions(): Tlv {
  return { type: "supportedTcpExtensions", kinds: SUPPORTED_OPTIONS };
}

/**
 * RFC 8803 section 6.2.5: an option without value asks for the converter's own, which the kernel sends anyway; a given
 * value would have to be copied into the SYN, which a socket cannot.
 */
function isSupported({ kind, data }: TcpOption): boolean {
  const own: readonly number[] = [TCP_OPTION.maximumSegmentSize, ...SUPPORTED_OPTIONS];
  return own.includes(kind) && kind !== TCP_OPTION.multipathTcp && data.length === 0;
}

function sameFamily(left: IpAddress, right: IpAddress): boolean {
  return isIpv4(left) === isIpv4(right);
}
