/**
 * Which gateways serve. Workers notice failures on live connections; a gateway that failed is asked with a Convert Info
 * message (RFC 8803 section 6.2.3) until it answers, and is used again then (policy/gateway-standing). Where there are
 * several, each is asked now and then, so that a silent or loaded one is known before it costs a connection.
 */
import {
  type Endpoint,
  equalEndpoints,
  familyOf,
  formatEndpoint,
  type IpAddress,
} from "@hybrid-access/core/base/ip-address";
import { GatewayStanding } from "@hybrid-access/core/policy/gateway-standing";
import type { Logger } from "@hybrid-access/core/services/log";
import { GATEWAY_BUSY, GATEWAY_DOWN, GATEWAY_UNUSED, GATEWAY_UP } from "./carrier-setup.ts";
import { type Asking, askInTurn } from "./gateway-question.ts";
import type { GatewayPlace } from "./gateway-table.ts";

const PROBE_INTERVAL_MS = 1000;
/** Checks are spread over this part of their interval: homes that lost power together come back together. */
const SPREAD = 0.5;

export interface GatewayStatus {
  readonly gateway: string;
  readonly name: string | null;
  readonly up: boolean;
  readonly busy: boolean;
  /** Percent. */
  readonly load: number | null;
  readonly reason: string | null;
}

export interface HealthOptions {
  readonly places: readonly GatewayPlace[];
  /** Shared with the workers. */
  readonly memory: SharedArrayBuffer;
  /** The addresses to ask from, one for each uplink, that of the preferred one first. */
  readonly sourcesFor: (peer: IpAddress) => readonly (IpAddress | undefined)[];
  /** How often gateways that serve are asked, where there are several. */
  readonly checkMs: () => number;
  readonly asking: Asking;
  readonly log: Logger;
}

/** A gateway in its place. */
interface Watched {
  readonly endpoint: Endpoint;
  readonly name: string | null;
  readonly standing: GatewayStanding;
  reason: string | undefined;
  answeredMs: number;
  /** It does not know the Gateway Load TLV. */
  silentOnLoad: boolean;
  asking: boolean;
  timer: NodeJS.Timeout | undefined;
}

export class GatewayHealth {
  readonly #options: HealthOptions;
  readonly #states: Int32Array;
  readonly #watched = new Map<number, Watched>();
  #started = false;
  #stopped = false;

  constructor(options: HealthOptions) {
    this.#options = options;
    this.#states = new Int32Array(options.memory);
    this.#states.fill(GATEWAY_UNUSED);
    this.followPlaces();
  }

  static createMemory(places: number): SharedArrayBuffer {
    return new SharedArrayBuffer(places * Int32Array.BYTES_PER_ELEMENT);
  }

