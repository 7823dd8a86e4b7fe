/**
 * Watches what the uplinks do: twice a second it reads every interface's counters and every subflow's state, and judges.
 * Reading takes the control plane's thread, never a worker's, and at most a twentieth of it.
 */

import { equalBytes } from "@hybrid-access/core/base/bytes";
import type { IpAddress } from "@hybrid-access/core/base/ip-address";
import type { Diagnostics } from "@hybrid-access/core/engine/engine-control";
import type { LinkState, RouteClient } from "@hybrid-access/core/platform/netlink/route";
import type { SocketSnapshot, SubflowDiagnostics } from "@hybrid-access/core/platform/netlink/socket-diagnostics";
import { type QualityVerdict, UplinkQuality } from "@hybrid-access/core/policy/uplink-quality";
import { type EndedSubflows, TrafficMeter, type UplinkTraffic } from "./traffic-meter.ts";
import type { Uplink } from "./uplinks.ts";

const LOOK_MS = 500;
/** A look is followed by a pause of so many times its own length. */
const PAUSE_FACTOR = 20;

/** What an uplink's interface has carried, everything included, since the look before. */
export interface InterfaceTraffic {
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly downBitsPerSecond: number;
  readonly upBitsPerSecond: number;
}

/** What is known of an uplink beyond its state. */
export interface UplinkReading {
  readonly verdict: QualityVerdict;
  readonly interface: InterfaceTraffic | undefined;
  readonly traffic: UplinkTraffic | undefined;
  /** The last round-trip time that a subflow measured; kept while none does. */
  readonly rttMs: number | undefined;
}

export interface UplinkMonitorOptions {
  readonly routes: Pick<RouteClient, "links">;
  readonly diagnostics: () => Diagnostics;
  readonly uplinks: () => readonly Uplink[];
  readonly connections: () => number;
  readonly onVerdict: (uplink: string, verdict: QualityVerdict) => void;
  /** The kernel did not answer; the next look comes all the same. */
  readonly onFailure: (error: unknown) => void;
  /** After every look. */
  readonly onTraffic: (links: readonly LinkState[]) => void;
}

export class UplinkMonitor {
  readonly #options: UplinkMonitorOptions;
  readonly #meter = new TrafficMeter();
  readonly #qualities = new Map<string, UplinkQuality>();
  readonly #rtts = new Map<string, number>();
  #traffic: ReadonlyMap<string, UplinkTraffic> = new Map();
  #interfaces = new Map<string, InterfaceTraffic>();
  #lastMs = 0;
  #failed = false;
  #stopped = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: UplinkMonitorOptions) {
    this.#options = options;
  }

  start(): void {
    void this.look();
  }

  /** Looks now, and again after a pause. */
  async look(): Promise<void> {
    clearTimeout(this.#timer);
    const startedMs = performance.now();
    try {
      await this.#lookOnce(startedMs);
      this.#failed = false;
    } catch (error) {
      // What is known stays; one line for a failure that repeats itself.
      if (!this.#failed) this.#options.onFailure(error);
      this.#failed = true;
    }
    if (this.#stopped) return;
    const pauseMs = Math.max(LOOK_MS, PAUSE_FACTOR * (performance.now() - startedMs));
    this.#timer = setTimeout(() => void this.look(), pauseMs);
    this.#timer.unref();
  }

  async #lookOnce(nowMs: number): Promise<void> {
    const links = this.#options.routes.links();
    this.#readInterfaces(links, nowMs);
    await this.#readSubflows(nowMs);
    this.#lastMs = nowMs;
    this.#options.onTraffic(links);
  }

  #readInterfaces(links: readonly LinkState[], nowMs: number): void {
    const seconds = (nowMs - this.#lastMs) / 1000;
    const before = this.#interfaces;
    this.#interfaces = new Map();
    for (const { config } of this.#options.uplinks()) {
      const link = links.find(({ name }) => name === config.interface);
      if (link === undefined) continue;
      const { receivedBytes, sentBytes } = link;
      const last = before.get(config.name);
      // A new interface of the same name begins at 0.
      const rate = (now: number, then: number | undefined) => (8 * Math.max(0, now - (then ?? now))) / seconds;
      this.#interfaces.set(config.name, {
        receivedBytes,
        sentBytes,
        downBitsPerSecond: Math.round(rate(receivedBytes, last?.receivedBytes)),
        upBitsPerSecond: Math.round(rate(sentBytes, last?.sentBytes)),
      });
    }
  }

  async #readSubflows(nowMs: number): Promise<void> {
    const idle = this.#options.connections() === 0 && this.#traffic.size === 0;
    const subflows = idle ? [] : await this.#options.diagnostics().subflows();
    this.#traffic = this.#meter.update(subflows, (address) => this.#uplinkWith(address), nowMs);
    for (const { config, state } of this.#options.uplinks()) {
      // Where there is no link nothing comes back, however good the line is: that is for the state to say.
      const sample = (state === "up" ? this.#traffic.get(config.name)?.sample : undefined) ?? NOTHING;
      const rttMs = sample.down.rttMs ?? sample.up.rttMs;
      if (rttMs !== undefined) this.#rtts.set(config.name, rttMs);
      const quality = this.#qualityOf(config.name);
      const before = quality.verdict.quality;
      const verdict = quality.add(sample, nowMs);
      if (verdict.quality !== before) this.#options.onVerdict(config.name, verdict);
    }
  }

  #qualityOf(uplink: string): UplinkQuality {
    const known = this.#qualities.get(uplink) ?? new UplinkQuality();
    this.#qualities.set(uplink, known);
    return known;
  }

  /** The uplink of a subflow. */
  uplinkOf(subflow: SubflowDiagnostics): string | undefined {
    return this.#meter.uplinkOf(subflow) ?? this.#uplinkWith(subflow.local.address);
  }

  #uplinkWith(address: IpAddress): string | undefined {
    const found = this.#options.uplinks().find(({ paths }) => paths.some((path) => equalBytes(path.address, address)));
    return found?.config.name;
  }

  reading(uplink: string): UplinkReading {
    return {
      verdict: this.#qualityOf(uplink).verdict,
      interface: this.#interfaces.get(uplink),
      traffic: this.#traffic.get(uplink),
      rttMs: this.#rtts.get(uplink),
    };
  }

  /** Asks the engine now. */
  async snapshot(): Promise<SocketSnapshot> {
    const diagnostics = this.#options.diagnostics();
    return { connections: await diagnostics.connections(), subflows: await diagnostics.subflows() };
  }

  /** Of the connections that the engine has now. */
  async tokens(): Promise<ReadonlySet<number>> {
    const connections = await this.#options.diagnostics().connections();
    return new Set(connections.map(({ token }) => token));
  }

  ended(token: number): Readonly<EndedSubflows> {
    return this.#meter.ended(token);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}

const NO_TRAFFIC = { bytes: 0, segments: 0, troubledSegments: 0, rttMs: undefined };
const NOTHING = { durationMs: LOOK_MS, down: NO_TRAFFIC, up: NO_TRAFFIC, timeouts: 0 };
