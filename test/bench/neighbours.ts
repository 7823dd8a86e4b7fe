/**
 * What the host's other CPUs do meanwhile. They share caches, memory and often the very core with ours, so that a busy
 * neighbour costs a third of the rate and more. How much of that was going on belongs to the figures.
 */
import { readFileSync } from "node:fs";

const TICKS_PER_SECOND = 100;

/** Seconds that every CPU of a /proc/stat has worked, by its number. Waiting for disks is not work. */
export function busySeconds(stat: string): Map<number, number> {
  const seconds = new Map<number, number>();
  for (const [, cpu, fields = ""] of stat.matchAll(/^cpu(\d+) (.*)$/gm)) {
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = fields.split(" ").map(Number);
    seconds.set(Number(cpu), (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND);
  }
  return seconds;
}

/** How much of the time between two looks the CPUs other than `core` worked; 0 when there is no other. */
export function othersShare(
  core: number,
  before: ReadonlyMap<number, number>,
  after: ReadonlyMap<number, number>,
  seconds: number,
): number {
  const shares = Array.from(after)
    .filter(([cpu]) => cpu !== core)
    .map(([cpu, busy]) => (busy - (before.get(cpu) ?? busy)) / seconds);
  return shares.length === 0 ? 0 : shares.reduce((sum, share) => sum + share, 0) / shares.length;
}

/** Runs `action` and gives what it gave, and the {@link othersShare} meanwhile. */
export async function watchingOthers<Result>(core: number, action: () => Promise<Result>): Promise<[Result, number]> {
  const look = () => busySeconds(readFileSync("/proc/stat", "utf8"));
  const [before, startMs] = [look(), performance.now()];
  const result = await action();
  return [result, othersShare(core, before, look(), (performance.now() - startMs) / 1000)];
}
