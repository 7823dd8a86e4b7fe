/** What an idle connection of the userspace transport takes of memory: idle-connections.ts measures it. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** Multipath TCP with one subflow and with two, plain TCP. */
export const IDLE_KINDS = ["mptcp", "two-subflows", "tcp"] as const;
export type IdleKind = (typeof IDLE_KINDS)[number];

/** Bytes of the JavaScript heap and of what array buffers have outside of it, of one connection. */
export interface IdleMemory {
  /** At the host that has opened it, and at the one that has accepted it; what the hosts keep of it is part. */
  readonly opened: number;
  readonly accepted: number;
}

/** The most that an idle Multipath TCP connection with one subflow may take, bytes. */
export const MOST_IDLE_BYTES = 4000;

const PROGRAM = fileURLToPath(new URL("./idle-connections.js", import.meta.url));

/** What one of `count` idle connections takes, measured in a process of its own. */
export async function idleMemory(kind: IdleKind, count: number, signal?: AbortSignal): Promise<IdleMemory> {
  const run = promisify(execFile)(process.execPath, ["--expose-gc", PROGRAM, kind, String(count)], { signal });
  return JSON.parse((await run).stdout) as IdleMemory;
}
