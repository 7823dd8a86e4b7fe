/**
 * What is in flight, what of it is lost, and how much more may be sent: the scoreboard (RFC 6675), a loss detector of
 * policy/recovery, congestion control of policy/congestion, proportional rate reduction, the retransmission timer (RFC
 * 6298), tail loss probes (RFC 8985 section 7), and undoing what was needless (RFC 4015).
 */
import type { CongestionControl } from "../../policy/congestion/congestion.ts";
import { DuplicateAcknowledgements } from "../../policy/recovery/duplicate-acknowledgements.ts";
import { ProportionalRate } from "../../policy/recovery/proportional-rate.ts";
import { Rack } from "../../policy/recovery/rack.ts";
import type { LossDetector } from "../../policy/recovery/recovery.ts";
import { type SpuriousInput, SpuriousJudge } from "../../policy/recovery/spurious.ts";
import type { RoundTrip } from "./round-trip.ts";
import { type Interval, type SentEntry, SentQueue } from "./sent-queue.ts";
import type { Timers } from "./timers.ts";

/** RFC 8985 section 7.2 WCDelAckT: the longest delay of an acknowledgement that is reckoned with. */
const LONGEST_ACKNOWLEDGEMENT_DELAY_MS = 200;
/** RFC 8985 section 7.2: the probe timeout before the first measurement. */
const FIRST_PROBE_MS = 1000;

/** What a segment acknowledges. Positions in our stream. */
export interface AcknowledgementReceived {
  readonly position: number;
  /** SACK blocks that lie above `position`. */
  readonly blocks: readonly Interval[];
  /** What it reports to have arrived twice (RFC 2883). */
  readonly duplicate: Interval | undefined;
  /** It acknowledges nothing new, carries no data and does not change the window (RFC 5681 section 2). */
  readonly mayBeDuplicate: boolean;
  /** When, in our clock, that was sent which it answers: TSecr. */
  readonly echoedMs: number | undefined;
}

/** What the handshake has brought. */
export interface AgreedTransport {
  readonly congestion: CongestionControl;
  readonly selective: boolean;
  readonly segmentBytes: number;
}

export interface LossRecoveryOptions extends AgreedTransport {
  readonly roundTrip: RoundTrip;
  readonly timers: Timers;
  /** For how long something may be unacknowledged (RFC 9293 section 3.8.3, R2). */
  readonly giveUpMs: number;
}

/** What is sent in answer to a probe timeout. */
interface Probe {
  readonly end: number;
  readonly repetition: boolean;
}

export class LossRecovery {
  readonly sent = new SentQueue();
  #congestion: CongestionControl;
  #detector: LossDetector;
  readonly #roundTrip: RoundTrip;
  readonly #timers: Timers;
  #selective: boolean;
  readonly #giveUpMs: number;
  #segmentBytes: number;
  /** Open: nothing is lost. Recovery: a loss is being repaired. Loss: the retransmission timer has expired. */
  #phase: "open" | "recovery" | "loss" = "open";
  /** What was sent when the loss was noticed: recovery ends when it is acknowledged. */
  #recoveryPoint = 0;
  #rate: ProportionalRate | undefined;
  /**
   * Of the last recovery: that it was needless may be found out later, by reported duplicates, as long as data is in
   * flight.
   */
  #judge: SpuriousJudge | undefined;
  #next = 0;
  #duplicates = 0;
  #probe: Probe | undefined;
  #probeDue = false;
  /** What was sent before the window kept the sender from sending: its acknowledgements may let the window grow. */
  #limitedTo = 0;
  #lastSentMs = Number.NEGATIVE_INFINITY;
  /** When the retransmission timer would expire; a probe that comes first takes its place among the timers. */
  #timeoutAtMs = Number.POSITIVE_INFINITY;
  #repeatedBytes = 0;
  #repeatedSegments = 0;
  #losses = 0;
  #timeouts = 0;
  #undone = 0;
  #penalizedMs: number | undefined;

