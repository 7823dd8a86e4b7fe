/**
 * One Multipath TCP connection: segments of its subflows and time in, segments and events out. Before changing this folder read RFC 8684 (RFC 6824
 * for version 0), section 3.
 *
 * A subflow (subflow.ts) is a TCP connection with options; session.ts is what subflows share. assigning.ts gives bytes to subflows, collecting.ts
 * takes them from subflows, closing.ts ends streams and subflows, fallback.ts makes plain TCP of it. With a peer that has no Multipath TCP this is
 * a plain TCP connection.
 *
 * A driver does as with a TCP connection: it takes segments until there are none after every call, then the next timeout.
 */
import { Deadlines } from "../../base/deadlines.ts";
import type { Endpoint } from "../../base/ip-address.ts";
import type { AnnouncedAddress } from "../../wire/mptcp/keys.ts";
import type { CapableOption, JoinSynOption } from "../../wire/mptcp/options.ts";
import { RESET_REASON } from "../../wire/mptcp/options.ts";
import type { TcpSegment } from "../../wire/tcp/segment.ts";
import type { CloseReason } from "../tcp/events.ts";
import type { InitialNumbers } from "../tcp/initial-numbers.ts";
import type { AcceptOptions, OpenOptions } from "../tcp/settings.ts";
import { AddressBook } from "./address-book.ts";
import { assignData, reinjectAll, repeatUnacknowledged } from "./assigning.ts";
import { CapableHandshake } from "./capable-handshake.ts";
import { abort, closePlain, closeSubflows, end, isComplete } from "./closing.ts";
import { collectData } from "./collecting.ts";
import type { MptcpEvent } from "./events.ts";
import { fallBack, onFail, onInfiniteMapping } from "./fallback.ts";
import type { Handshake } from "./handshake.ts";
import { JoinHandshake } from "./join-handshake.ts";
import { acknowledgeOnAll, type MptcpParts, type MptcpTimer, tell, usable } from "./parts.ts";
import { Session, type SessionOptions } from "./session.ts";
import { Subflow, type SubflowOwner } from "./subflow.ts";

export interface MptcpConnectionOptions extends SessionOptions {
  readonly numbers: InitialNumbers;
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

export interface ConnectionOpenOptions extends OpenOptions {
  /** Plain TCP: the SYN does not ask for Multipath TCP. */
  readonly plain?: boolean;
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
/** How often the third segment of a join is said that no fourth one answers. */
const MOST_JOIN_ACKNOWLEDGEMENTS = 6;

export class MptcpConnection {
  readonly #parts: MptcpParts;
  readonly #numbers: InitialNumbers;
  readonly #owner: SubflowOwner;
  #nextId = 0;
  #isConnected = false;
  /** Either side has shown that it has both keys. */
  #isConfirmed = false;
  #hasEndedTold = false;
  #finSaid = false;
  #fastClosed = false;
  #acknowledged = 1;
  #repetitions = 0;
  #joinAcknowledgements = 0;

  constructor(options: MptcpConnectionOptions) {
    const session = new Session(options);
    this.#numbers = options.numbers;
    this.#parts = {
      session,
      addresses: new AddressBook(session),
      timers: new Deadlines<MptcpTimer>(),
      counters: {
        conflictingMapping: 0,
        mappingBeyondWindow: 0,
        dataAckBeyondData: 0,
        wrongChecksum: 0,
        dataWithoutMapping: 0,
      },
      events: [],
      subflows: [],
      closeReason: undefined,
      isOrphan: false,
      endedFirst: false,
    };
    this.#owner = this.#createOwner();
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

  get closeReason(): CloseReason | undefined {
    return this.#parts.closeReason;
  }

  /** Over, with every subflow: it may be forgotten. */
  get isDone(): boolean {
    return this.closeReason !== undefined && this.#parts.subflows.length === 0;
  }

