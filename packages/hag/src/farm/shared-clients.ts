/**
 * Limits by client over the whole farm: each node says in the registry how many connections its clients have, and counts
 * what the others say to its own. One write and one read for each other node in a turn, whatever clients do.
 *
 * Clients with few connections are not worth a word: up to a 64th of the limit at each node goes unsaid. What a client
 * opens between two turns is counted by its own node only.
 */
import type { Logger } from "@hybrid-access/core/services/log";
import type { ClientCounts } from "@hybrid-access/core/services/registry/client-counts";
import type { Registry } from "@hybrid-access/core/services/registry/registry";
import type { ClientTable } from "../client-table.ts";

const TURN_MS = 1000;
const LIFE_MS = 4000;
/** Turns without the registry until the farm's counts are no longer believed. */
const PATIENCE_TURNS = 3;
const UNSAID_PART = 1 / 64;

export interface SharedClientsOptions {
  readonly registry: Registry;
  readonly node: string;
  /** The other converters. */
  readonly others: () => readonly string[];
  readonly table: ClientTable;
  /** Connections of one client in the farm. */
  readonly limit: () => number;
  /** Without the registry: each node allows the whole limit, or its part of it. */
  readonly withoutRegistry: "own" | "divided";
  /** The limit that holds at this node has changed. */
  readonly onLimit: () => void;
  readonly log: Logger;
}

export class SharedClients {
  readonly #options: SharedClientsOptions;
  #timer: NodeJS.Timeout | undefined;
  #failedTurns = 0;
  #nodes = 1;
  #heard: ClientCounts = new Map();
  #stopped = false;

  constructor(options: SharedClientsOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#turn();
  }

  get #alone(): boolean {
    return this.#failedTurns >= PATIENCE_TURNS;
  }

  /** What this node may allow a client. */
  localLimit(limit: number): number {
    const divided = this.#alone && this.#options.withoutRegistry === "divided";
    return divided ? Math.max(1, Math.floor(limit / this.#nodes)) : limit;
  }

  status(): object {
    const { withoutRegistry, limit } = this.#options;
    return {
      mode: this.#alone ? withoutRegistry : "shared",
      clients: this.#heard.size,
      connections: Array.from(this.#heard.values()).reduce((total, count) => total + count, 0),
      localLimit: this.localLimit(limit()),
    };
  }

  async #turn(): Promise<void> {
    const { registry, node, others, table, limit } = this.#options;
    const wasAlone = this.#alone;
    const names = others();
    const own = table.counts(Math.max(1, Math.floor(limit() * UNSAID_PART)));
    try {
      const said = registry.shareClients(node, own, LIFE_MS);
      const [heard] = await Promise.all([Promise.all(names.map((name) => registry.clientsOf(name))), said]);
      this.#failedTurns = 0;
      this.#nodes = 1 + names.length;
      this.#heard = sumOf(heard);
      if (!this.#stopped) table.setOthers(this.#heard);
    } catch {
      // The registry counts what it did not answer (RegistryHealth).
      this.#failedTurns += 1;
      if (this.#alone && !wasAlone) {
        this.#heard = new Map();
        table.setOthers(this.#heard);
      }
    }
    if (this.#stopped) return;
    if (this.#alone !== wasAlone) this.#announceMode();
    this.#timer = setTimeout(() => void this.#turn(), TURN_MS);
    this.#timer.unref();
  }

  #announceMode(): void {
    const { log, onLimit } = this.#options;
    if (this.#alone) log.warn(this.status(), "limits by client: without the other gateways' counts");
    else log.info(this.status(), "limits by client: with the other gateways' counts again");
    onLimit();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}

function sumOf(all: readonly ClientCounts[]): Map<string, number> {
  const sum = new Map<string, number>();
  for (const counts of all) for (const [key, count] of counts) sum.set(key, (sum.get(key) ?? 0) + count);
  return sum;
}
