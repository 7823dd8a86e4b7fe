/**
 * One Multipath TCP connection: segments of its subflows and time in, segments and events out. Before changing this
 * folder read RFC 8684 (RFC 6824 for version 0), section 3.
 *
 * A subflow (subflow.ts) is a TCP connection with options; session.ts is what subflows share. assigning.ts gives bytes
 * to subflows, collecting.ts takes them from subflows, closing.ts ends streams and subflows, fallback.ts makes plain
 * TCP of it. With a peer that has no Multipath TCP this is a plain TCP connection.
 *
 * A driver does as with a TCP connection: it takes segments until there are none after every call, then the next
 * timeout.
 */
import { equalBytes } from "../../base/bytes.ts";
import { Deadlines } from "../../base/deadlines.ts";
import { type Endpoint, type Family, familyOf, type IpAddress } from "../../base/ip-address.ts";
import type { AnnouncedAddress } from "../../wire/mptcp/keys.ts";
import type { CapableOption, JoinSynOption } from "../../wire/mptcp/options.ts";
import { RESET_REASON } from "../../wire/mptcp/options.ts";
import type { TcpSegment } from "../../wire/tcp/segment.ts";
import type { CloseReason } from "../tcp/events.ts";
import type { SynOptions } from "../tcp/handshake.ts";
import type { InitialNumbers } from "../tcp/initial-numbers.ts";
import type { AcceptOptions, OpenOptions, TcpSettings } from "../tcp/settings.ts";
import { AddressBook } from "./address-book.ts";
import { CapableHandshake } from "./capable-handshake.ts";
import { abort, dropSubflow, isComplete } from "./closing.ts";
import type { MptcpEvent } from "./events.ts";
import { fallBack } from "./fallback.ts";
import type { Handshake } from "./handshake.ts";
import { JoinHandshake } from "./join-handshake.ts";
import { acknowledgeOnAll, type MptcpParts, type MptcpTimer, takeEvent, usable } from "./parts.ts";
import { Progress } from "./progress.ts";
import { Session, type SessionOptions } from "./session.ts";
import { Subflow } from "./subflow.ts";

export interface MptcpConnectionOptions extends SessionOptions {
  readonly numbers: InitialNumbers;
  /** Whoever has many connections. */
  readonly host?: ConnectionHost;
}

/** What connections tell the host that has many of them, and ask it. */
export interface ConnectionHost {
  /** There may be something to send, or another timeout. */
  onActive(connection: MptcpConnection): void;
  /** The subflow is over: segments between its ends are no more the connection's. */
  onSubflowClosed(subflow: Subflow): void;
  /** The settings of a subflow of this family: its largest segment is not that of the other family. */
  tcpSettingsOf(family: Family): TcpSettings;
}

/** The third segment of a handshake of which nothing was kept, and what is known of the others. */
export interface CookieAccept {
  readonly ack: TcpSegment;
  readonly peerSyn: SynOptions;
  /** The one of our SYN-ACK. */
  readonly initialSequence: number;
  /** Where the segment has both keys, ours being the one that was given. */
  readonly capable: CapableOption | undefined;
}

/** The ends of a subflow, and what both sides call their addresses. */
export interface SubflowPath {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly localAddressId: number;
  readonly remoteAddressId: number;
  /** To be used only when no other one works. */
  readonly backup: boolean;
}

/** Why a subflow cannot be opened. */
export type JoinRefusal = "fallback" | "tooMany" | "notEstablished" | "closed" | "prohibited";

/** A segment, and the subflow that sends it. */
export interface OutgoingSubflowSegment {
  readonly subflow: Subflow;
  readonly segment: TcpSegment;
}

/** Further subflows of which the peer has not shown yet that it knows the keys (RFC 7430 section 4.1). */
export const MOST_HALF_OPEN_JOINS = 3;

export class MptcpConnection {
  readonly #parts: MptcpParts;
  readonly #numbers: InitialNumbers;
  readonly #progress: Progress;
  readonly #host: ConnectionHost | undefined;
  #nextId = 0;
  #isInitiator = false;

