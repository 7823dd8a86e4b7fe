/**
 * What follows when something has happened to a Multipath TCP connection: the order in which its parts do their work.
 */
import { RESET_REASON } from "../../wire/mptcp/options.ts";
import { assignData, reinjectAll, repeatUnacknowledged } from "./assigning.ts";
import { abort, answerEnd, closePlain, closeSubflows, dropSubflow, end, isComplete } from "./closing.ts";
import { collectData } from "./collecting.ts";
import { fallBack, onFail, onInfiniteMapping } from "./fallback.ts";
import { JoinHandshake } from "./join-handshake.ts";
import { acknowledgeOnAll, type MptcpParts, type MptcpTimer, tell, usable } from "./parts.ts";
import type { Subflow } from "./subflow.ts";
import type { SubflowOwner } from "./subflow-owner.ts";

/** How often the third segment of a join is said that no fourth one answers. */
const MOST_JOIN_ACKNOWLEDGEMENTS = 6;
const LEAST_TIMEOUT_MS = 200;
const LONGEST_PAUSE_MS = 60_000;

export class Progress {
  readonly #parts: MptcpParts;
  /** What subflows tell. */
  readonly owner: SubflowOwner;
  #isConnected = false;
  /** Either side has shown that it has both keys. */
  #isConfirmed = false;
  #hasEndedTold = false;
  #finSaid = false;
  #fastClosed = false;
  #acknowledged = 1;
  /** What the application was told of as readable. */
  #readableTo = 1;
  #repetitions = 0;
  #joinAcknowledgements = 0;

  constructor(parts: MptcpParts) {
    this.#parts = parts;
    this.owner = this.#createOwner();
  }

  /** The first subflow's handshake has ended. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Either side has shown that it has both keys. */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

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
      if (subflow.remoteAddressId === addressId) dropSubflow(subflow, RESET_REASON.unspecified);
    }
  }

  advance(nowMs: number): void {
    const parts = this.#parts;
    for (const subflow of parts.subflows) {
      collectData(parts, subflow);
      if (parts.session.fallback !== undefined) this.#followPlain(subflow);
      this.#followTcp(subflow);
    }
    parts.session.receiver.adjust(nowMs, () => longestRoundTripMs(parts));
    if (this.#fastClosed && parts.closeReason === undefined) this.#onFastClosed();
    this.#forgetClosed(nowMs);
    // TIME-WAIT is the subflow's, and nothing that the application waits for.
    if (isComplete(parts) && parts.subflows.every(({ tcp }) => tcp.state === "timeWait")) end(parts, "finished");
    if (parts.closeReason !== undefined) return;
    this.#tellApplication(nowMs);
    this.#sayAddresses(nowMs);
    assignData(parts);
    this.#sayFin();
    for (const subflow of parts.subflows) {
      if (parts.session.fallback !== undefined) closePlain(parts, subflow);
      else answerEnd(parts, subflow);
    }
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
      subflow.settleSyn();
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
    // By the next segment the one who has asked sees that its third one was taken. Of the first subflow it learns that by
    // the answer to its data: until then it may still fall back, as we may (RFC 8684 section 3.7).
    if (subflow.id > 0) tcp.requestAcknowledgement();
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
    if (session.fallback === undefined && this.#parts.closeReason === undefined)
      reinjectAll(this.#parts, subflow, true);
    const reason = subflow.tcp.closeReason ?? "reset";
    tell(this.#parts, { type: "subflowClosed", reason, resetReason: subflow.peerResetReason, ...subflow.description });
  }

  #tellApplication(nowMs: number): void {
    const parts = this.#parts;
    const { receiver, sender } = parts.session;
    if (receiver.readableBytes > 0 && parts.isOrphan) return abort(parts, "aborted");
    if (receiver.next > this.#readableTo && receiver.readableBytes > 0) tell(parts, { type: "readable" });
    this.#readableTo = receiver.next;
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

  /**
   * The longest retransmission timeout of the subflows that work: what is not acknowledged by then has not only been
   * late.
   */
  get #timeoutMs(): number {
    const working = this.#parts.subflows.filter(({ isStale }) => !isStale);
    return Math.max(LEAST_TIMEOUT_MS, ...working.map(({ tcp }) => tcp.roundTrip.timeoutMs));
  }

  /** A timer of the connection is due. */
  onTimer(timer: MptcpTimer): void {
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
        dropSubflow(subflow, RESET_REASON.unacceptablePerformance);
      else subflow.tcp.requestAcknowledgement();
    }
  }

  #waitingJoins(): Subflow[] {
    return this.#parts.subflows.filter(
      ({ handshake, tcp, id }) => id > 0 && !handshake.isConfirmed && tcp.state === "established",
    );
  }
}

/** Of what arrives. While the slowest subflow's data is on the way, that of the others waits. */
function longestRoundTripMs({ subflows }: MptcpParts): number {
  return Math.max(0, ...subflows.map(({ receiveRttMs, tcp }) => receiveRttMs ?? tcp.roundTrip.smoothedMs ?? 0));
}