  get readableBytes(): number {
    return this.#parts.session.receiver.readableBytes;
  }

  // Opening.

  /** Opens the connection by its first subflow. Of `firstBytes` goes with the SYN what fits, where `open` says so. */
  open(path: SubflowPath, nowMs: number, open: ConnectionOpenOptions = {}): Subflow {
    if (open.plain) fallBack(this.#parts, "handshake");
    const subflow = this.#addSubflow(path, new CapableHandshake(this.#parts.session), nowMs);
    if (open.dataInSyn) this.#giveToSyn(subflow);
    subflow.tcp.open(nowMs, open);
    this.#advance(nowMs);
    return subflow;
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
      // RFC 8684 appendix B.2: the data of a SYN has no mapping; it is the connection's first.
      subflow.received.add({
        start: 1,
        end: 1 + syn.payload.length,
        dataStart: 1,
        checksum: undefined,
        isImplicit: true,
      });
    }
    subflow.tcp.accept(syn, nowMs, options);
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

  /** Takes a SYN with MP_JOIN whose token is ours; returns the reason of the reset that it is to get where it is refused (RFC 8684 section 3.6). */
  acceptJoin(syn: TcpSegment, option: JoinSynOption, path: SubflowPath, nowMs: number): Subflow | number {
    const { session, subflows } = this.#parts;
    const refusal = this.#joinRefusal();
    if (refusal === "tooMany") return RESET_REASON.lackOfResources;
    if (refusal !== undefined) return RESET_REASON.multipathError;
    const halfOpen = subflows.filter(({ handshake }) => !handshake.isConfirmed).length;
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
    return this.#isConfirmed ? undefined : "notEstablished";
  }

  #addSubflow(path: SubflowPath, handshake: Handshake, nowMs: number): Subflow {
    const { session, timers } = this.#parts;
    const { local, remote } = path;
    const subflow = new Subflow({
      ...path,
      id: this.#nextId++,
      session,
      handshake,
      owner: this.#owner,
      initialSequence: this.#numbers.sequence(local, remote, nowMs),
      timestampOffset: this.#numbers.timestampOffset(local, remote),
    });
    this.#parts.subflows.push(subflow);
    if (subflow.id > 0) session.isPlainable = false;
    timers.clear("empty");
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
    if (this.readableBytes > 0 || !this.#isConnected) return this.reset(nowMs);
    this.shutdownWrite(nowMs);
  }

  /** Aborts the connection with all its subflows. */
  reset(nowMs: number): void {
    abort(this.#parts, "aborted");
    this.#advance(nowMs);
  }

  // Paths.

  /** Tells the peer an address of ours (ADD_ADDR), until it is echoed; false where that is not possible. */
  announce(address: AnnouncedAddress, nowMs: number): boolean {
    const { session, addresses } = this.#parts;
    if (session.fallback !== undefined || this.closeReason !== undefined) return false;
    if (!addresses.announce(address, nowMs)) return false;
    this.#advance(nowMs);
    return true;
  }

  /** Takes addresses of ours back (REMOVE_ADDR), and ends their subflows. */
  removeAddress(addressId: number, nowMs: number): void {
    const { session, addresses, subflows } = this.#parts;
    addresses.forget(addressId);
    if (session.fallback !== undefined) return;
    const rest = usable(this.#parts).filter((subflow) => subflow.localAddressId !== addressId);
    rest[0]?.signal({ type: "removeAddress", addressIds: [addressId] });
    for (const subflow of subflows)
      if (subflow.localAddressId === addressId) this.#drop(subflow, RESET_REASON.unspecified);
    this.#advance(nowMs);
  }

  /** Ends one subflow; what it had goes over the others. */
  closeSubflow(id: number, nowMs: number): void {
    const subflow = this.#parts.subflows.find((one) => one.id === id);
    if (subflow === undefined || this.#parts.session.fallback !== undefined) return;
    this.#drop(subflow, RESET_REASON.unspecified);
    this.#advance(nowMs);
  }

  /** Says how a subflow is to be used (MP_PRIO), and uses it so. */
  setBackup(id: number, backup: boolean, nowMs: number): void {
    const subflow = this.#parts.subflows.find((one) => one.id === id);
    if (subflow === undefined || this.#parts.session.fallback !== undefined) return;
    subflow.localBackup = backup;
    subflow.signal({ type: "priority", backup });
    this.#advance(nowMs);
  }

  #drop(subflow: Subflow, reason: number): void {
    subflow.resetWith(reason);
    subflow.tcp.reset();
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
    const { subflows, timers, addresses } = this.#parts;
    const times = [timers.nextMs, addresses.nextMs, ...subflows.map(({ tcp }) => tcp.pollTimeout())];
    return times.reduce(
      (least, at) => (at !== undefined && (least === undefined || at < least) ? at : least),
      undefined,
    );
  }

  onTimeout(nowMs: number): void {
    const { subflows, timers } = this.#parts;
    for (const { tcp } of subflows) tcp.onTimeout(nowMs);
    for (let timer = timers.takeDue(nowMs); timer !== undefined; timer = timers.takeDue(nowMs)) this.#onTimer(timer);
    this.#advance(nowMs);
  }

  pollEvent(): MptcpEvent | undefined {
    return this.#parts.events.shift();
  }

  #onTimer(timer: MptcpTimer): void {
    const { subflows } = this.#parts;
    switch (timer) {
      case "dataRetransmission":
        this.#repetitions += 1;
        repeatUnacknowledged(this.#parts);
        return acknowledgeOnAll(this.#parts);
      case "giveUp":
        return abort(this.#parts, "timedOut");
      case "dataPersist":
        this.#repetitions += 1;
        return usable(this.#parts)[0]?.tcp.probe();
      case "joinAcknowledgement":
        return this.#repeatJoinAcknowledgements();
      case "lateClose":
        for (const { tcp } of subflows) tcp.shutdownWrite();
        return;
      case "empty":
        return end(this.#parts, isComplete(this.#parts) ? "finished" : "timedOut");
    }
  }

  #repeatJoinAcknowledgements(): void {
    this.#joinAcknowledgements += 1;
    for (const subflow of this.#waitingJoins()) {
      if (this.#joinAcknowledgements > MOST_JOIN_ACKNOWLEDGEMENTS)
        this.#drop(subflow, RESET_REASON.unacceptablePerformance);
      else subflow.tcp.requestAcknowledgement();
    }
  }

  #waitingJoins(): Subflow[] {
    return this.#parts.subflows.filter(
      ({ handshake, tcp, id }) => id > 0 && !handshake.isConfirmed && tcp.state === "established",
    );
  }

  // What follows from what has happened.

  #createOwner(): SubflowOwner {
    const parts = this.#parts;
    return {
      onFallback: (reason) => fallBack(parts, reason),
      onAddress: (option) => {
        const { echo, isNew } = parts.addresses.onAddress(option);
        if (echo !== undefined) usable(parts)[0]?.signal(echo);
        if (isNew)
          tell(parts, {
            type: "addressAnnounced",
            addressId: option.addressId,
            address: option.address,
            port: option.port,
          });
      },
      onRemovedAddresses: (addressIds) => {
        for (const addressId of addressIds) this.#onRemovedAddress(addressId);
      },
      onPriority: (subflow, backup, addressId) => {
        const meant =
          addressId === undefined ? [subflow] : parts.subflows.filter((one) => one.remoteAddressId === addressId);
        for (const one of meant) {
          one.peerBackup = backup;
          tell(parts, { type: "subflowPriority", backup, ...one.description });
        }
      },
      onFail: (subflow, position) => onFail(parts, subflow, position),
      onInfiniteMapping: (subflow, start, dataStart) => onInfiniteMapping(parts, subflow, start, dataStart),
      onFastClose: () => {
        this.#fastClosed = true;
      },
      onNonsense: (what) => {
        parts.counters[what] += 1;
      },
    };
  }

  #onRemovedAddress(addressId: number): void {
    this.#parts.addresses.onRemoved(addressId);
    tell(this.#parts, { type: "addressRemoved", addressId });
    for (const subflow of this.#parts.subflows) {
      if (subflow.remoteAddressId === addressId) this.#drop(subflow, RESET_REASON.unspecified);
    }
  }

  #advance(nowMs: number): void {
    const parts = this.#parts;
    for (const subflow of parts.subflows) {
      collectData(parts, subflow);
      if (parts.session.fallback !== undefined) this.#followPlain(subflow);
      this.#followTcp(subflow);
    }
    if (this.#fastClosed && parts.closeReason === undefined) this.#onFastClosed();
    this.#forgetClosed(nowMs);
    // TIME-WAIT is the subflow's, and nothing that the application waits for.
    if (isComplete(parts) && parts.subflows.every(({ tcp }) => tcp.state === "timeWait")) end(parts, "finished");
    if (parts.closeReason !== undefined) return;
    this.#tellApplication(nowMs);
    this.#sayAddresses(nowMs);
    assignData(parts);
    this.#sayFin();
    for (const subflow of parts.subflows) if (parts.session.fallback !== undefined) closePlain(parts, subflow);
    if (isComplete(parts) && parts.session.fallback === undefined) closeSubflows(parts, nowMs);
    this.#arm(nowMs);
  }

  /** In plain TCP the subflow's acknowledgement and window are the connection's. */
  #followPlain({ tcp, plainOffset }: Subflow): void {
    const { acknowledged, windowEdge } = tcp.sender;
    this.#parts.session.sender.onDataAck(acknowledged + plainOffset, Math.max(0, windowEdge - acknowledged));
  }

  #followTcp(subflow: Subflow): void {
    const { tcp, handshake } = subflow;
    for (let event = tcp.pollEvent(); event !== undefined; event = tcp.pollEvent()) {
      if (event !== "connected" || subflow.id > 0) continue;
      this.#isConnected = true;
      tell(this.#parts, { type: "connected" });
    }
    subflow.sent.discardTo(tcp.sender.acknowledged);
    if (subflow.takeTimeout() && this.#parts.session.fallback === undefined) reinjectAll(this.#parts, subflow, false);
    if (subflow.isAnnounced || !handshake.isConfirmed || tcp.state !== "established") return;
    subflow.isAnnounced = true;
    this.#isConfirmed = true;
    if (handshake instanceof JoinHandshake && handshake.peer !== undefined) {
      subflow.remoteAddressId = handshake.peer.addressId;
      subflow.peerBackup ||= handshake.peer.backup;
    }
    // By the next segment the one who has asked sees that its third one was taken.
    tcp.requestAcknowledgement();
    tell(this.#parts, { type: "subflowEstablished", ...subflow.description });
  }

  #onFastClosed(): void {
    for (const { tcp } of this.#parts.subflows) tcp.reset();
    end(this.#parts, "reset");
  }

  #forgetClosed(nowMs: number): void {
    const parts = this.#parts;
    const closed = parts.subflows.filter(({ tcp }) => tcp.isDone);
    if (closed.length === 0) return;
    parts.subflows = parts.subflows.filter((subflow) => !closed.includes(subflow));
    for (const subflow of closed) this.#onSubflowClosed(subflow);
    if (parts.subflows.length > 0 || parts.closeReason !== undefined) return;
    const last = closed.at(-1)?.tcp.closeReason ?? "reset";
    if (isComplete(parts)) return end(parts, "finished");
    if (parts.session.fallback !== undefined || !this.#isConnected) return end(parts, last);
    parts.timers.setIfIdle("empty", nowMs + parts.session.settings.emptyMs);
  }

  #onSubflowClosed(subflow: Subflow): void {
    const { session } = this.#parts;
    if (session.fallback === undefined && this.closeReason === undefined) reinjectAll(this.#parts, subflow, true);
    const reason = subflow.tcp.closeReason ?? "reset";
    tell(this.#parts, { type: "subflowClosed", reason, resetReason: subflow.peerResetReason, ...subflow.description });
  }

  #tellApplication(nowMs: number): void {
    const parts = this.#parts;
    const { receiver, sender } = parts.session;
    if (receiver.readableBytes > 0) {
      if (parts.isOrphan) return abort(parts, "aborted");
      tell(parts, { type: "readable" });
    }
    if (receiver.finReached && !this.#hasEndedTold) {
      this.#hasEndedTold = true;
      tell(parts, { type: "ended" });
      acknowledgeOnAll(parts);
    }
    if (sender.acknowledged === this.#acknowledged) return;
    this.#acknowledged = sender.acknowledged;
    this.#repetitions = 0;
    parts.timers.clear("dataRetransmission");
    if (parts.session.fallback === undefined) parts.timers.set("giveUp", nowMs + parts.session.settings.tcp.giveUpMs);
    if (sender.takeUnblocked()) tell(parts, { type: "writable" });
  }

  #sayAddresses(nowMs: number): void {
    if (this.#parts.session.fallback !== undefined) return;
    const [subflow] = usable(this.#parts);
    if (subflow === undefined) return;
    for (const option of this.#parts.addresses.takeDue(nowMs)) subflow.signal(option);
  }

  #sayFin(): void {
    const { session } = this.#parts;
    if (this.#finSaid || !session.sender.finDue || session.fallback !== undefined || session.remote === undefined)
      return;
    this.#finSaid = true;
    this.#parts.endedFirst = !session.receiver.finReached;
    acknowledgeOnAll(this.#parts);
  }

  /** Sets the connection's timers as its state asks for. */
  #arm(nowMs: number): void {
    const { session, timers, subflows } = this.#parts;
    if (session.fallback !== undefined) {
      if (subflows.some(({ isDeaf }) => isDeaf)) timers.setIfIdle("giveUp", nowMs + session.settings.tcp.giveUpMs);
      else timers.clear("giveUp");
      return;
    }
    const pauseMs = Math.min(LONGEST_PAUSE_MS, this.#timeoutMs * 2 ** this.#repetitions);
    if (session.sender.isOutstanding && this.#isConnected) {
      timers.setIfIdle("dataRetransmission", nowMs + pauseMs);
      timers.setIfIdle("giveUp", nowMs + session.settings.tcp.giveUpMs);
    } else {
      timers.clear("dataRetransmission");
      timers.clear("giveUp");
    }
    if (session.sender.isBlockedByWindow && !session.sender.isOutstanding)
      timers.setIfIdle("dataPersist", nowMs + pauseMs);
    else timers.clear("dataPersist");
    if (this.#waitingJoins().length > 0) timers.setIfIdle("joinAcknowledgement", nowMs + this.#timeoutMs);
    else {
      timers.clear("joinAcknowledgement");
      this.#joinAcknowledgements = 0;
    }
  }

  /** The longest retransmission timeout of the subflows: what is not acknowledged by then has not only been late. */
  get #timeoutMs(): number {
    return Math.max(LEAST_TIMEOUT_MS, ...this.#parts.subflows.map(({ tcp }) => tcp.roundTrip.timeoutMs));
  }
}

const LEAST_TIMEOUT_MS = 200;
const LONGEST_PAUSE_MS = 60_000;
/** What a SYN's options take at most. */
const SYN_OPTION_BYTES = 40;
/** Stands for the MP_CAPABLE of a peer that has none. */
const PLAIN: CapableOption = { type: "capable", version: 1, flags: 0 };
