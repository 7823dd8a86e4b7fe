/**
 * A host's transport: many connections of Multipath TCP and TCP, their packets in and out. It finds the connection of a
 * packet, takes new ones at ports that listen, and answers what belongs to nobody.
 */
import { equalBytes } from "../base/bytes.ts";
import { type Endpoint, endpointKey, type Family, familyOf, type IpAddress } from "../base/ip-address.ts";
import { parseIcmpError, parseQuotedSegment } from "../wire/icmp.ts";
import { IPV4_HEADER_BYTES, IPV6_HEADER_BYTES, ipHeaderBytes, parseIpPacket } from "../wire/ip-packet.ts";
import { KEY_BYTES, type MptcpVersion } from "../wire/mptcp/keys.ts";
import { type JoinSynOption, type MptcpOption, RESET_REASON } from "../wire/mptcp/options.ts";
import { emitTcpPacket, type PacketRefusal, parseTcpPacket } from "../wire/tcp/packet.ts";
import { TCP_FLAG, TCP_HEADER_BYTES, type TcpSegment } from "../wire/tcp/segment.ts";
import { AddressTable } from "./address-table.ts";
import { ConnectionDeadlines } from "./connection-deadlines.ts";
import { CookieDesk } from "./cookie-desk.ts";
import type { PacketEndpoint } from "./endpoint.ts";
import { type ConnectOptions, FOREIGN_PORT, type StackHostOptions } from "./host-options.ts";
import { DEFAULT_LISTEN_OPTIONS, Listener, type ListenOptions } from "./listener.ts";
import { isUsableCapable, versionOf } from "./mptcp/capable-handshake.ts";
import { type ConnectionHost, type JoinRefusal, MptcpConnection, type SubflowPath } from "./mptcp/connection.ts";
import { findMptcp } from "./mptcp/handshake.ts";
import { chooseKey } from "./mptcp/session.ts";
import type { MptcpSettings } from "./mptcp/settings.ts";
import type { Subflow } from "./mptcp/subflow.ts";
import { type OutgoingPacket, packetBetween, StrangerAnswers } from "./outgoing-packet.ts";
import { CookieCache, FastOpenCookies } from "./tcp/fast-open.ts";
import { InitialNumbers } from "./tcp/initial-numbers.ts";
import { resetFor } from "./tcp/reset.ts";

/** RFC 6056 section 3.2: ports of our own choice. */
const FIRST_PORT = 32_768;
const PORTS = 28_232;
const MOST_PORT_TRIES = 64;

/**
 * Connections in TIME-WAIT, and their share of those that a host may have: what has ended must not keep out what begins,
 * nor take the memory of all that has ended within a minute.
 */
const MOST_LINGERING = 4096;
const LINGERING_SHARE = 1 / 4;

interface Flow {
  readonly connection: MptcpConnection;
  readonly subflow: Subflow;
}

/** Why a packet was not taken; each is counted. */
export type HostRefusal =
  | PacketRefusal
  | "notOurs"
  | "tooManyConnections"
  | "listenerFull"
  | "unknownToken"
  | "joinRefused";

