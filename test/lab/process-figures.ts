/** What the kernel says about a process: descriptors, memory, processor time, sockets. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** USER_HZ, fixed on every architecture that Linux still has. */
const TICKS_PER_SECOND = 100;

/** How many descriptors a process has open, ends of pipes apart: of those a relay keeps a few. */
export function descriptorsOf(pid: number): number {
  return openFiles(pid).filter((file) => !isPipe(file)).length;
}

/** How many ends of pipes a process has open. */
export function pipeEndsOf(pid: number): number {
  return openFiles(pid).filter(isPipe).length;
}

function isPipe(file: string): boolean {
  return file.startsWith("pipe:");
}

/** What the descriptors of a process are, but those that are closed meanwhile. */
function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  });
}

/** Resident memory, in bytes. */
export function residentBytesOf(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) * 1024;
}

/** Seconds of processor time, of all threads, since the process started. */
export function processorSecondsOf(pid: number): number {
  const afterName = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ");
  return (Number(afterName[11]) + Number(afterName[12])) / TICKS_PER_SECOND;
}
