/**
 * What has arrived out of order (RFC 9293 section 3.10.7.4, RFC 2018): runs of bytes without gaps, between gaps. Where
 * bytes arrive twice the first copy stays, whatever the second one says.
 */
import type { Interval } from "./sent-queue.ts";

interface Run {
  start: number;
  end: number;
  /** In order and without gaps. */
  chunks: Uint8Array[];
}

/** Gaps that are kept track of. Data that would make one more is not kept, and is sent again. */
export const MOST_RUNS = 256;
/** What a chunk costs beside its bytes. */
export const CHUNK_OVERHEAD_BYTES = 128;
/** SACK blocks that are of interest: four fit into the options at most. */
const RECENT_RUNS = 4;

export class Reassembly {
  #runs: Run[] = [];
  /** Start of what arrived last, first (RFC 2018 section 4). */
  #recent: number[] = [];
  #bytes = 0;
  #chunks = 0;

  /** Bytes kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** What they take of memory, about. */
  get memoryBytes(): number {
    return this.#bytes + this.#chunks * CHUNK_OVERHEAD_BYTES;
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0;
  }

  get runs(): readonly Interval[] {
    return this.#runs;
  }

  /** Position behind the last byte, or undefined. */
  get end(): number | undefined {
    return this.#runs.at(-1)?.end;
  }

  /**
   * Keeps a copy of `bytes` at `position`, where they are not there already. Refused, none of it is kept: it would take
   * more than {@link MOST_RUNS} runs or `mostBytes` of memory.
   */
  insert(position: number, bytes: Uint8Array, mostBytes: number): "kept" | "duplicate" | "refused" {
    const end = position + bytes.length;
    if (this.#covers(position, end)) return "duplicate";
    if (this.memoryBytes + bytes.length + CHUNK_OVERHEAD_BYTES > mostBytes) return "refused";
    const first = this.#firstEndingAtOrAfter(position);
    let behind = first;
    while ((this.#runs[behind]?.start ?? Number.POSITIVE_INFINITY) <= end) behind += 1;
    if (behind === first && this.#runs.length >= MOST_RUNS) return "refused";
    const merged = this.#merge(this.#runs.slice(first, behind), position, bytes);
    this.#runs.splice(first, behind - first, merged);
    this.#recent = [position, ...this.#recent].slice(0, 2 * RECENT_RUNS);
    return "kept";
  }

  /** One run of `bytes` and of the runs that touch them. */
  #merge(runs: readonly Run[], position: number, bytes: Uint8Array): Run {
    const end = position + bytes.length;
    const [head] = runs;
    const merged: Run =
      head !== undefined && head.start <= position ? head : { start: position, end: position, chunks: [] };
    for (const run of runs) {
      if (run === merged) continue;
      this.#append(merged, bytes.subarray(merged.end - position, run.start - position));
      for (const chunk of run.chunks) merged.chunks.push(chunk);
      merged.end = run.end;
    }
    if (merged.end < end) this.#append(merged, bytes.subarray(merged.end - position));
    return merged;
  }

  #append(run: Run, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    run.chunks.push(bytes.slice());
    run.end += bytes.length;
    this.#bytes += bytes.length;
    this.#chunks += 1;
  }

  /** Takes what follows `position` without a gap. Chunks may start before it. */
  take(position: number): Uint8Array[] {
    const taken: Uint8Array[] = [];
    while (true) {
      const [run] = this.#runs;
      if (run === undefined || run.start > position) return taken;
      this.#runs.shift();
      let at = run.start;
      for (const chunk of run.chunks) {
        if (at + chunk.length > position) taken.push(at < position ? chunk.subarray(position - at) : chunk);
        at += chunk.length;
        this.#bytes -= chunk.length;
        this.#chunks -= 1;
      }
      position = Math.max(position, run.end);
    }
  }

  /** The runs as SACK blocks, the one that arrived last first, at most `most`. */
  blocks(most: number): Interval[] {
    const blocks: Interval[] = [];
    const add = (run: Run | undefined) => {
      if (run === undefined || blocks.length >= most) return;
      if (!blocks.some(({ start }) => start === run.start)) blocks.push({ start: run.start, end: run.end });
    };
    for (const position of this.#recent) add(this.#runs.find(({ start, end }) => start <= position && position < end));
    for (let index = 0; index < this.#runs.length && blocks.length < most; index++) add(this.#runs[index]);
    return blocks;
  }

  #covers(start: number, end: number): boolean {
    const run = this.#runs[this.#firstEndingAtOrAfter(start)];
    return run !== undefined && run.start <= start && end <= run.end;
  }

  #firstEndingAtOrAfter(position: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#runs[middle]?.end ?? 0) < position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
