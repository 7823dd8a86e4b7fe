/** What benchmarks compute from their runs. */

/** The middle value; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** The smallest value that at least `share` of the values do not exceed (nearest rank). NaN when there is none. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

/** Whether more is better, or less. */
export type Better = "more" | "less";

/** The name whose median is best; undefined without names. */
export function bestOf(runs: ReadonlyMap<string, readonly number[]>, better: Better): string | undefined {
  const sign = better === "more" ? 1 : -1;
  let best: { name: string; score: number } | undefined;
  for (const [name, values] of runs) {
    const score = sign * median(values);
    if (best === undefined || score > best.score) best = { name, score };
  }
  return best?.name;
}

/** Run by run: the runs are interleaved, so that what disturbed one disturbed its neighbour too. */
export function ratios(numerators: readonly number[], denominators: readonly number[]): number[] {
  return numerators.map((numerator, run) => numerator / (denominators[run] ?? Number.NaN));
}
