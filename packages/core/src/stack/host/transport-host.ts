/**
 * The transport of one host: all its connections and listeners, packets in and packets out. It takes every packet that it is given for its own.
 *
 * A driver does as {@link PacketEndpoint} says, and after that takes events with {@link TransportHost.pollEvent}. Whoever acts on a connection says
 * so with {@link TransportHost.touch}.
 */
import { type Endpoint, endpointKey } from "../../base/ip-address.ts";
import { MinHeap } from "../../base/min-heap.ts";
import { parseIcmpError, parseQuotedSegment } from "../../wire/icmp.ts";
import { ipHeaderBytes, parseIpPacket } from "../../wire/ip-packet.ts";
import { type CapableOption, type JoinSynOption, type MptcpOption, RESET_REASON } from "../../wire/mptcp/options.ts";
import type { SegmentOption } from "../../wire/tcp/options.ts";
import { emitTcpPacket, parseTcpPacket, type TcpPacket } from "../../wire/tcp/packet.ts";
import { TCP_FLAG, TCP_HEADER_BYTES, type TcpSegment } from "../../wire/tcp/segment.ts";
import type { PacketEndpoint } from "../endpoint.ts";
import { isUsableCapable } from "../mptcp/capable-handshake.ts";
import { type JoinRefusal, MptcpConnection } from "../mptcp/connection.ts";
import type { MptcpEvent } from "../mptcp/events.ts";
import { findMptcp } from "../mptcp/handshake.ts";
import { chooseKey } from "../mptcp/session.ts";
import type { MptcpSettings } from "../mptcp/settings.ts";
import type { Subflow } from "../mptcp/subflow.ts";
import type { StackPorts } from "../ports.ts";
import { InitialNumbers } from "../tcp/initial-numbers.ts";
import { HostConnection } from "./host-connection.ts";
import { type HostListener, ListenerTable } from "./listener.ts";
import { headerBetween, type OutgoingPacket, refusalOf } from "./packets.ts";

export interface TransportHostOptions {
  readonly settings: MptcpSettings;
  readonly ports: StackPorts;
  /** Connections, those that are ending included. */
  readonly mostConnections: number;
}

/** Something that happened to a connection; "acceptable": its listener has it waiting. */
export interface HostEvent {
  readonly connection: HostConnection;
  readonly event: MptcpEvent | { readonly type: "acceptable"; readonly listener: HostListener };
}

export interface HostConnectOptions {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly multipath: boolean;
  /** Goes with the SYN as far as it fits (RFC 7413, without a cookie). */
  readonly firstBytes?: Uint8Array;
}

/** A subflow to open. */
export interface HostJoin {
  readonly local: Endpoint;
  readonly localAddressId: number;
  readonly remote: Endpoint;
  readonly backup: boolean;
}

/** Resets that wait to be sent; of more than these the oldest are not sent. */
export const MOST_WAITING_RESETS = 256;

interface Flow {
  readonly connection: HostConnection;
  readonly subflow: Subflow;
}

export class TransportHost implements PacketEndpoint {
  /** Why packets were refused, and how often. */
  readonly refused = new Map<string, number>();
  readonly #options: TransportHostOptions;
  readonly #numbers: InitialNumbers;
  readonly #listeners = new ListenerTable();
  readonly #flows = new Map<string, Flow>();
  readonly #tokens = new Map<number, HostConnection>();
  readonly #connections = new Set<HostConnection>();
  /** Those that may have something to send or to tell. */
  readonly #touched = new Set<HostConnection>();
  readonly #timers = new MinHeap<HostConnection>();
  readonly #resets: OutgoingPacket[] = [];
  #events: HostEvent[] = [];

  constructor(options: TransportHostOptions) {
    this.#options = options;
    this.#numbers = new InitialNumbers(options.ports);
  }

  /** Those that are not forgotten yet. */
  get connections(): ReadonlySet<HostConnection> {
    return this.#connections;
  }

  /** The connection with this local token. */
  byToken(token: number): HostConnection | undefined {
    return this.#tokens.get(token);
  }

  // What the application does.

  /** False where somebody listens there already. */
  listen(listener: HostListener): boolean {
    return this.#listeners.add(listener);
  }

  /** Nobody accepts any more: what nobody has accepted is reset. */
  stopListening(listener: HostListener, nowMs: number): void {
    this.#listeners.delete(listener);
    for (const connection of [...listener.halfOpen, ...listener.waiting.splice(0)]) {
      connection.mptcp.reset(nowMs);
      this.touch(connection);
    }
  }

  /** Opens a connection, or says that there are too many. */
  connect({ local, remote, multipath, firstBytes }: HostConnectOptions, nowMs: number): HostConnection | "tooMany" {
    const mptcp = this.#create(this.#options.settings.version);
    if (mptcp === undefined) return "tooMany";
    const connection = this.#keep(new HostConnection({ mptcp, local, remote, wantsMultipath: multipath }));
    const dataInSyn = firstBytes !== undefined && firstBytes.length > 0;
    if (dataInSyn) mptcp.write(firstBytes, nowMs);
    const path = { local, remote, localAddressId: 0, remoteAddressId: 0, backup: false };
    this.#register(connection, mptcp.open(path, nowMs, { dataInSyn, plain: !multipath }));
    return connection;
  }

