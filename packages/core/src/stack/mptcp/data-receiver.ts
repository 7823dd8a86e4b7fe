/**
 * The receiving half of a Multipath TCP connection: what subflows have brought, in the order of data sequence numbers,
 * and the one window of all.
 */
import { ByteQueue } from "../../base/byte-queue.ts";
import { INITIAL_WINDOW_BYTES, ReceiveWindow } from "../../policy/receive-window.ts";
import { Reassembly } from "../tcp/reassembly.ts";

export class DataReceiver {
  readonly #bufferBytes: number;
  readonly #queue = new ByteQueue(1);
  /** What is out of order; undefined while nothing is. */
  #reassembly: Reassembly | undefined;
  #finPosition: number | undefined;
  #finReached = false;
  /** The furthest edge of the window that was told. */
  #toldEdge = 1;
  /** Made when the application has taken so much that the initial window might become too small. */
  #window: ReceiveWindow | undefined;

  constructor(bufferBytes: number) {
    this.#bufferBytes = bufferBytes;
  }

  /** The DATA_ACK: the next position that is missing. */
  get next(): number {
    return this.#queue.end + (this.#finReached ? 1 : 0);
  }

  get readableBytes(): number {
    return this.#queue.size;
  }

  get outOfOrderBytes(): number {
    return this.#reassembly?.bytes ?? 0;
  }

  /** DATA_FIN has been reached: nothing follows what is readable. */
  get finReached(): boolean {
    return this.#finReached;
  }

  /** Behind the last position that is taken. */
  get edge(): number {
    return Math.max(this.#toldEdge, this.next);
  }

  /** What is kept for the application at most, as of now. */
  get #offeredBytes(): number {
    return this.#window?.bytes ?? Math.min(this.#bufferBytes, INITIAL_WINDOW_BYTES);
  }

  /** Lets the window follow what the application takes in a round trip, which takes `roundTripMs()`. */
  adjust(nowMs: number, roundTripMs: () => number): void {
    if (this.#window === undefined) {
      const isSmall = this.#queue.start < INITIAL_WINDOW_BYTES / 8 || this.#bufferBytes <= INITIAL_WINDOW_BYTES;
      if (isSmall) return;
      this.#window = new ReceiveWindow(this.#bufferBytes);
    }
    if (this.#window.isDue(nowMs)) this.#window.onRound(this.#queue.start, roundTripMs(), nowMs);
  }

  /** The window from DATA_ACK on (RFC 8684 section 3.3.5); counts as told. */
  takeWindow(): number {
    const free = Math.max(0, this.#offeredBytes - this.#queue.size);
    this.#toldEdge = Math.max(this.#toldEdge, this.next + free);
    return free;
  }

  /** The window has opened by so much since it was told that the peer should hear of it. */
  shouldTell(segmentBytes: number): boolean {
    const told = this.#toldEdge - this.next;
    const offered = this.#offeredBytes;
    const free = offered - this.#queue.size;
    return told < offered / 2 && free - told >= Math.min(2 * segmentBytes, offered / 2);
  }

  /**
   * Takes `bytes`, which nobody changes any more. What was there already is dropped, and so is what lies beyond the
   * window, which comes again; but in plain TCP, where the subflow's window has let it in, nothing would come again.
   */
  onData(position: number, bytes: Uint8Array, isPlain: boolean): void {
    const fitting = isPlain ? bytes : bytes.subarray(0, Math.max(0, this.edge - position));
    const end = position + fitting.length;
    if (this.#finReached || end <= this.#queue.end) return;
    if (position > this.#queue.end) {
      this.#reassembly ??= new Reassembly();
      this.#reassembly.insert(position, fitting, 2 * this.#offeredBytes + this.#toldEdge - this.next);
      return;
    }
    while (this.#queue.end < end) {
      const next = this.#queue.end;
      const stop = Math.min(end, this.#reassembly?.runs[0]?.start ?? end);
      this.#queue.pushOwned(fitting.subarray(next - position, stop - position));
      for (const chunk of this.#reassembly?.take(stop) ?? []) this.#queue.pushOwned(chunk);
    }
    if (this.#reassembly?.isEmpty) this.#reassembly = undefined;
    this.#reachFin();
  }

  /** DATA_FIN stands at `position`. The first one counts. */
  onFin(position: number): void {
    if (position < this.#queue.end || (this.#reassembly?.end ?? 0) > position) return;
    this.#finPosition ??= position;
    this.#reachFin();
  }

  #reachFin(): void {
    if (this.#finPosition === this.#queue.end) this.#finReached = true;
  }

  read(into: Uint8Array): number {
    return this.#queue.read(into);
  }

  /** Copies readable bytes into `into`, and keeps them; returns how many. */
  peek(into: Uint8Array): number {
    const length = Math.min(into.length, this.#queue.size);
    into.set(this.#queue.view(this.#queue.start, length));
    return length;
  }

  /** Drops at most `most` readable bytes; returns how many. */
  skip(most: number): number {
    const length = Math.min(most, this.#queue.size);
    this.#queue.discardTo(this.#queue.start + length);
    return length;
  }

  take(most: number): Uint8Array {
    const bytes = this.#queue.view(this.#queue.start, Math.min(most, this.#queue.size));
    this.#queue.discardTo(this.#queue.start + bytes.length);
    return bytes;
  }

  /** Drops what waits for something that does not come any more. */
  clear(): void {
    this.#reassembly = undefined;
  }

  /** Drops what nobody will read. */
  discard(): void {
    this.#queue.discardTo(this.#queue.end);
    this.#reassembly = undefined;
  }
}
