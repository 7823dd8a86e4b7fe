/**
 * What follows when something has happened to a Multipath TCP connection: the order in which its parts do their work.
 */
import type { CongestionControl } from "../../policy/congestion/congestion.ts";
import { usableSubflows } from "../../policy/scheduler/scheduler.ts";
import { isToBeRecycled } from "../../policy/subflow-recycling.ts";
import { type AddAddressOption, type AddAddressV0Option, RESET_REASON } from "../../wire/mptcp/options.ts";
import { assignData, reinjectAll, repeatUnacknowledged } from "./assigning.ts";
import {
  abort,
  answerEnd,
  closePlain,
  closeSubflows,
  collectPlainEnd,
  dropSubflow,
  end,
  isComplete,
  repeatFastClose,
} from "./closing.ts";
import { collectData } from "./collecting.ts";
import type { ConnectionHost } from "./connection.ts";
import { fallBack, onFail, onInfiniteMapping } from "./fallback.ts";
import { JoinHandshake } from "./join-handshake.ts";
import { acknowledgeOnAll, count, type MptcpParts, type MptcpTimer, tell, usable } from "./parts.ts";
import type { Subflow } from "./subflow.ts";
import type { SubflowOwner } from "./subflow-owner.ts";

/** How often the third segment of a join is said that no fourth one answers. */
export const MOST_JOIN_ACKNOWLEDGEMENTS = 6;
const LEAST_TIMEOUT_MS = 200;
const LONGEST_PAUSE_MS = 60_000;

export class Progress implements SubflowOwner {
  readonly #parts: MptcpParts;
  readonly #host: ConnectionHost | undefined;
  #isConnected = false;
  /** Either side has shown that it has both keys. */
  #isConfirmed = false;
  /** The peer has reset the last subflow there was, or an attempt to join, and did not say why. */
  #wasReset = false;
  #hasEndedTold = false;
  #finSaid = false;
  #fastClosed = false;
  #acknowledged = 1;
  /** What the application was told of as readable. */
  #readableTo = 1;
  #repetitions = 0;
  #joinAcknowledgements = 0;

  constructor(parts: MptcpParts, host: ConnectionHost | undefined) {
    this.#parts = parts;
    this.#host = host;
  }

  /** The first subflow's handshake has ended. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Either side has shown that it has both keys. */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  // What subflows tell and ask: SubflowOwner.