  constructor(options: LossRecoveryOptions) {
    this.#congestion = options.congestion;
    this.#selective = options.selective;
    this.#detector = detectorFor(options.selective);
    this.#segmentBytes = options.segmentBytes;
    this.#roundTrip = options.roundTrip;
    this.#timers = options.timers;
    this.#giveUpMs = options.giveUpMs;
  }

  /** The handshake is over: what was assumed until now gives way to what was agreed. */
  begin({ congestion, selective, segmentBytes }: AgreedTransport): void {
    this.#congestion = congestion;
    this.#selective = selective;
    this.#detector = detectorFor(selective);
    this.#segmentBytes = segmentBytes;
  }

  get congestion(): CongestionControl {
    return this.#congestion;
  }

  /** Bytes sent more than once. */
  get repeatedBytes(): number {
    return this.#repeatedBytes;
  }

  /** Segments sent more than once. */
  get repeatedSegments(): number {
    return this.#repeatedSegments;
  }

  /** Times that congestion control was told of a loss. */
  get losses(): number {
    return this.#losses;
  }

  /** Times that the retransmission timer has expired. */
  get timeouts(): number {
    return this.#timeouts;
  }

  /** Times that a loss turned out to be none, and its consequences were undone. */
  get undone(): number {
    return this.#undone;
  }

  get phase(): "open" | "recovery" | "loss" {
    return this.#phase;
  }