export class StackHost implements PacketEndpoint {
  readonly #options: StackHostOptions;
  readonly #numbers: InitialNumbers;
  readonly #desk: CookieDesk;
  readonly #fastOpen: FastOpenCookies;
  readonly #cookies = new CookieCache();
  readonly #listeners = new Map<number, Listener>();
  readonly #addresses = new AddressTable();
  readonly #flows = new Map<string, Flow>();
  /** Every connection by its token, plain TCP too. */
  readonly #connections = new Map<number, MptcpConnection>();
  /** Where those are to be accepted whose handshake has not ended. */
  readonly #opening = new Map<MptcpConnection, Listener>();
  #settings: Readonly<Record<Family, MptcpSettings>>;
  /** What connections tell. */
  readonly #connectionHost: ConnectionHost = {
    onActive: (connection) => this.#active.add(connection),
    onSubflowClosed: (subflow) => this.#forgetFlow(subflow),
    tcpSettingsOf: (family) => this.#settings[family].tcp,
  };
  readonly #active = new Set<MptcpConnection>();
  /** Those that have done something since {@link pollChanged} gave them out. */
  readonly #changed = new Set<MptcpConnection>();
  /** Those in TIME-WAIT, the oldest first. */
  readonly #lingering = new Set<MptcpConnection>();
  readonly #deadlines = new ConnectionDeadlines<MptcpConnection>();
  readonly #answers = new StrangerAnswers();
  readonly #refusals = new Map<HostRefusal, number>();
  /** Subflows that a connection may have when the peer joins another one; undefined for what its settings say. */
  mostJoined: number | undefined;

  constructor(options: StackHostOptions) {
    this.#options = options;
    this.#settings = { ipv4: settingsFor(options, IPV4_HEADER_BYTES), ipv6: settingsFor(options, IPV6_HEADER_BYTES) };
    this.#numbers = new InitialNumbers(options.ports);
    this.#desk = new CookieDesk(options.ports, this.#numbers, options.share);
    this.#fastOpen = new FastOpenCookies(options.ports, 0);
  }

  /** For connections that begin from now on. */
  configure(change: Partial<Pick<MptcpSettings, "scheduler">>): void {
    const { ipv4, ipv6 } = this.#settings;
    this.#settings = { ipv4: { ...ipv4, ...change }, ipv6: { ...ipv6, ...change } };
  }

  /** Why packets were not taken, and how often. */
  get refusals(): ReadonlyMap<HostRefusal, number> {
    return this.#refusals;
  }

  get size(): number {
    return this.#connections.size;
  }

  /** Connections that it can still take. */
  get room(): number {
    return this.#options.mostConnections - this.size;
  }

  /** The connection with this local token (RFC 8684 section 3.1). */
  byToken(token: number): MptcpConnection | undefined {
    return this.#connections.get(token);
  }

  /** The connection that has a subflow with these ends. */
  connectionBetween(local: Endpoint, remote: Endpoint): MptcpConnection | undefined {
    return this.#flows.get(keyOf(local, remote))?.connection;
  }

  isListening(port: number): boolean {
    return this.#listeners.has(port);
  }

  /** Whether no connection has these ends. */
  isFree(local: Endpoint, remote: Endpoint): boolean {
    return !this.#flows.has(keyOf(local, remote));
  }

  /** A connection that may have events to tell, or bytes, once for each time that it has done something; after packets, time and calls. */
  pollChanged(): MptcpConnection | undefined {
    for (const connection of this.#changed) {
      this.#changed.delete(connection);
      return connection;
    }
    return undefined;
  }

  /** Takes connections to a port from now on; to addresses that are not this host's at {@link FOREIGN_PORT}. */
  listen(port: number, options: Partial<ListenOptions> = {}): Listener {
    const listener = new Listener({ ...DEFAULT_LISTEN_OPTIONS, ...options });
    this.#listeners.set(port, listener);
    return listener;
  }

  /** Takes no further connections to a port, and resets those that were not accepted. */
  unlisten(port: number, nowMs: number): void {
    for (const connection of this.#listeners.get(port)?.close() ?? []) connection.reset(nowMs);
    this.#listeners.delete(port);
  }

  #listenerAt({ address, port }: Endpoint): Listener | undefined {
    return this.#listeners.get(this.#options.isOwn?.(address) === false ? FOREIGN_PORT : port);
  }

  /** Opens a connection; undefined where no port or no room is left. */
  connect(
    local: IpAddress,
    remote: Endpoint,
    nowMs: number,
    options: ConnectOptions = {},
  ): MptcpConnection | undefined {
    const { localPort } = options;
    const from = localPort === undefined ? this.#choosePort(local, remote) : { address: local, port: localPort };
    if (from !== undefined && !this.isFree(from, remote)) return undefined;
    const connection = from && this.#create(this.#options.settings.version, familyOf(local));
    if (from === undefined || connection === undefined) return undefined;
    const { multipath = true, fastOpen, firstBytes, localAddressId = 0 } = options;
    if (firstBytes !== undefined) connection.write(firstBytes, nowMs);
    const known = this.#cookies.get(remote);
    const open = {
      ...(fastOpen === "cookie" && { fastOpenCookie: known ?? new Uint8Array(0) }),
      dataInSyn: fastOpen === "always" || (fastOpen === "cookie" && known !== undefined),
    };
    const path = { local: from, remote, localAddressId, remoteAddressId: 0, backup: false };
    const subflow = multipath ? connection.open(path, nowMs, open) : connection.openPlain(path, nowMs, open);
    this.#register(connection, subflow);
    return connection;
  }

  /** Opens a further subflow from an address of ours, or says why not. */
  join(
    connection: MptcpConnection,
    path: Omit<SubflowPath, "local">,
    local: IpAddress,
    nowMs: number,
  ): Subflow | JoinRefusal | "noPort" {
    const from = this.#choosePort(local, path.remote);
    if (from === undefined) return "noPort";
    const subflow = connection.join({ ...path, local: from }, nowMs);
    if (typeof subflow !== "string") this.#register(connection, subflow);
    return subflow;
  }

  #choosePort(address: IpAddress, remote: Endpoint): Endpoint | undefined {
    for (let tries = 0; tries < MOST_PORT_TRIES; tries++) {
      const [high = 0, low = 0] = this.#options.ports.randomBytes(2);
      const local = { address, port: FIRST_PORT + ((high * 256 + low) % PORTS) };
      if (!this.#flows.has(keyOf(local, remote)) && !this.#listeners.has(local.port)) return local;
    }
    return undefined;
  }

  /** A connection with a key whose token is free, or with this one; undefined where there is no room. */
  #create(version: MptcpVersion, family: Family, key?: Uint8Array): MptcpConnection | undefined {
    const { ports, share } = this.#options;
    const isTaken = (token: number) => this.#connections.has(token) || share?.owns(token) === false;
    const localKey = key ?? chooseKey(ports.hashes, version, isTaken, () => ports.randomBytes(KEY_BYTES));
    if (localKey === undefined || this.room <= 0) return undefined;
    const connection = new MptcpConnection({
      settings: this.#settings[family],
      ports,
      version,
      localKey,
      numbers: this.#numbers,
      host: this.#connectionHost,
    });
    if (this.#connections.has(connection.token)) return undefined;
    this.#connections.set(connection.token, connection);
    return connection;
  }

  #register(connection: MptcpConnection, subflow: Subflow): void {
    this.#flows.set(keyOf(subflow.tcp.local, subflow.tcp.remote), { connection, subflow });
    this.#active.add(connection);
  }

  /** Of a packet that opens a subflow. */
  #pathBetween(local: Endpoint, remote: Endpoint): SubflowPath {
    const shared = ({ address, port }: Endpoint) => ({ address: this.#addresses.share(address), port });
    return { local: shared(local), remote: shared(remote), localAddressId: 0, remoteAddressId: 0, backup: false };
  }

  /** Its ends may belong to another one by now. */
  #forgetFlow(subflow: Subflow): void {
    const key = keyOf(subflow.tcp.local, subflow.tcp.remote);
    if (this.#flows.get(key)?.subflow === subflow) this.#flows.delete(key);
  }

  // Packets in.

  /** `verify` is false where somebody else has looked at TCP's checksum. */
  onPacket(nowMs: number, bytes: Uint8Array, verify = true): void {
    const packet = parseTcpPacket(bytes, verify);
    if (typeof packet === "string") {
      if (packet !== "notTcp" || !this.#onIcmp(nowMs, bytes)) this.#refuse(packet);
      return;
    }
    const { ip, segment } = packet;
    const local = { address: ip.destination, port: segment.destinationPort };
    const remote = { address: ip.source, port: segment.sourcePort };
    const flow = this.#flows.get(keyOf(local, remote));
    if (flow === undefined) {
      if (this.#isPassed(segment, bytes)) return;
      return this.#onStranger(segment, local, remote, nowMs);
    }
    const opens = opensConnection(segment);
    if (opens && flow.subflow.tcp.mayGiveWayTo(segment)) {
      flow.subflow.tcp.endTimeWait();
      this.#forgetFlow(flow.subflow);
      this.#active.add(flow.connection);
      return this.#onStranger(segment, local, remote, nowMs);
    }
    flow.connection.receive(flow.subflow, segment, nowMs);
    const { givenCookie } = flow.subflow.tcp;
    if (givenCookie !== undefined && givenCookie.length > 0 && !opens) this.#cookies.put(remote, givenCookie);
    this.#updateListener(flow.connection);
  }

  /** Whether it is a join to a connection of another transport, whose it is now. */
  #isPassed(segment: TcpSegment, packet: Uint8Array): boolean {
    const { share } = this.#options;
    if (share === undefined || !opensConnection(segment)) return false;
    const join = findMptcp(segment.options as readonly MptcpOption[], "joinSyn");
    if (join === undefined || share.owns(join.token)) return false;
    if (!share.pass(join.token, packet)) this.#refuse("joinRefused");
    return true;
  }

  #updateListener(connection: MptcpConnection): void {
    const listener = this.#opening.get(connection);
    if (listener?.update(connection) === false) this.#opening.delete(connection);
  }

  #giveToListener(connection: MptcpConnection, listener: Listener, hasData: boolean): void {
    this.#opening.set(connection, listener);
    listener.onOpened(connection, hasData);
  }

  /** A segment of no connection. */
  #onStranger(segment: TcpSegment, local: Endpoint, remote: Endpoint, nowMs: number): void {
    const options = segment.options as readonly MptcpOption[];
    const join = findMptcp(options, "joinSyn");
    if (opensConnection(segment)) {
      if (join !== undefined) return this.#onJoin(segment, join, local, remote, nowMs);
      const listener = this.#listenerAt(local);
      if (listener !== undefined) return this.#onSyn(listener, segment, local, remote, nowMs);
    } else if (this.#onCookie(segment, local, remote, nowMs)) return;
    this.#refuse("notOurs");
    this.#answerReset(segment, local, remote, nowMs);
  }

  #onSyn(listener: Listener, syn: TcpSegment, local: Endpoint, remote: Endpoint, nowMs: number): void {
    if (listener.isFull) return this.#refuse("listenerFull");
    const offered = findMptcp(syn.options as readonly MptcpOption[], "capable");
    const capable =
      listener.options.multipath && offered !== undefined && isUsableCapable(offered) ? offered : undefined;
    if (listener.isHalfOpenFull) {
      const settings = this.#settings[familyOf(local.address)];
      const answer = this.#desk.answer(syn, capable, local, remote, settings, nowMs);
      return this.#answers.addCookie(packetBetween(local, remote, answer, 0));
    }
    const connection = this.#create(versionOf(capable), familyOf(local.address));
    if (connection === undefined) return this.#refuse("tooManyConnections");
    const { takeData, cookie } = this.#judgeFastOpen(listener, syn, remote, nowMs);
    const accept = { takeData, ...(cookie && { fastOpenCookie: cookie }) };
    this.#register(connection, connection.accept(syn, capable, this.#pathBetween(local, remote), nowMs, accept));
    this.#giveToListener(connection, listener, takeData && syn.payload.length > 0);
  }

  #judgeFastOpen(
    { options }: Listener,
    syn: TcpSegment,
    { address }: Endpoint,
    nowMs: number,
  ): { takeData: boolean; cookie: Uint8Array | undefined } {
    if (options.fastOpen === "never") return { takeData: false, cookie: undefined };
    if (options.fastOpen === "always") return { takeData: true, cookie: undefined };
    const said = syn.options.find((option) => option.type === "fastOpen")?.cookie;
    if (said === undefined) return { takeData: false, cookie: undefined };
    const isGood = said.length > 0 && this.#fastOpen.isGood(address, said, nowMs);
    return { takeData: isGood, cookie: isGood ? undefined : this.#fastOpen.make(address, nowMs) };
  }

  #onJoin(syn: TcpSegment, join: JoinSynOption, local: Endpoint, remote: Endpoint, nowMs: number): void {
    const connection = this.#connections.get(join.token);
    if (connection !== undefined && !this.#takesJoins(connection, local)) {
      this.#refuse("notOurs");
      return this.#answerReset(syn, local, remote, nowMs);
    }
    const path = () => ({
      ...this.#pathBetween(local, remote),
      localAddressId: connection?.idOfOwn(local.address) ?? 0,
    });
    const answer = this.#hasAllJoins(connection)
      ? RESET_REASON.lackOfResources
      : connection?.acceptJoin(syn, join, path(), nowMs);
    if (connection !== undefined && typeof answer === "object") return this.#register(connection, answer);
    this.#refuse(connection === undefined ? "unknownToken" : "joinRefused");
    const options = typeof answer === "number" ? [{ type: "reset" as const, transient: false, reason: answer }] : [];
    this.#answerReset(syn, local, remote, nowMs, options);
  }

  #hasAllJoins(connection: MptcpConnection | undefined): boolean {
    return connection !== undefined && connection.subflows.length >= (this.mostJoined ?? Number.POSITIVE_INFINITY);
  }

  /** Joins come where connections are taken, to the port of the connection's other subflows, or to an end that the peer was told. */
  #takesJoins({ subflows, parts }: MptcpConnection, { address, port }: Endpoint): boolean {
    if (this.#listeners.has(port) || subflows.some(({ tcp }) => tcp.local.port === port)) return true;
    const { ownAddresses } = parts.addresses;
    return ownAddresses.some((own) => own.port === port && equalBytes(own.address, address));
  }

  /** Whether this is the third segment of a handshake that a SYN cookie answered. While there is no room it goes unanswered: what the client sends next repeats it. */
  #onCookie(segment: TcpSegment, local: Endpoint, remote: Endpoint, nowMs: number): boolean {
    const listener = this.#listenerAt(local);
    const cookie = listener && this.#desk.check(segment, local, remote, nowMs);
    if (listener === undefined || cookie === undefined) return false;
    if (listener.isFull) {
      this.#refuse("listenerFull");
      return true;
    }
    const { key, accept } = cookie;
    const connection = this.#create(versionOf(accept.capable), familyOf(local.address), accept.capable && key);
    if (connection === undefined) return false;
    this.#register(connection, connection.acceptCookie(accept, this.#pathBetween(local, remote), nowMs));
    this.#giveToListener(connection, listener, false);
    return true;
  }

  /** Whether it was an error about a segment of ours. */
  #onIcmp(nowMs: number, bytes: Uint8Array): boolean {
    const ip = parseIpPacket(bytes);
    const error = typeof ip === "string" ? undefined : parseIcmpError(ip);
    const about = error && parseQuotedSegment(error.quoted);
    if (typeof ip === "string" || error === undefined || about === undefined) return false;
    const flow = this.#flows.get(keyOf(about.source, about.destination));
    if (flow === undefined) return true;
    const { tcp } = flow.subflow;
    if (error.reason.type === "packetTooBig") {
      tcp.onPacketTooBig(error.reason.mtuBytes - ipHeaderBytes(ip) - TCP_HEADER_BYTES, about.sequence, nowMs);
    } else tcp.onUnreachable(about.sequence);
    this.#active.add(flow.connection);
    return true;
  }

  #refuse(reason: HostRefusal): void {
    this.#refusals.set(reason, (this.#refusals.get(reason) ?? 0) + 1);
  }

  #answerReset(
    segment: TcpSegment,
    local: Endpoint,
    remote: Endpoint,
    nowMs: number,
    options: readonly MptcpOption[] = [],
  ): void {
    const reset = resetFor(segment);
    if (reset !== undefined) this.#answers.add(packetBetween(local, remote, { ...reset, options }, 0), nowMs);
  }

  // Time, and packets out.

  pollTimeout(): number | undefined {
    return this.#deadlines.nextMs;
  }

  onTimeout(nowMs: number): void {
    for (let due = this.#deadlines.takeDue(nowMs); due !== undefined; due = this.#deadlines.takeDue(nowMs)) {
      due.onTimeout(nowMs);
      this.#active.add(due);
    }
  }

  pollTransmit(nowMs: number): Uint8Array | undefined {
    const packet = this.pollPacket(nowMs);
    return packet && emitTcpPacket(packet);
  }

  /** As {@link pollTransmit}, not yet as bytes. */
  pollPacket(nowMs: number): OutgoingPacket | undefined {
    const answer = this.#answers.shift();
    if (answer !== undefined) return answer;
    for (const connection of this.#active) {
      const out = connection.pollTransmit(nowMs);
      if (out !== undefined) {
        const { local, remote, sender } = out.subflow.tcp;
        return packetBetween(local, remote, out.segment, sender.segmentBytes);
      }
      this.#active.delete(connection);
      this.#changed.add(connection);
      this.#sweep(connection);
    }
    return undefined;
  }

  #forget(connection: MptcpConnection): void {
    this.#connections.delete(connection.token);
    this.#deadlines.set(connection, undefined);
    this.#lingering.delete(connection);
  }

  /** Of too many the oldest goes, as in Linux (tcp_max_tw_buckets). */
  #linger(connection: MptcpConnection): void {
    this.#lingering.add(connection);
    const [oldest] = this.#lingering;
    const most = Math.min(MOST_LINGERING, LINGERING_SHARE * this.#options.mostConnections);
    if (oldest === undefined || this.#lingering.size <= most) return;
    for (const subflow of oldest.subflows) {
      subflow.tcp.endTimeWait();
      this.#forgetFlow(subflow);
    }
    this.#forget(oldest);
  }

  /** Nothing is left to send for now: forgets what is over, and notes the next timeout. */
  #sweep(connection: MptcpConnection): void {
    this.#updateListener(connection);
    if (connection.isDone) return this.#forget(connection);
    if (connection.isLingering) this.#linger(connection);
    this.#deadlines.set(connection, connection.pollTimeout());
  }
}

function settingsFor({ settings, mtuBytes }: StackHostOptions, ipHeader: number): MptcpSettings {
  return { ...settings, tcp: { ...settings.tcp, maximumSegmentBytes: mtuBytes - ipHeader - TCP_HEADER_BYTES } };
}

function opensConnection({ flags }: TcpSegment): boolean {
  return (flags & (TCP_FLAG.syn | TCP_FLAG.ack | TCP_FLAG.rst)) === TCP_FLAG.syn;
}

function keyOf(local: Endpoint, remote: Endpoint): string {
  return endpointKey(local) + endpointKey(remote);
}
