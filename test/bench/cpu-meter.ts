/**
 * CPU time of groups of processes. A control group counts to the microsecond and better, and what a process causes in
 * softirq while it runs is in it. Where none can be made, /proc/PID/stat counts in ticks.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";

const NAME_PREFIX = "halab";

/** One way to count. */
export interface CpuSource {
  readonly name: string;
  /** The folder under which control groups are made; undefined when processes are asked one by one. */
  readonly root: string | undefined;
  /** Seconds in what the group's file says. */
  readonly seconds: (directory: string) => number;
}

const CGROUP2_SECONDS = (directory: string) => parseCpuStat(readFileSync(`${directory}/cpu.stat`, "utf8"));
const CPUACCT_SECONDS = (directory: string) => Number(readFileSync(`${directory}/cpuacct.usage`, "utf8")) / 1e9;

/** usage_usec of a cgroup v2 cpu.stat, in seconds. */
export function parseCpuStat(text: string): number {
  return Number(/^usage_usec (\d+)$/m.exec(text)?.[1] ?? Number.NaN) / 1e6;
}

const TICKS_PER_SECOND = 100;

/** utime and stime of a /proc/PID/stat, in seconds. The command's name may hold spaces and brackets. */
export function parseProcessStat(text: string): number {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Mount points of cgroup v2 and of v1's cpuacct, best first, from /proc/self/mounts. */
export function cpuSources(mounts: string): CpuSource[] {
  const found: CpuSource[] = [];
  for (const line of mounts.split("\n")) {
    const [, root, type, options = ""] = line.split(" ");
    if (type === "cgroup2") found.unshift({ name: "cgroup v2 cpu.stat", root, seconds: CGROUP2_SECONDS });
    if (type === "cgroup" && options.split(",").includes("cpuacct")) {
      found.push({ name: "cgroup v1 cpuacct", root, seconds: CPUACCT_SECONDS });
    }
  }
  return found;
}

export class CpuMeter {
  readonly #source: CpuSource;
  /** By group: its folder, and its processes for when there is none. */
  readonly #groups = new Map<string, { readonly directory: string; readonly pids: Set<number> }>();

  private constructor(source: CpuSource) {
    this.#source = source;
  }

  /** Takes the best source that works here; `say` is told when that is only /proc. */
  static open(say: (line: string) => void): CpuMeter {
    const refusals: string[] = [];
    for (const source of cpuSources(readFileSync("/proc/self/mounts", "utf8"))) {
      try {
        removeAbandoned(source.root ?? "");
        const trial = `${source.root}/${NAME_PREFIX}${process.pid}-trial`;
        mkdirSync(trial);
        const seconds = source.seconds(trial);
        rmdirSync(trial);
        if (Number.isFinite(seconds)) return new CpuMeter(source);
        refusals.push(`${source.name} has no figure`);
      } catch (error) {
        refusals.push(`${source.name}: ${(error as Error).message}`);
      }
    }
    say(`CPU time from /proc/PID/stat, in ticks of 10 ms: ${refusals.join("; ") || "no control groups are mounted"}`);
    return new CpuMeter({ name: "/proc/PID/stat", root: undefined, seconds: () => Number.NaN });
  }

  /** What counts here. */
  get source(): string {
    return this.#source.name;
  }

  /** Counts a process, and what it will start, to a group from now on. */
  add(group: string, pid: number): void {
    const { root } = this.#source;
    const directory = `${root}/${NAME_PREFIX}${process.pid}-${group}`;
    const known = this.#groups.get(group) ?? { directory, pids: new Set<number>() };
    if (!this.#groups.has(group) && root !== undefined) mkdirSync(directory);
    this.#groups.set(group, known);
    known.pids.add(pid);
    if (root !== undefined) writeFileSync(`${directory}/cgroup.procs`, String(pid));
  }

  /** Seconds of CPU that a group has used since it began. */
  seconds(group: string): number {
    const { directory, pids } = this.#groups.get(group) ?? { directory: "", pids: new Set<number>() };
    if (this.#source.root !== undefined) return this.#source.seconds(directory);
    let sum = 0;
    for (const pid of pids) {
      const file = `/proc/${pid}/stat`;
      if (existsSync(file)) sum += parseProcessStat(readFileSync(file, "utf8"));
    }
    return sum;
  }

  /** Removes the groups; their processes must have ended. */
  close(): void {
    if (this.#source.root !== undefined) for (const { directory } of this.#groups.values()) rmdirSync(directory);
    this.#groups.clear();
  }
}

/** Groups of benchmarks whose process is gone. One that still has processes stays. */
function removeAbandoned(root: string): void {
  for (const name of readdirSync(root)) {
    const owner = new RegExp(`^${NAME_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    if (readFileSync(`${root}/${name}/cgroup.procs`, "utf8") === "") rmdirSync(`${root}/${name}`);
  }
}