  /** How many bytes congestion control lets go now. */
  get allowanceBytes(): number {
    if (this.#phase === "recovery") return this.#rate?.allowedBytes ?? 0;
    return Math.max(0, this.congestion.windowBytes - this.sent.inFlightBytes);
  }

  setSegmentBytes(segmentBytes: number): void {
    this.#segmentBytes = segmentBytes;
    this.congestion.setSegmentBytes(segmentBytes);
  }

  /** When it was last told {@link penalize}. */
  get penalizedMs(): number | undefined {
    return this.#penalizedMs;
  }

  get isRecovering(): boolean {
    return this.#phase !== "open";
  }

  /** The subflow holds up its connection's window (policy/blocked-window.ts). */
  penalize(nowMs: number): void {
    this.#penalizedMs = nowMs;
    this.congestion.onPenalized();
  }

  /** There is something to send, and only congestion control is against it. */
  onWindowLimited(): void {
    this.#limitedTo = this.#next;
  }

  /** Before something is sent after an idle time (RFC 5681 section 4.1). */
  beforeSending(nowMs: number): void {
    if (this.sent.isEmpty && nowMs - this.#lastSentMs > this.#roundTrip.timeoutMs && this.#lastSentMs > 0) {
      this.congestion.onIdle(nowMs);
      this.#lastSentMs = nowMs;
    }
  }

  onSentNew(start: number, end: number, nowMs: number): void {
    this.sent.push(start, end, nowMs);
    this.#next = end;
    this.#rate?.onSent(end - start);
    this.#judge?.onForwarded();
    if (this.#probeDue) this.#probe = { end, repetition: false };
    this.#onSent(nowMs);
  }

  onRepeated(range: SentEntry, nowMs: number): void {
    this.sent.markRepeated(range, nowMs);
    this.#repeatedBytes += range.end - range.start;
    this.#repeatedSegments += 1;
    this.#rate?.onSent(range.end - range.start);
    if (this.#phase !== "open") this.#judge?.onRepeated(range, nowMs);
    if (this.#probeDue) this.#probe = { end: this.#next, repetition: true };
    this.#onSent(nowMs);
  }

  #onSent(nowMs: number): void {
    this.#lastSentMs = nowMs;
    this.#timers.setIfIdle("giveUp", nowMs + this.#giveUpMs);
    if (this.#probeDue || this.#timeoutAtMs === Number.POSITIVE_INFINITY)
      this.#timeoutAtMs = nowMs + this.#roundTrip.timeoutMs;
    this.#probeDue = false;
    this.#armTimers(nowMs);
  }

  /** Whether a probe is due: one segment that congestion control has no say in. */
  get probeDue(): boolean {
    return this.#probeDue;
  }

  /** Segments of new data to be sent before anything is repeated (F-RTO, RFC 5682). */
  get forwardSegments(): number {
    return this.#judge?.forwardSegments ?? 0;
  }

  /** There is no new data that {@link forwardSegments} could be. */
  onNothingToForward(): void {
    this.#judge?.onNothingToForward();
  }

  /** Nothing is to be repeated until the next acknowledgement. */
  get holdsRepetitions(): boolean {
    return this.#judge?.holdsRepetitions ?? false;
  }

  /** Takes an acknowledgement. Returns whether it acknowledged something new. */
  onAcknowledgement(ack: AcknowledgementReceived, nowMs: number): boolean {
    const outstandingBytes = this.sent.outstandingBytes;
    const advanced = ack.position > (this.sent.first?.start ?? this.#next);
    const delivered = [...this.sent.acknowledge(ack.position), ...this.sent.markDelivered(ack.blocks)];
    this.#duplicates = advanced ? 0 : this.#duplicates + (ack.mayBeDuplicate ? 1 : 0);
    const rttMs = this.#measure(delivered, ack, nowMs);
    this.#judgeProbe(ack, nowMs);
    const undone = this.#judge !== undefined && this.#undoSpurious({ ...ack, advanced, delivered }, rttMs, nowMs);
    const lostBefore = this.sent.lostBytes;
    this.#detect(undone ? delivered.filter(({ transmissions }) => transmissions === 1) : delivered, ack, nowMs);
    const deliveredBytes = delivered.reduce((sum, { start, end }) => sum + end - start, 0);
    const newlyLost = this.sent.lostBytes > lostBefore;
    this.#regulate({ ack, advanced, deliveredBytes, outstandingBytes, newlyLost, rttMs }, nowMs);
    this.#resetTimers(deliveredBytes > 0, nowMs);
    return advanced || deliveredBytes > 0;
  }

  /** RFC 6298 section 3 (Karn) and RFC 7323 section 4. Returns what was measured, if anything. */
  #measure(delivered: readonly SentEntry[], { echoedMs }: AcknowledgementReceived, nowMs: number): number | undefined {
    if (delivered.length === 0) return undefined;
    // Without SACK, what was sent once may have waited at the receiver for what is repeated.
    const certain = this.#selective || this.#phase === "open";
    const oldest = certain ? delivered.find(({ transmissions }) => transmissions === 1) : undefined;
    const sentMs = oldest?.sentMs ?? echoedMs;
    if (sentMs === undefined || sentMs > nowMs) {
      this.#roundTrip.onProgress();
      return undefined;
    }
    const samples = this.congestion.windowBytes / (2 * this.#segmentBytes);
    this.#roundTrip.onMeasured(nowMs - sentMs, nowMs, samples);
    return nowMs - sentMs;
  }

  /** RFC 4015: where what was repeated had only been late, all is as before. Returns whether it is so. */
  #undoSpurious(ack: Omit<SpuriousInput, "someLost">, rttMs: number | undefined, nowMs: number): boolean {
    const judge = this.#judge;
    if (!judge?.isSpurious({ ...ack, someLost: this.sent.lostBytes > 0 })) return false;
    this.#judge = undefined;
    this.#undone += 1;
    if (judge.afterTimeout && rttMs !== undefined) this.#roundTrip.onSpuriousTimeout(rttMs);
    if (judge.afterTimeout) this.sent.forgetLost();
    if (this.#phase !== "open") this.#endRecovery(nowMs);
    this.#detector.onSpurious();
    this.congestion.onSpurious(this.sent.inFlightBytes);
    return true;
  }

  /** RFC 8985 section 7.4.2. */
  #judgeProbe(ack: AcknowledgementReceived, nowMs: number): void {
    const probe = this.#probe;
    if (probe === undefined || ack.position < probe.end) return;
    const unreported = probe.repetition && ack.duplicate === undefined;
    const repaired = unreported && ack.position > probe.end;
    const undecided = unreported && ack.position === probe.end && !ack.mayBeDuplicate;
    if (undecided) return;
    this.#probe = undefined;
    if (!repaired || this.#phase !== "open") return;
    this.#losses += 1;
    this.congestion.onLoss(nowMs, this.sent.outstandingBytes);
    this.congestion.onRecovered(nowMs);
  }

  #detect(delivered: readonly SentEntry[], ack: AcknowledgementReceived | undefined, nowMs: number): void {
    const waitMs = this.#detector.detect({
      nowMs,
      ranges: this.sent,
      delivered,
      smoothedRttMs: this.#roundTrip.smoothedMs,
      minimumRttMs: this.#roundTrip.minimumMs,
      inRecovery: this.#phase !== "open",
      duplicateReported: ack?.duplicate !== undefined,
      duplicateAcknowledgements: this.#duplicates,
      markLost: (range) => this.sent.markLost(range as SentEntry),
    });
    if (waitMs === undefined) this.#timers.clear("reordering");
    else this.#timers.set("reordering", nowMs + waitMs);
  }

  /** Lets the window grow, or recovery begin, go on or end. */
  #regulate(outcome: Outcome, nowMs: number): void {
    const { ack, advanced, deliveredBytes, outstandingBytes, newlyLost, rttMs } = outcome;
    if (this.#phase !== "open" && ack.position >= this.#recoveryPoint && advanced) this.#endRecovery(nowMs);
    if (this.#phase === "open" && this.sent.lostBytes > 0) this.#beginRecovery(outstandingBytes, nowMs);
    if (this.#phase === "recovery") {
      this.#rate?.onDelivered({
        // Without SACK, each duplicate says that one segment has arrived (RFC 9937 section 5).
        deliveredBytes: deliveredBytes === 0 && ack.mayBeDuplicate ? this.#segmentBytes : deliveredBytes,
        inFlightBytes: this.sent.inFlightBytes,
        thresholdBytes: this.congestion.slowStartThresholdBytes,
        segmentBytes: this.#segmentBytes,
        safe: advanced && !newlyLost,
        repeatsNow: newlyLost && !this.#selective,
      });
      return;
    }
    if (deliveredBytes === 0) return;
    this.congestion.onAcknowledged({
      nowMs,
      bytes: deliveredBytes,
      inFlightBytes: outstandingBytes,
      acknowledgedTo: ack.position,
      sentTo: this.#next,
      smoothedRttMs: this.#roundTrip.smoothedMs,
      rttMs,
      windowLimited: this.#phase === "loss" || ack.position <= this.#limitedTo,
    });
  }

  #beginRecovery(outstandingBytes: number, nowMs: number): void {
    this.#phase = "recovery";
    this.#recoveryPoint = this.#next;
    this.#losses += 1;
    this.congestion.onLoss(nowMs, outstandingBytes);
    this.#rate = new ProportionalRate(outstandingBytes);
    this.#judge = new SpuriousJudge();
    this.#probe = undefined;
    this.#armTimers(nowMs);
  }