  constructor(options: MptcpConnectionOptions) {
    const session = new Session(options);
    this.#numbers = options.numbers;
    this.#host = options.host;
    this.#parts = {
      session,
      addresses: new AddressBook(session),
      timers: new Deadlines<MptcpTimer>(),
      counters: undefined,
      events: undefined,
      subflows: [],
      closeReason: undefined,
      isOrphan: false,
      endedFirst: false,
    };
    this.#progress = new Progress(this.#parts, options.host);
  }

  // What is known.

  get parts(): Readonly<MptcpParts> {
    return this.#parts;
  }

  /** Names the connection in MP_JOIN: by it the peer's joins find us. */
  get token(): number {
    return this.#parts.session.local.token;
  }

  get subflows(): readonly Subflow[] {
    return this.#parts.subflows;
  }

  get isMultipath(): boolean {
    return this.#parts.session.fallback === undefined;
  }

  /** The first subflow's handshake has ended. */
  get isConnected(): boolean {
    return this.#progress.isConnected;
  }

  /** This side has opened it. */
  get isInitiator(): boolean {
    return this.#isInitiator;
  }

  get closeReason(): CloseReason | undefined {
    return this.#parts.closeReason;
  }

  /** Over, with every subflow: it may be forgotten. */
  get isDone(): boolean {
    return this.closeReason !== undefined && this.#parts.subflows.length === 0;
  }

  /** Over, but for what its subflows' last segments may still bring (TIME-WAIT, RFC 9293 section 3.6.1). */
  get isLingering(): boolean {
    const { subflows } = this.#parts;
    const isOver = this.closeReason === "finished" && subflows.length > 0;
    return isOver && subflows.every(({ tcp }) => tcp.state === "timeWait");
  }

  get readableBytes(): number {
    return this.#parts.session.receiver.readableBytes;
  }

  // Opening.

  /** Opens the connection by its first subflow. Of `firstBytes` goes with the SYN what fits, where `open` says so. */
  open(path: SubflowPath, nowMs: number, open: OpenOptions = {}): Subflow {
    this.#isInitiator = true;
    const subflow = this.#addSubflow(path, new CapableHandshake(this.#parts.session), nowMs);
    if (open.dataInSyn) this.#giveToSyn(subflow);
    subflow.tcp.open(nowMs, open);
    this.#advance(nowMs);
    return subflow;
  }

  /** Opens a plain TCP connection. */
  openPlain(path: SubflowPath, nowMs: number, open: OpenOptions = {}): Subflow {
    fallBack(this.#parts, "notWanted");
    return this.open(path, nowMs, open);
  }

  #giveToSyn(subflow: Subflow): void {
    const { sender } = this.#parts.session;
    const first = sender.takeForSyn(this.#parts.session.settings.tcp.maximumSegmentBytes - SYN_OPTION_BYTES);
    if (first !== undefined) subflow.assignToSyn(first.bytes);
  }

  /** Takes a SYN with MP_CAPABLE; without one (or where ours is not wanted) the connection is plain TCP. */
  accept(
    syn: TcpSegment,
    capable: CapableOption | undefined,
    path: SubflowPath,
    nowMs: number,
    options: AcceptOptions = {},
  ): Subflow {
    const { session } = this.#parts;
    const handshake = new CapableHandshake(session, capable ?? PLAIN);
    if (capable === undefined) fallBack(this.#parts, "handshake");
    const subflow = this.#addSubflow(path, handshake, nowMs);
    if (options.takeData && syn.payload.length > 0) {
      // RFC 8684 appendix B.2: the data of a SYN has no mapping, and no data sequence numbers; it is the connection's first.
      session.peerSynBytes = syn.payload.length;
      subflow.received.add({
        start: 1,
        end: 1 + syn.payload.length,
        dataStart: 1,
        checksum: undefined,
        isImplicit: true,
      });
      subflow.answersEarly = true;
      session.sender.onDataAck(1, syn.window);
    }
    subflow.tcp.accept(syn, nowMs, options);
    this.#advance(nowMs);
    return subflow;
  }

  /** Takes the third segment of a handshake that a SYN cookie answered. */
  acceptCookie({ ack, peerSyn, initialSequence, capable }: CookieAccept, path: SubflowPath, nowMs: number): Subflow {
    const handshake = new CapableHandshake(this.#parts.session, capable ?? PLAIN);
    if (capable === undefined) fallBack(this.#parts, "handshake");
    const subflow = this.#addSubflow(path, handshake, nowMs, initialSequence);
    subflow.tcp.acceptCookie(ack, peerSyn, nowMs);
    this.#advance(nowMs);
    return subflow;
  }

  /** Opens a further subflow, or says why not. */
  join(path: SubflowPath, nowMs: number): Subflow | JoinRefusal {
    const refusal = this.#joinRefusal();
    if (refusal !== undefined) return refusal;
    const { session } = this.#parts;
    const handshake = new JoinHandshake(session, { addressId: path.localAddressId, backup: path.backup });
    const subflow = this.#addSubflow(path, handshake, nowMs);
    subflow.tcp.open(nowMs);
    return subflow;
  }

  /**
   * Takes a SYN with MP_JOIN whose token is ours; returns the reason of the reset that it is to get where it is refused
   * (RFC 8684 section 3.6).
   */
  acceptJoin(syn: TcpSegment, option: JoinSynOption, path: SubflowPath, nowMs: number): Subflow | number {
    const { session, subflows } = this.#parts;
    const refusal = this.#joinRefusal();
    if (refusal === "tooMany") return RESET_REASON.lackOfResources;
    if (refusal !== undefined) return RESET_REASON.multipathError;
    const halfOpen = subflows.filter(({ isConfirmed }) => !isConfirmed).length;
    if (halfOpen >= MOST_HALF_OPEN_JOINS) return RESET_REASON.lackOfResources;
    const handshake = new JoinHandshake(session, { addressId: path.localAddressId, backup: path.backup }, option);
    const subflow = this.#addSubflow({ ...path, remoteAddressId: option.addressId }, handshake, nowMs);
    subflow.peerBackup = option.backup;
    subflow.tcp.accept(syn, nowMs);
    return subflow;
  }

  #joinRefusal(): JoinRefusal | undefined {
    const { session, subflows, closeReason } = this.#parts;
    if (closeReason !== undefined || isComplete(this.#parts)) return "closed";
    if (session.fallback !== undefined) return "fallback";
    if (subflows.length >= session.settings.mostSubflows) return "tooMany";
    // Until both have seen that options pass, the connection may still become plain TCP.
    return this.#progress.isConfirmed ? undefined : "notEstablished";
  }

  #addSubflow(path: SubflowPath, handshake: Handshake, nowMs: number, initialSequence?: number): Subflow {
    const { session } = this.#parts;
    const { local, remote } = path;
    const subflow = new Subflow({
      ...path,
      id: this.#nextId++,
      session,
      handshake,
      owner: this.#progress,
      initialSequence: initialSequence ?? this.#numbers.sequence(local, remote, nowMs),
      timestampOffset: this.#numbers.timestampOffset(local, remote),
      settings: this.#host?.tcpSettingsOf(familyOf(local.address)) ?? session.settings.tcp,
    });
    this.#parts.subflows = this.#parts.subflows.concat(subflow);
    this.#host?.onActive(this);
    return subflow;
  }

  // What the application does.

  write(bytes: Uint8Array, nowMs: number): number {
    if (this.closeReason !== undefined) return 0;
    const length = this.#parts.session.sender.write(bytes);
    if (length > 0) this.#advance(nowMs);
    return length;
  }

  /** Moves readable bytes into `into`; returns how many. */
  read(into: Uint8Array): number {
    return this.#onRead(this.#parts.session.receiver.read(into));
  }

  /** Copies readable bytes into `into`, which stay readable; returns how many. */
  peek(into: Uint8Array): number {
    return this.#parts.session.receiver.peek(into);
  }

  /** Takes at most `most` readable bytes away; returns how many. */
  skip(most: number): number {
    return this.#onRead(this.#parts.session.receiver.skip(most));
  }

  #onRead(length: number): number {
    const { receiver, fallback } = this.#parts.session;
    const [first] = this.#parts.subflows;
    if (length > 0 && first !== undefined && receiver.shouldTell(first.tcp.sender.segmentBytes)) {
      if (fallback === undefined) acknowledgeOnAll(this.#parts);
      else first.tcp.requestAcknowledgement();
      this.#host?.onActive(this);
    }
    return length;
  }

  shutdownWrite(nowMs: number): void {
    const { session } = this.#parts;
    if (session.sender.isFinished || this.closeReason !== undefined) return;
    session.sender.finish();
    this.#advance(nowMs);
  }

  /** Nobody reads or writes any more; what was written still arrives, unless something was not read. */
  close(nowMs: number): void {
    this.#parts.isOrphan = true;
    if (this.closeReason !== undefined) return this.#parts.session.receiver.discard();
    if (this.readableBytes > 0 || !this.#progress.isConnected) return this.reset(nowMs);
    this.shutdownWrite(nowMs);
  }

  /** Aborts the connection with all its subflows. */
  reset(nowMs: number): void {
    abort(this.#parts, "aborted", nowMs);
    this.#advance(nowMs);
  }

  // Paths.

  /**
   * Tells the peer an address of ours (ADD_ADDR), until it is echoed; false where that is not possible. An IPv6 address with
   * a port has no room beside timestamps.
   */
  announce(address: AnnouncedAddress, nowMs: number): boolean {
    const { session, addresses } = this.#parts;
    if (session.fallback !== undefined || this.closeReason !== undefined) return false;
    const isLong = address.port !== undefined && familyOf(address.address) === "ipv6";
    if (isLong && session.settings.tcp.timestamps) return false;
    if (!addresses.announce(address, nowMs)) return false;
    this.#advance(nowMs);
    return true;
  }

  /** What we call this address of ours; 0 where the peer was not told of it. */
  idOfOwn(address: IpAddress): number {
    return idOf(this.#parts.addresses.ownAddresses, address);
  }

  /** What the peer calls this address of its own; 0 where it has not told of it. */
  idOfPeer(address: IpAddress): number {
    return idOf(this.#parts.addresses.peerAddresses, address);
  }

  /** Takes addresses of ours back (REMOVE_ADDR), and ends their subflows. */
  removeAddress(addressId: number, nowMs: number): void {
    const { session, addresses, subflows } = this.#parts;
    addresses.forget(addressId);
    if (session.fallback !== undefined || this.closeReason !== undefined) return;
    const rest = usable(this.#parts).filter((subflow) => subflow.localAddressId !== addressId);
    rest[0]?.signal({ type: "removeAddress", addressIds: [addressId] });
    for (const subflow of subflows)
      if (subflow.localAddressId === addressId) dropSubflow(subflow, RESET_REASON.unspecified);
    this.#advance(nowMs);
  }

  /** Ends one subflow; what it had goes over the others. */
  closeSubflow(id: number, nowMs: number): void {
    const subflow = this.#subflowOf(id);
    if (subflow === undefined) return;
    dropSubflow(subflow, RESET_REASON.unspecified);
    this.#advance(nowMs);
  }

  /** Says how a subflow is to be used (MP_PRIO), and uses it so. */
  setBackup(id: number, backup: boolean, nowMs: number): void {
    const subflow = this.#subflowOf(id);
    if (subflow === undefined) return;
    subflow.localBackup = backup;
    subflow.signal({ type: "priority", backup });
    this.#advance(nowMs);
  }

  /** The subflow, where something can still be said of it. */
  #subflowOf(id: number): Subflow | undefined {
    if (this.#parts.session.fallback !== undefined || this.closeReason !== undefined) return undefined;
    return this.#parts.subflows.find((one) => one.id === id);
  }

  // Segments, time and events.

  /** Takes a segment of one of {@link subflows}. */
  receive(subflow: Subflow, segment: TcpSegment, nowMs: number): void {
    subflow.tcp.receive(segment, nowMs);
    this.#advance(nowMs);
  }

  /** The next segment to send, or undefined when there is none for now. */
  pollTransmit(nowMs: number): OutgoingSubflowSegment | undefined {
    for (const subflow of this.#parts.subflows) {
      const segment = subflow.tcp.pollTransmit(nowMs);
      if (segment !== undefined) return { subflow, segment };
    }
    if (this.#parts.subflows.some(({ tcp }) => tcp.isDone)) this.#advance(nowMs);
    return undefined;
  }

  pollTimeout(): number | undefined {
    const { subflows, timers, addresses, session } = this.#parts;
    // What nobody can be told now waits for a subflow, not for a time.
    const isOver = session.fallback !== undefined || this.closeReason !== undefined;
    const maySay = !isOver && usable(this.#parts).length > 0;
    const addressesMs = maySay ? addresses.nextMs : undefined;
    const times = [timers.nextMs, addressesMs, ...subflows.map(({ tcp }) => tcp.pollTimeout())];
    return times.reduce(
      (least, at) => (at !== undefined && (least === undefined || at < least) ? at : least),
      undefined,
    );
  }

  onTimeout(nowMs: number): void {
    const { subflows, timers } = this.#parts;
    for (const { tcp } of subflows) tcp.onTimeout(nowMs);
    for (let timer = timers.takeDue(nowMs); timer !== undefined; timer = timers.takeDue(nowMs))
      this.#progress.onTimer(timer, nowMs);
    this.#advance(nowMs);
  }

  pollEvent(): MptcpEvent | undefined {
    return takeEvent(this.#parts);
  }

  #advance(nowMs: number): void {
    this.#host?.onActive(this);
    this.#progress.advance(nowMs);
  }
}

/** What a SYN's options take at most. */
const SYN_OPTION_BYTES = 40;
/** Stands for the MP_CAPABLE of a peer that has none. */
const PLAIN: CapableOption = { type: "capable", version: 1, flags: 0 };

function idOf(addresses: readonly AnnouncedAddress[], address: IpAddress): number {
  return addresses.find((one) => equalBytes(one.address, address))?.addressId ?? 0;
}
