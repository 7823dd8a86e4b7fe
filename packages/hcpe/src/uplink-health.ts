/**
 * Uplinks that the kernel calls up and that pass nothing. Workers notice them on live connections: another uplink
 * reached what this one did not. Until it reaches that, or a gateway, itself, new connections begin elsewhere.
 */
import { equalBytes } from "@hybrid-access/core/base/bytes";
import {
  type Endpoint,
  type Family,
  familyOf,
  formatEndpoint,
  type IpAddress,
} from "@hybrid-access/core/base/ip-address";
import type { Logger } from "@hybrid-access/core/services/log";
import type { UplinkReport } from "./carrier-setup.ts";
import { isReached, type ProbeProtocol } from "./probe.ts";
import { UPLINK_PASSES, UPLINK_SILENT, type UplinkSource, uplinkStateIndex } from "./uplink-choice.ts";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 8000;

/** An address of an uplink over which nothing came back. */
interface Suspect {
  readonly uplink: UplinkSource;
  readonly family: Family;
  readonly address: IpAddress;
  /** What another uplink reached, and how. */
  readonly witness: Endpoint;
  readonly protocol: ProbeProtocol;
  timer: NodeJS.Timeout | undefined;
}

export class UplinkHealth {
  readonly #states: Int32Array;
  readonly #gateways: () => readonly Endpoint[];
  readonly #log: Logger;
  /** By index of the state. */
  readonly #suspects = new Map<number, Suspect>();
  #sources: readonly UplinkSource[] = [];
  #stopped = false;

  /** `memory` is shared with the workers; `gateways` gives those there are now. */
  constructor(memory: SharedArrayBuffer, gateways: () => readonly Endpoint[], log: Logger) {
    this.#states = new Int32Array(memory);
    this.#gateways = gateways;
    this.#log = log;
  }

  static createMemory(uplinks: number): SharedArrayBuffer {
    return new SharedArrayBuffer(2 * uplinks * Int32Array.BYTES_PER_ELEMENT);
  }

  /** The families in which this uplink passes nothing. */
  silentFamilies(uplink: number): Family[] {
    return (["ipv4", "ipv6"] as const).filter((family) => !this.#passes(uplink, family));
  }

  #passes(uplink: number, family: Family): boolean {
    return Atomics.load(this.#states, uplinkStateIndex(uplink, family)) === UPLINK_PASSES;
  }

  /**
   * Addresses to probe `peer` from: every uplink's of its family, the preferred one first, those that pass nothing last;
   * undefined when there is none.
   */
  sourcesFor(peer: IpAddress): readonly (IpAddress | undefined)[] {
    const family = familyOf(peer);
    const silent = ({ index }: UplinkSource) => Number(!this.#passes(index, family));
    const sources = this.#sources.toSorted((left, right) => silent(left) - silent(right));
    const addresses = sources.flatMap((source) => source[family] ?? []);
    return addresses.length === 0 ? [undefined] : addresses;
  }

  /** The uplinks are now these. One whose address changed is another access network: nothing is held against it. */
  setSources(sources: readonly UplinkSource[]): void {
    this.#sources = sources;
    for (const [state, suspect] of this.#suspects) {
      const now = sources.find(({ index }) => index === suspect.uplink.index)?.[suspect.family];
      if (now === undefined || !equalBytes(now, suspect.address)) this.#clear(state, suspect);
    }
  }

  /** A worker blames an uplink. */
  onSilent({ uplink, witness, protocol }: UplinkReport): void {
    const family = familyOf(witness.address);
    const state = uplinkStateIndex(uplink.index, family);
    const address = uplink[family];
    if (this.#stopped || address === undefined || this.#suspects.has(state)) return;
    Atomics.store(this.#states, state, UPLINK_SILENT);
    const suspect: Suspect = { uplink, family, address, witness, protocol, timer: undefined };
    this.#suspects.set(state, suspect);
    const reached = formatEndpoint(witness);
    this.#log.warn({ uplink: uplink.name, family, reached }, "uplink passes nothing, connections begin elsewhere");
    // At once: a single lost segment looks the same.
    void this.#probe(state, suspect, FIRST_PAUSE_MS);
  }

  async #probe(state: number, suspect: Suspect, pauseMs: number): Promise<void> {
    const { address, family, witness, protocol } = suspect;
    const gateways = this.#gateways().filter((gateway) => familyOf(gateway.address) === family);
    const reached = await Promise.all([
      isReached(witness, address, protocol),
      ...gateways.map((gateway) => isReached(gateway, address, "mptcp")),
    ]);
    if (this.#stopped || this.#suspects.get(state) !== suspect) return;
    // A connection may have come through meanwhile.
    if (reached.includes(true) || Atomics.load(this.#states, state) === UPLINK_PASSES) {
      return this.#clear(state, suspect);
    }
    const nextMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS);
    suspect.timer = setTimeout(() => void this.#probe(state, suspect, nextMs), pauseMs);
    suspect.timer.unref();
  }

  #clear(state: number, { uplink, family, timer }: Suspect): void {
    clearTimeout(timer);
    this.#suspects.delete(state);
    Atomics.store(this.#states, state, UPLINK_PASSES);
    this.#log.info({ uplink: uplink.name, family }, "uplink is used again");
  }

  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#suspects.values()) clearTimeout(timer);
  }
}