  start(): void {
    this.#started = true;
    for (const [place, watched] of this.#watched) this.#schedule(place, watched);
  }

  /** Places have other gateways now, or none. One that a name has got is asked before it is used. */
  followPlaces(): void {
    this.#options.places.forEach(({ endpoint, name, used }, place) => {
      const before = this.#watched.get(place);
      if (used && endpoint !== undefined && before && equalEndpoints(before.endpoint, endpoint)) return;
      clearTimeout(before?.timer);
      this.#watched.delete(place);
      this.#show(place);
      if (!used || endpoint === undefined) return;
      const standing = new GatewayStanding(name === null);
      const reason = name === null ? undefined : "not asked yet";
      const answeredMs = Number.NEGATIVE_INFINITY;
      const watched = { endpoint, name, standing, reason, answeredMs, silentOnLoad: false, asking: false };
      this.#watched.set(place, { ...watched, timer: undefined });
      this.#show(place);
      if (name !== null) this.#ask(place);
    });
  }

  status(): GatewayStatus[] {
    return Array.from(this.#watched)
      .sort(([left], [right]) => left - right)
      .map(([, { endpoint, name, standing, reason }]) => ({
        gateway: formatEndpoint(endpoint),
        name,
        up: standing.up,
        busy: standing.busy,
        load: standing.load ?? null,
        reason: reason ?? null,
      }));
  }

  /** A worker could not use a gateway: it stays down until it answers. */
  onDown(place: number, reason: string): void {
    const watched = this.#watched.get(place);
    if (watched === undefined) return;
    this.#onFailure(place, watched, reason);
    this.#ask(place);
  }

  /**
   * A gateway failed one connection, or keeps it waiting: that may concern one destination only. A probe tells; while it
   * fails the gateway is down. Slow servers must not turn into a stream of probes: one that has just been answered counts.
   */
  onDoubtful(place: number, reason: string): void {
    const watched = this.#watched.get(place);
    if (watched === undefined) return;
    this.#options.log.debug({ gateway: formatEndpoint(watched.endpoint), reason }, "gateway failed a connection");
    if (performance.now() - watched.answeredMs >= PROBE_INTERVAL_MS) this.#ask(place);
  }

  #onFailure(place: number, watched: Watched, reason: string): void {
    const wasUp = watched.standing.up;
    watched.standing.onFailure(performance.now());
    watched.reason = reason;
    this.#show(place);
    const gateway = formatEndpoint(watched.endpoint);
    if (wasUp) this.#options.log.warn({ gateway, reason, trialMs: watched.standing.trialMs }, "gateway down");
  }

  #onAnswer(place: number, watched: Watched, load: number | undefined): void {
    const { standing, endpoint } = watched;
    const before = { up: standing.up, busy: standing.busy };
    watched.answeredMs = performance.now();
    standing.onAnswer(load, watched.answeredMs);
    watched.reason = standing.up ? undefined : "answers; not for long enough yet";
    this.#show(place);
    const gateway = formatEndpoint(endpoint);
    if (standing.up && !before.up) this.#options.log.info({ gateway }, "gateway up");
    if (standing.busy !== before.busy) {
      this.#options.log.info({ gateway, load }, standing.busy ? "gateway busy" : "gateway no longer busy");
    }
  }

  /** Tells the workers. */
  #show(place: number): void {
    const standing = this.#watched.get(place)?.standing;
    const state = standing?.up ? (standing.busy ? GATEWAY_BUSY : GATEWAY_UP) : GATEWAY_DOWN;
    Atomics.store(this.#states, place, standing === undefined ? GATEWAY_UNUSED : state);
  }

  #ask(place: number): void {
    const watched = this.#watched.get(place);
    if (watched === undefined || watched.asking || this.#stopped) return;
    clearTimeout(watched.timer);
    watched.asking = true;
    void this.#askOnce(place, watched);
  }

  async #askOnce(place: number, watched: Watched): Promise<void> {
    const { endpoint, silentOnLoad } = watched;
    const { sourcesFor, asking } = this.#options;
    const sources = sourcesFor(endpoint.address);
    const witnesses = this.#serving(endpoint);
    const answer = await askInTurn({ gateway: endpoint, sources, witnesses, wantsLoad: !silentOnLoad }, asking);
    watched.asking = false;
    // The place may have another gateway meanwhile.
    if (this.#stopped || this.#watched.get(place) !== watched) return;
    if (answer.outcome === "loadUnknown") {
      watched.silentOnLoad = true;
      return this.#ask(place);
    }
    if (answer.outcome === "failed") this.#onFailure(place, watched, answer.reason);
    else this.#onAnswer(place, watched, answer.load);
    this.#schedule(place, watched);
  }

  /** The gateways that serve, without this one, that can be reached from the same addresses. */
  #serving(but: Endpoint): Endpoint[] {
    return Array.from(this.#watched.values())
      .filter(({ endpoint, standing }) => standing.up && !equalEndpoints(endpoint, but))
      .map(({ endpoint }) => endpoint)
      .filter(({ address }) => familyOf(address) === familyOf(but.address));
  }

  /** One that does not serve is asked again soon; of several that do, each from time to time. */
  #schedule(place: number, watched: Watched): void {
    clearTimeout(watched.timer);
    if (watched.asking || this.#stopped) return;
    if (!watched.standing.up) {
      watched.timer = setTimeout(() => this.#ask(place), PROBE_INTERVAL_MS);
    } else if (this.#started && this.#options.places.length > 1) {
      const pauseMs = this.#options.checkMs() * (1 - SPREAD * Math.random());
      watched.timer = setTimeout(() => this.#ask(place), pauseMs);
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const { timer } of this.#watched.values()) clearTimeout(timer);
  }
}