  /** Opens a further subflow, or says why not. */
  join(connection: HostConnection, path: HostJoin, nowMs: number): Subflow | JoinRefusal {
    const remoteAddressId = connection.idOfPeer(path.remote.address);
    const subflow = connection.mptcp.join({ ...path, remoteAddressId }, nowMs);
    if (typeof subflow !== "string") this.#register(connection, subflow);
    return subflow;
  }

  /** Whether no flow has these ends: a port that may be used. */
  isFree(local: Endpoint, remote: Endpoint): boolean {
    return !this.#flows.has(keyOf(local, remote));
  }

  /** Something was done with this connection: it may have to send. */
  touch(connection: HostConnection): void {
    this.#touched.add(connection);
  }

  #create(version: 0 | 1): MptcpConnection | undefined {
    const { settings, ports, mostConnections } = this.#options;
    if (this.#connections.size >= mostConnections) return undefined;
    const localKey = chooseKey(ports, version, (token) => this.#tokens.has(token));
    if (localKey === undefined) return undefined;
    return new MptcpConnection({ settings, ports, version, localKey, numbers: this.#numbers });
  }

  #keep(connection: HostConnection): HostConnection {
    this.#connections.add(connection);
    this.#tokens.set(connection.mptcp.token, connection);
    return connection;
  }

  #register(connection: HostConnection, subflow: Subflow): void {
    this.#flows.set(keyOf(subflow.tcp.local, subflow.tcp.remote), { connection, subflow });
    this.touch(connection);
  }

  // Packets in.

  /** `verify` is false where somebody else has looked at TCP's checksum. */
  onPacket(nowMs: number, bytes: Uint8Array, verify = true): void {
    const packet = parseTcpPacket(bytes, verify);
    if (typeof packet !== "string") this.#onSegment(packet, nowMs);
    else if (packet !== "notTcp" || !this.#onIcmp(bytes, nowMs)) this.#count(packet);
  }

  #count(reason: string): void {
    this.refused.set(reason, (this.refused.get(reason) ?? 0) + 1);
  }

  #onSegment(packet: TcpPacket, nowMs: number): void {
    const { ip, segment } = packet;
    const local = { address: ip.destination, port: segment.destinationPort };
    const remote = { address: ip.source, port: segment.sourcePort };
    const key = keyOf(local, remote);
    const flow = this.#flows.get(key);
    if (flow !== undefined && !this.#isReopened(flow, segment)) {
      flow.connection.mptcp.receive(flow.subflow, segment, nowMs);
      this.touch(flow.connection);
      return;
    }
    const opens = (segment.flags & (TCP_FLAG.syn | TCP_FLAG.ack | TCP_FLAG.rst)) === TCP_FLAG.syn;
    if (!opens) return this.#refuse(packet, "noConnection");
    const options = segment.options as readonly MptcpOption[];
    const join = findMptcp(options, "joinSyn");
    if (join !== undefined) this.#onJoin(packet, join, { local, remote }, nowMs);
    else this.#onSyn(packet, findMptcp(options, "capable"), { local, remote }, nowMs);
  }

