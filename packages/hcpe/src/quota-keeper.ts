/**
 * Counts what uplinks with a quota carry, month by month, over restarts. The count is the interface's, everything
 * included; what it carries while no daemon runs is not in it. At most the last {@link SAVE_MS} are lost in a crash.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { describeError } from "@hybrid-access/core/base/error";
import { countedBytes, periodStartMs, type Quota } from "@hybrid-access/core/policy/quota";
import type { Logger } from "@hybrid-access/core/services/log";

const SAVE_MS = 10_000;
const STATE_VERSION = 1;

/** An uplink with a quota, and its interface. */
export interface LimitedUplink {
  readonly name: string;
  readonly interface: string;
  readonly quota: Quota;
}

/** What an interface has carried since it exists. */
export interface InterfaceCounters {
  readonly name: string;
  readonly index: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export interface QuotaStatus {
  readonly bytes: number;
  readonly usedBytes: number;
  readonly used: boolean;
  readonly whenUsed: Quota["whenUsed"];
  /** ISO 8601, UTC. */
  readonly since: string;
}

interface Account {
  readonly uplink: LimitedUplink;
  periodStartMs: number;
  usedBytes: number;
  /** The counters at the last look, of which interface. */
  last: InterfaceCounters | undefined;
}

export interface QuotaKeeperOptions {
  readonly file: string;
  readonly uplinks: readonly LimitedUplink[];
  readonly log: Logger;
  /** An uplink has used its quota up, or has a new one. */
  readonly onChange: (uplink: string, used: boolean) => void;
}

export class QuotaKeeper {
  readonly #options: QuotaKeeperOptions;
  readonly #accounts = new Map<string, Account>();
  #savedMs = 0;
  #unsaved = false;

  /** Reads the state file. One that cannot be read is put aside, and counting begins at 0. */
  constructor(options: QuotaKeeperOptions, nowMs: number) {
    this.#options = options;
    const saved = this.#read();
    for (const uplink of options.uplinks) {
      const { name, quota } = uplink;
      const startMs = periodStartMs(quota, nowMs);
      const { periodStart = "", usedBytes = 0 } = saved[name] ?? {};
      // A changed reset day makes another period: what was used counts if it began after it did.
      const usable = Date.parse(periodStart) >= startMs;
      this.#accounts.set(name, { uplink, periodStartMs: startMs, usedBytes: usable ? usedBytes : 0, last: undefined });
    }
    this.#savedMs = nowMs;
  }

  #read(): SavedUplinks {
    const { file, log } = this.#options;
    let text: string;
    try {
      text = readFileSync(file, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
      throw error;
    }
    try {
      return savedUplinks(JSON.parse(text));
    } catch (error) {
      const aside = `${file}.unreadable`;
      renameSync(file, aside);
      log.error({ aside, detail: describeError(error) }, "quota state cannot be read, counting begins at 0");
      return {};
    }
  }

  /** Takes a look at the interfaces' counters. */
  count(interfaces: readonly InterfaceCounters[], nowMs: number): void {
    for (const account of this.#accounts.values()) {
      const now = interfaces.find(({ name }) => name === account.uplink.interface);
      if (now !== undefined) this.#countOne(account, now);
    }
    if (this.#unsaved && nowMs - this.#savedMs >= SAVE_MS) this.save(nowMs);
  }

  #countOne(account: Account, now: InterfaceCounters): void {
    const { last, uplink } = account;
    account.last = now;
    if (last === undefined) return;
    // An interface that was made anew counts from 0 again.
    const anew = last.index !== now.index || now.receivedBytes < last.receivedBytes || now.sentBytes < last.sentBytes;
    const received = now.receivedBytes - (anew ? 0 : last.receivedBytes);
    const sent = now.sentBytes - (anew ? 0 : last.sentBytes);
    const added = countedBytes(uplink.quota, received, sent);
    if (added === 0) return;
    const before = account.usedBytes;
    account.usedBytes += added;
    this.#unsaved = true;
    this.#announce(uplink, before, account.usedBytes);
  }

  #announce({ name, quota }: LimitedUplink, before: number, after: number): void {
    const crosses = (bytes: number) => before < bytes && after >= bytes;
    for (const share of quota.warnAt.filter((candidate) => crosses(candidate * quota.bytes))) {
      const percent = Math.round(100 * share);
      this.#options.log.warn({ uplink: name, usedBytes: after, bytes: quota.bytes, percent }, "quota nearly used up");
    }
    if (!crosses(quota.bytes)) return;
    this.#options.log.warn({ uplink: name, usedBytes: after, whenUsed: quota.whenUsed }, "quota used up");
    this.#options.onChange(name, true);
  }

  /** Begins new periods whose time has come. */
  rollOver(nowMs: number): void {
    for (const account of this.#accounts.values()) {
      const { name, quota } = account.uplink;
      const startMs = periodStartMs(quota, nowMs);
      if (startMs <= account.periodStartMs) continue;
      const wasUsed = account.usedBytes >= quota.bytes;
      this.#options.log.info({ uplink: name, usedBytes: account.usedBytes }, "quota: a new period begins");
      account.periodStartMs = startMs;
      account.usedBytes = 0;
      this.#unsaved = true;
      if (wasUsed) this.#options.onChange(name, false);
    }
    if (this.#unsaved) this.save(nowMs);
  }

  /** Undefined for an uplink without a quota. */
  status(uplink: string): QuotaStatus | undefined {
    const account = this.#accounts.get(uplink);
    if (account === undefined) return undefined;
    const { bytes, whenUsed } = account.uplink.quota;
    const { usedBytes } = account;
    const since = new Date(account.periodStartMs).toISOString();
    return { bytes, usedBytes, used: usedBytes >= bytes, whenUsed, since };
  }

  /** Writes the state file: a new one in place of the old, so that a crash leaves one of both whole. */
  save(nowMs: number): void {
    if (this.#accounts.size === 0) return;
    const { file, log } = this.#options;
    const uplinks = Object.fromEntries(
      Array.from(this.#accounts, ([name, { periodStartMs: startMs, usedBytes }]) => [
        name,
        { periodStart: new Date(startMs).toISOString(), usedBytes },
      ]),
    );
    this.#savedMs = nowMs;
    try {
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(`${file}.new`, `${JSON.stringify({ version: STATE_VERSION, uplinks })}\n`, { flush: true });
      renameSync(`${file}.new`, file);
      this.#unsaved = false;
    } catch (error) {
      // Counting goes on in memory; the next look tries again.
      log.error({ detail: describeError(error) }, "quota state cannot be written");
    }
  }
}

type SavedUplinks = Readonly<Record<string, { periodStart: string; usedBytes: number }>>;

function savedUplinks(state: unknown): SavedUplinks {
  const { version, uplinks } = state as { version?: unknown; uplinks?: unknown };
  if (version !== STATE_VERSION || typeof uplinks !== "object" || uplinks === null)
    throw new RangeError("unknown version");
  for (const { periodStart, usedBytes } of Object.values(uplinks as SavedUplinks)) {
    if (Number.isNaN(Date.parse(periodStart)) || !(usedBytes >= 0)) throw new RangeError("values out of range");
  }
  return uplinks as SavedUplinks;
}