  #endRecovery(nowMs: number): void {
    if (this.#phase === "recovery") this.congestion.onRecovered(nowMs);
    this.#phase = "open";
    this.#rate = undefined;
    this.#detector.onRecovered();
  }

  /** RFC 6298 (5.2) and (5.3). */
  #resetTimers(progress: boolean, nowMs: number): void {
    if (this.sent.isEmpty) {
      for (const timer of ["retransmission", "giveUp", "tailLossProbe", "reordering"] as const)
        this.#timers.clear(timer);
      this.#probeDue = false;
      this.#timeoutAtMs = Number.POSITIVE_INFINITY;
      // What is idle needs no window back, and keeps no memory for it.
      this.#judge = undefined;
      return;
    }
    if (!progress) return;
    this.#timeoutAtMs = nowMs + this.#roundTrip.timeoutMs;
    this.#timers.set("giveUp", nowMs + this.#giveUpMs);
    this.#armTimers(nowMs);
  }

  /** RFC 6298 (5.1), and RFC 8985 section 7.2: where a probe may be sent, it is waited for in place of the timeout. */
  #armTimers(nowMs: number): void {
    const settled = this.#phase === "open" && this.#roundTrip.backOffs === 0 && this.sent.deliveredBytes === 0;
    if (!this.#selective || !settled || this.#probe !== undefined) {
      this.#timers.clear("tailLossProbe");
      this.#timers.set("retransmission", this.#timeoutAtMs);
      return;
    }
    this.#timers.clear("retransmission");
    this.#timers.set("tailLossProbe", Math.min(nowMs + this.#probeMs, this.#timeoutAtMs));
  }

  /** PTO. */
  get #probeMs(): number {
    const { smoothedMs } = this.#roundTrip;
    if (smoothedMs === undefined) return FIRST_PROBE_MS;
    const alone = this.sent.inFlightBytes <= this.#segmentBytes;
    return 2 * smoothedMs + (alone ? LONGEST_ACKNOWLEDGEMENT_DELAY_MS : 2);
  }

  /** The timer "tailLossProbe" is due. What is then sent starts the retransmission timer. */
  onTailLossProbe(): void {
    this.#probeDue = !this.sent.isEmpty;
  }

  /** The timer "reordering" is due. */
  onReordering(nowMs: number): void {
    this.#detect([], undefined, nowMs);
    if (this.sent.lostBytes === 0) return;
    if (this.#phase === "open") this.#beginRecovery(this.sent.outstandingBytes, nowMs);
    if (this.#phase !== "recovery") return;
    this.#rate?.onDelivered({
      deliveredBytes: 0,
      inFlightBytes: this.sent.inFlightBytes,
      thresholdBytes: this.congestion.slowStartThresholdBytes,
      segmentBytes: this.#segmentBytes,
      safe: false,
      repeatsNow: false,
    });
  }

  /** The timer "retransmission" is due: RFC 6298 (5.4) to (5.7), RFC 8985 section 6.3. */
  onRetransmissionTimeout(nowMs: number): void {
    if (this.sent.isEmpty) return;
    const { baseTimeoutMs, backOffs } = this.#roundTrip;
    // The receiver has dropped what it had acknowledged selectively, where the first of all is among it (RFC 2018
    // section 8).
    if (this.sent.first?.delivered) this.sent.forgetDelivered();
    for (const range of this.sent) {
      const due = range === this.sent.first || range.sentMs + baseTimeoutMs <= nowMs;
      if (due && !range.delivered && !range.lost) this.sent.markLost(range);
    }
    if (this.#phase !== "loss" || backOffs === 0) {
      this.#losses += 1;
      this.congestion.onTimeout(nowMs, this.sent.outstandingBytes);
    }
    // Where a loss was being repaired already, the timer was not what was needless.
    if (this.#phase === "open") this.#judge = new SpuriousJudge(this.#next);
    else if (this.#phase === "loss" && backOffs > 0) this.#judge?.onRepeatedTimeout();
    else this.#judge = undefined;
    this.#phase = "loss";
    this.#recoveryPoint = this.#next;
    this.#rate = undefined;
    this.#probe = undefined;
    this.#probeDue = false;
    this.#timeouts += 1;
    this.#timers.clear("reordering");
    this.#roundTrip.backOff();
    this.#timeoutAtMs = nowMs + this.#roundTrip.timeoutMs;
    this.#armTimers(nowMs);
  }

  /** The handshake has ended, whose timers were those of the SYN: what was sent before its end gets its own. */
  restartTimers(nowMs: number): void {
    if (this.sent.isEmpty) return;
    this.#timeoutAtMs = nowMs + this.#roundTrip.timeoutMs;
    this.#timers.set("giveUp", nowMs + this.#giveUpMs);
    this.#armTimers(nowMs);
  }

  /** The connection is over. */
  clear(): void {
    this.#probeDue = false;
    for (const timer of ["retransmission", "giveUp", "tailLossProbe", "reordering"] as const) this.#timers.clear(timer);
  }
}

function detectorFor(selective: boolean): LossDetector {
  return selective ? new Rack() : new DuplicateAcknowledgements();
}

interface Outcome {
  readonly ack: AcknowledgementReceived;
  readonly advanced: boolean;
  readonly deliveredBytes: number;
  /** What was sent and not acknowledged cumulatively before (RFC 5681 FlightSize). */
  readonly outstandingBytes: number;
  readonly newlyLost: boolean;
  /** What this acknowledgement has measured. */
  readonly rttMs: number | undefined;
}