  /** RFC 9293 section 3.10.7.4: in TIME-WAIT a SYN with a higher sequence number may begin a new connection; that is left to the listener. */
  #isReopened({ connection, subflow }: Flow, { flags }: TcpSegment): boolean {
    if (subflow.tcp.state !== "timeWait" || (flags & TCP_FLAG.syn) === 0) return false;
    return connection.mptcp.closeReason !== undefined;
  }

  #onSyn(
    packet: TcpPacket,
    capable: CapableOption | undefined,
    { local, remote }: { readonly local: Endpoint; readonly remote: Endpoint },
    nowMs: number,
  ): void {
    const listener = this.#listeners.find(local);
    if (listener === undefined) return this.#refuse(packet, "noListener");
    const wanted = listener.multipath && capable !== undefined && isUsableCapable(capable) ? capable : undefined;
    const mptcp = listener.hasRoom ? this.#create(wanted?.version === 0 ? 0 : 1) : undefined;
    // A SYN that is dropped comes again, a refused one does not.
    if (mptcp === undefined) return this.#count("noRoom");
    const { multipath: wantsMultipath } = listener;
    const connection = this.#keep(new HostConnection({ mptcp, local, remote, listener, wantsMultipath }));
    listener.halfOpen.add(connection);
    const path = { local, remote, localAddressId: 0, remoteAddressId: 0, backup: false };
    this.#register(connection, mptcp.accept(packet.segment, wanted, path, nowMs));
  }

  #onJoin(
    packet: TcpPacket,
    option: JoinSynOption,
    { local, remote }: { readonly local: Endpoint; readonly remote: Endpoint },
    nowMs: number,
  ): void {
    const connection = this.#tokens.get(option.token);
    if (connection === undefined || !connection.takesJoinsAt(local)) {
      return this.#refuse(packet, "unknownToken", RESET_REASON.multipathError);
    }
    const ids = { localAddressId: connection.idOfOwn(local.address), remoteAddressId: option.addressId };
    const path = { local, remote, ...ids, backup: false };
    const answer = connection.mptcp.acceptJoin(packet.segment, option, path, nowMs);
    if (typeof answer === "number") this.#refuse(packet, "joinRefused", answer);
    else this.#register(connection, answer);
  }

  #refuse(packet: TcpPacket, why: string, reason?: number): void {
    this.#count(why);
    const options: SegmentOption[] = reason === undefined ? [] : [{ type: "reset", transient: false, reason }];
    const reset = refusalOf(packet, options);
    if (reset === undefined) return;
    if (this.#resets.length >= MOST_WAITING_RESETS) this.#resets.shift();
    this.#resets.push(reset);
  }

  /** Whether it was an error about a TCP segment. */
  #onIcmp(bytes: Uint8Array, nowMs: number): boolean {
    const ip = parseIpPacket(bytes);
    const error = typeof ip === "string" ? undefined : parseIcmpError(ip);
    const about = error && parseQuotedSegment(error.quoted);
    if (typeof ip === "string" || error === undefined || about === undefined) return false;
    const flow = this.#flows.get(keyOf(about.source, about.destination));
    if (flow === undefined || error.reason.type !== "packetTooBig") return true;
    const segmentBytes = error.reason.mtuBytes - ipHeaderBytes(ip) - TCP_HEADER_BYTES;
    flow.subflow.tcp.onPacketTooBig(segmentBytes, about.sequence, nowMs);
    this.touch(flow.connection);
    return true;
  }

  // Time, packets out and events.

  pollTimeout(): number | undefined {
    while (this.#timers.next !== undefined && this.#timers.next.armedMs !== this.#timers.nextKey) this.#timers.pop();
    return this.#timers.nextKey;
  }

  onTimeout(nowMs: number): void {
    for (let at = this.pollTimeout(); at !== undefined && at <= nowMs; at = this.pollTimeout()) {
      const connection = this.#timers.pop();
      if (connection === undefined) return;
      connection.armedMs = undefined;
      connection.mptcp.onTimeout(nowMs);
      this.touch(connection);
    }
  }

  pollTransmit(nowMs: number): Uint8Array | undefined {
    const packet = this.pollPacket(nowMs);
    return packet && emitTcpPacket(packet);
  }

  /** As {@link pollTransmit}, not yet as bytes. */
  pollPacket(nowMs: number): OutgoingPacket | undefined {
    const reset = this.#resets.shift();
    if (reset !== undefined) return reset;
    for (const connection of this.#touched) {
      const out = connection.mptcp.pollTransmit(nowMs);
      if (out !== undefined) {
        const { local, remote, sender } = out.subflow.tcp;
        return { ip: headerBetween(local, remote), segment: out.segment, segmentBytes: sender.segmentBytes };
      }
      this.#touched.delete(connection);
      this.#settle(connection);
    }
    return undefined;
  }

  /** Nothing is left to send for now: tells what has happened, and sets the timer. */
  #settle(connection: HostConnection): void {
    const { mptcp } = connection;
    for (let event = mptcp.pollEvent(); event !== undefined; event = mptcp.pollEvent()) {
      this.#follow(connection, event);
      this.#events.push({ connection, event });
    }
    if (mptcp.isDone) return this.#forget(connection);
    const next = mptcp.pollTimeout();
    // One that is due earlier than wanted does no harm: it is set again then.
    if (next === undefined || (connection.armedMs !== undefined && connection.armedMs <= next)) return;
    connection.armedMs = next;
    this.#timers.push(next, connection);
  }

  #follow(connection: HostConnection, event: MptcpEvent): void {
    const { listener } = connection;
    if (event.type === "subflowClosed") this.#forgetFlow(connection, event.local, event.remote);
    if (event.type === "closed") listener?.halfOpen.delete(connection);
    if (event.type !== "connected" || listener === undefined || !listener.halfOpen.delete(connection)) return;
    listener.waiting.push(connection);
    this.#events.push({ connection, event: { type: "acceptable", listener } });
  }

  #forget(connection: HostConnection): void {
    connection.armedMs = undefined;
    this.#connections.delete(connection);
    if (this.#tokens.get(connection.mptcp.token) === connection) this.#tokens.delete(connection.mptcp.token);
    this.#forgetFlow(connection, connection.local, connection.remote);
  }

  #forgetFlow(connection: HostConnection, local: Endpoint, remote: Endpoint): void {
    const key = keyOf(local, remote);
    if (this.#flows.get(key)?.connection === connection) this.#flows.delete(key);
  }

  pollEvent(): HostEvent | undefined {
    return this.#events.shift();
  }
}

function keyOf(local: Endpoint, remote: Endpoint): string {
  return endpointKey(local) + endpointKey(remote);
}