  get controls(): readonly CongestionControl[] {
    return usableSubflows(usable(this.#parts)).map(({ tcp }) => tcp.sender.recovery.congestion);
  }

  onFallback(reason: "handshake" | "synLost" | "optionsRemoved"): void {
    fallBack(this.#parts, reason);
  }

  onAddress(option: AddAddressOption | AddAddressV0Option): void {
    const { echo, isNew } = this.#parts.addresses.onAddress(option);
    if (echo !== undefined) usable(this.#parts)[0]?.signal(echo);
    const { addressId, address, port } = option;
    if (isNew) tell(this.#parts, { type: "addressAnnounced", addressId, address, port });
  }

  onRemovedAddresses(addressIds: readonly number[]): void {
    for (const addressId of addressIds) this.#onRemovedAddress(addressId);
  }

  #onRemovedAddress(addressId: number): void {
    this.#parts.addresses.onRemoved(addressId);
    tell(this.#parts, { type: "addressRemoved", addressId });
    for (const subflow of this.#parts.subflows) {
      if (subflow.remoteAddressId === addressId) dropSubflow(subflow, RESET_REASON.unspecified);
    }
  }

  onPriority(subflow: Subflow, backup: boolean, addressId: number | undefined): void {
    const { subflows } = this.#parts;
    const meant = addressId === undefined ? [subflow] : subflows.filter((one) => one.remoteAddressId === addressId);
    for (const one of meant) {
      one.peerBackup = backup;
      tell(this.#parts, { type: "subflowPriority", backup, ...one.description });
    }
  }

  onFail(subflow: Subflow, position: number): void {
    onFail(this.#parts, subflow, position);
  }

  onInfiniteMapping(subflow: Subflow, start: number, dataStart: number): void {
    onInfiniteMapping(this.#parts, subflow, start, dataStart);
  }

  onFastClose(): void {
    this.#fastClosed = true;
  }

  onNonsense(what: "conflictingMapping" | "mappingBeyondWindow" | "dataAckBeyondData"): void {
    count(this.#parts, what);
  }

  // What follows.

  advance(nowMs: number): void {
    const parts = this.#parts;
    if (parts.closeReason !== undefined) return this.#forgetClosed(nowMs);
    for (const subflow of parts.subflows) {
      collectData(parts, subflow);
      if (parts.session.fallback !== undefined) this.#followPlain(subflow, nowMs);
      this.#followTcp(subflow);
    }
    parts.session.receiver.adjust(nowMs, () => longestRoundTripMs(parts));
    if (this.#fastClosed) this.#onFastClosed();
    this.#forgetClosed(nowMs);
    // TIME-WAIT is the subflow's, and nothing that the application waits for.
    if (isComplete(parts) && parts.subflows.every(({ tcp }) => tcp.state === "timeWait")) end(parts, "finished");
    if (parts.closeReason !== undefined) return;
    this.#tellApplication(nowMs);
    this.#sayAddresses(nowMs);
    assignData(parts, nowMs);
    this.#sayFin();
    for (const subflow of parts.subflows) {
      if (parts.session.fallback !== undefined) closePlain(parts, subflow);
      else answerEnd(parts, subflow);
    }
    if (isComplete(parts) && parts.session.fallback === undefined) closeSubflows(parts, nowMs);
    this.#arm(nowMs);
  }

  /** In plain TCP the subflow's acknowledgement and window are the connection's. */
  #followPlain(subflow: Subflow, nowMs: number): void {
    const { tcp, plain } = subflow;
    const { acknowledged, windowEdge } = tcp.sender;
    this.#parts.session.sender.onDataAck(acknowledged + plain.offset, Math.max(0, windowEdge - acknowledged));
    collectPlainEnd(this.#parts, subflow, nowMs);
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
    if (subflow.takeTimeout() && this.#parts.session.fallback === undefined) {
      reinjectAll(this.#parts, subflow, false);
      recycle(this.#parts, subflow);
    }
    if (handshake === undefined || !handshake.isConfirmed || tcp.state !== "established") return;
    subflow.handshake = undefined;
    this.#parts.timers.clear("empty");
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
    if (parts.subflows.length > 0) return;
    if (parts.closeReason !== undefined) return parts.timers.clearAll();
    const last = closed.at(-1)?.tcp.closeReason ?? "reset";
    if (isComplete(parts)) return end(parts, "finished");
    if (parts.session.fallback !== undefined || !this.#isConnected) return end(parts, last);
    const { emptyMs, resetEmptyMs } = parts.session.settings;
    // What follows are attempts to join again, which change nothing before one succeeds.
    if (parts.timers.isSet("empty")) return;
    // One that still knows it says why it resets a subflow (MP_TCPRST).
    this.#wasReset = (last === "reset" || last === "refused") && closed.at(-1)?.peerResetReason === undefined;
    parts.timers.set("empty", nowMs + (this.#wasReset ? resetEmptyMs : emptyMs));
  }

  #onSubflowClosed(subflow: Subflow): void {
    this.#host?.onSubflowClosed(subflow);
    const { session } = this.#parts;
    if (session.fallback === undefined && this.#parts.closeReason === undefined)
      reinjectAll(this.#parts, subflow, true);
    const reason = subflow.tcp.closeReason ?? "reset";
    tell(this.#parts, { type: "subflowClosed", reason, resetReason: subflow.peerResetReason, ...subflow.description });
  }

  #tellApplication(nowMs: number): void {
    const parts = this.#parts;
    const { receiver, sender } = parts.session;
    if (receiver.readableBytes > 0 && parts.isOrphan) return abort(parts, "aborted", nowMs);
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
      if (subflows.some(({ plain }) => plain.isDeaf)) timers.setIfIdle("giveUp", nowMs + session.settings.tcp.giveUpMs);
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
  onTimer(timer: MptcpTimer, nowMs: number): void {
    const { subflows } = this.#parts;
    switch (timer) {
      case "dataRetransmission":
        this.#repetitions += 1;
        repeatUnacknowledged(this.#parts);
        return acknowledgeOnAll(this.#parts);
      case "giveUp":
        return abort(this.#parts, "timedOut", nowMs);
      case "dataPersist":
        this.#repetitions += 1;
        return usable(this.#parts)[0]?.tcp.probe();
      case "joinAcknowledgement":
        return this.#repeatJoinAcknowledgements();
      case "fastClose":
        return repeatFastClose(this.#parts, nowMs);
      case "lateClose":
        for (const { tcp } of subflows) tcp.shutdownWrite();
        return;
      case "empty":
        return this.#onEmpty();
    }
  }

  #onEmpty(): void {
    if (isComplete(this.#parts)) return end(this.#parts, "finished");
    for (const { tcp } of this.#parts.subflows) tcp.reset();
    end(this.#parts, this.#wasReset ? "reset" : "timedOut");
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
      ({ isConfirmed, tcp, id }) => id > 0 && !isConfirmed && tcp.state === "established",
    );
  }
}

/** A timeout has come: resets the subflow where a fresh one would do better. */
function recycle(parts: MptcpParts, subflow: Subflow): void {
  const { session } = parts;
  const { acknowledged } = session.sender;
  const sent = Array.from(subflow.sent);
  const isOvertaken =
    sent.length > 0 && sent.every(({ start, end, dataStart }) => dataStart + end - start <= acknowledged);
  const hasOther = usable(parts).some((one) => one !== subflow && !one.isStale && one.isConfirmed);
  const timeouts = subflow.tcp.roundTrip.backOffs;
  if (!session.settings.recycling || !isToBeRecycled({ timeouts, isOvertaken, hasOther })) return;
  session.recycled += 1;
  dropSubflow(subflow, RESET_REASON.unacceptablePerformance);
}

/** Of what arrives. While the slowest subflow's data is on the way, that of the others waits. */
function longestRoundTripMs({ subflows }: MptcpParts): number {
  return Math.max(0, ...subflows.map(({ receiveRttMs, tcp }) => receiveRttMs ?? tcp.roundTrip.smoothedMs ?? 0));
}
