/**
 * Hosts, paths and time, without any of them being real: packets go from endpoint to endpoint through links and
 * middleboxes, and the clock jumps from one thing that happens to the next. All chance comes from one seed, so a run can
 * be repeated exactly. Pure: a run of hours takes seconds, and two runs at once do not know of each other.
 */
import { addressKey, type IpAddress, ipAddressFromBytes } from "../../base/ip-address.ts";
import { MinHeap } from "../../base/min-heap.ts";
import { type Random, randomBelow, SeededRandom } from "../../base/random.ts";
import type { PacketEndpoint } from "../../stack/endpoint.ts";
import { Link, type LinkOptions } from "../link.ts";
import { type BoxPlan, makeBox } from "../middlebox/box-plan.ts";
import type { Direction } from "../middlebox/middlebox.ts";
import { Path, type TimedPart } from "./path.ts";
import { Recorder } from "./recorder.ts";

export interface SimulatedHost {
  readonly endpoint: PacketEndpoint;
  /** What uses the endpoint: called after each thing that has happened to it, before its packets are taken. */
  readonly application?: (nowMs: number) => void;
}

/** One end of a path. */
export interface PathEnd {
  /** A name of {@link SimulationPlan.hosts}. */
  readonly host: string;
  /** The host's packets that take this path have one of these as their source. */
  readonly addresses: readonly IpAddress[];
  /** What the other end sends to in order to reach it, where a NAT stands between; the same when left out. */
  readonly reachedAs?: readonly IpAddress[];
}

/** "forward" is from the near end to the far one. */
export interface PathPlan {
  readonly near: PathEnd;
  readonly far: PathEnd;
  readonly forward: LinkOptions;
  readonly backward: LinkOptions;
  /** Behind the link, the first one nearest to the near end. */
  readonly boxes?: readonly BoxPlan[];
}

export interface SimulationPlan {
  readonly hosts: Readonly<Record<string, SimulatedHost>>;
  readonly paths: Readonly<Record<string, PathPlan>>;
  readonly seed: number;
  /** Whether to keep a capture. */
  readonly records?: boolean;
}

/** Why a run ended: nothing will happen any more, the time is over, or what was waited for has come. */
export type RunEnd = "idle" | "time" | "done";

export interface RunOptions {
  readonly untilMs: number;
  /** Asked after each thing that has happened; ends the run. */
  readonly isDone?: () => boolean;
}

export interface SimulationCounters {
  /** Packets that hosts have sent onto a path, and that they have got. */
  sentPackets: number;
  receivedPackets: number;
  /** Packets whose addresses fit no path. */
  unroutedPackets: number;
  /** Things that have happened. */
  events: number;
}

/** Things that may happen, and packets a host may send, at one moment: more is a livelock. */
const MOST_AT_ONCE = 100_000;

/** A run that cannot come to an end, because time stands still. */
export class LivelockError extends Error {
  constructor(nowMs: number, what: string) {
    super(`more than ${MOST_AT_ONCE} ${what} at ${nowMs} ms`);
    this.name = "LivelockError";
  }
}

/** A path as a host sees it. */
interface Route {
  readonly path: Path;
  readonly direction: Direction;
  readonly sources: ReadonlySet<string>;
  readonly destinations: ReadonlySet<string>;
  /** Name in the capture. */
  readonly interface: string;
}

export class Simulator {
  readonly counters: SimulationCounters = { sentPackets: 0, receivedPackets: 0, unroutedPackets: 0, events: 0 };
  readonly recorder: Recorder | undefined;
  readonly #hosts: Readonly<Record<string, SimulatedHost>>;
  readonly #paths = new Map<string, Path>();
  readonly #routes = new Map<string, Route[]>();
  readonly #timed: readonly TimedPart[];
  readonly #actions = new MinHeap<() => void>();
  #nowMs = 0;
  #eventsAtOnce = 0;

  constructor({ hosts, paths, seed, records = false }: SimulationPlan) {
    this.#hosts = hosts;
    const random = new SeededRandom(seed);
    for (const [name, plan] of Object.entries(paths)) this.#addPath(name, plan, random);
    const interfaces = Array.from(this.#routes.values()).flatMap((routes) => routes.map((each) => each.interface));
    this.recorder = records ? new Recorder(interfaces) : undefined;
    this.#timed = [
      this.#actionPart(),
      ...Array.from(this.#paths.values()).flatMap((path) => path.timedParts()),
      ...Object.keys(hosts).map((name) => this.#hostPart(name)),
    ];
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  /** For what tests do to a link, and to see its counters. Throws a RangeError for a name that is none. */
  path(name: string): Path {
    const path = this.#paths.get(name);
    if (path === undefined) throw new RangeError(`no path is called ${name}`);
    return path;
  }

  /** Does something at a time: what a person or a program outside would do. Hosts' packets are taken afterwards. */
  at(timeMs: number, action: () => void): void {
    this.#actions.push(Math.max(timeMs, this.#nowMs), action);
  }

  /** Lets time pass. Throws a LivelockError when it stands still. */
  run({ untilMs, isDone = () => false }: RunOptions): RunEnd {
    for (const name of Object.keys(this.#hosts)) this.#afterHost(name);
    while (!isDone()) {
      const next = this.#nextPart();
      if (next === undefined) return "idle";
      const nextMs = Math.max(this.#nowMs, next.nextMs ?? this.#nowMs);
      if (nextMs > untilMs) {
        this.#nowMs = untilMs;
        return "time";
      }
      this.#count(nextMs);
      next.fire(nextMs);
    }
    return "done";
  }

  #count(nextMs: number): void {
    this.counters.events += 1;
    this.#eventsAtOnce = nextMs > this.#nowMs ? 0 : this.#eventsAtOnce + 1;
    this.#nowMs = nextMs;
    if (this.#eventsAtOnce > MOST_AT_ONCE) throw new LivelockError(this.#nowMs, "events");
  }

  /** The one whose time comes first; of several, the one that was there first. */
  #nextPart(): TimedPart | undefined {
    let first: TimedPart | undefined;
    let firstMs = Number.POSITIVE_INFINITY;
    for (const part of this.#timed) {
      const nextMs = part.nextMs;
      if (nextMs === undefined || nextMs >= firstMs) continue;
      first = part;
      firstMs = nextMs;
    }
    return first;
  }

  #addPath(name: string, plan: PathPlan, random: Random): void {
    const fork = () => new SeededRandom(randomBelow(random, 2 ** 32));
    const links = { forward: new Link(plan.forward, fork()), backward: new Link(plan.backward, fork()) };
    const boxes = (plan.boxes ?? []).map((box) => makeBox(box, fork()));
    const receivers = { forward: plan.far.host, backward: plan.near.host };
    const path = new Path(links, boxes, (nowMs, packet, direction) => {
      this.#deliver(nowMs, receivers[direction], `${receivers[direction]}-${name}`, packet);
    });
    this.#paths.set(name, path);
    this.#addRoute(path, "forward", `${plan.near.host}-${name}`, plan.near, plan.far);
    this.#addRoute(path, "backward", `${plan.far.host}-${name}`, plan.far, plan.near);
  }

  #addRoute(path: Path, direction: Direction, name: string, own: PathEnd, other: PathEnd): void {
    if (this.#hosts[own.host] === undefined) throw new RangeError(`no host is called ${own.host}`);
    const keys = (addresses: readonly IpAddress[]) => new Set(addresses.map(addressKey));
    const route = {
      path,
      direction,
      interface: name,
      sources: keys(own.addresses),
      destinations: keys(other.reachedAs ?? other.addresses),
    };
    this.#routes.set(own.host, [...(this.#routes.get(own.host) ?? []), route]);
  }

  #actionPart(): TimedPart {
    const actions = this.#actions;
    return {
      get nextMs() {
        return actions.nextKey;
      },
      fire: () => {
        actions.pop()?.();
        for (const name of Object.keys(this.#hosts)) this.#afterHost(name);
      },
    };
  }

  #hostPart(name: string): TimedPart {
    const endpoint = this.#hosts[name]?.endpoint;
    return {
      get nextMs() {
        return endpoint?.pollTimeout();
      },
      fire: (nowMs) => {
        endpoint?.onTimeout(nowMs);
        this.#afterHost(name);
      },
    };
  }

  #deliver(nowMs: number, host: string, interfaceName: string, packet: Uint8Array): void {
    this.counters.receivedPackets += 1;
    this.recorder?.record(interfaceName, nowMs, packet);
    this.#hosts[host]?.endpoint.onPacket(nowMs, packet);
    this.#afterHost(host);
  }

  /** Lets the application see what has happened, and takes what the host wants to send. */
  #afterHost(name: string): void {
    const host = this.#hosts[name];
    if (host === undefined) return;
    host.application?.(this.#nowMs);
    for (let count = 0; count < MOST_AT_ONCE; count++) {
      const packet = host.endpoint.pollTransmit(this.#nowMs);
      if (packet === undefined) return;
      this.#send(name, packet);
    }
    throw new LivelockError(this.#nowMs, `packets of ${name}`);
  }

  #send(host: string, packet: Uint8Array): void {
    const route = this.#routeOf(host, packet);
    if (route === undefined) {
      this.counters.unroutedPackets += 1;
      return;
    }
    this.counters.sentPackets += 1;
    this.recorder?.record(route.interface, this.#nowMs, packet);
    route.path.send(this.#nowMs, packet, route.direction);
  }

  #routeOf(host: string, packet: Uint8Array): Route | undefined {
    const [at, length] = (packet[0] ?? 0) >> 4 === 4 ? [12, 4] : [8, 16];
    const source = ipAddressFromBytes(packet.subarray(at, at + length));
    const destination = ipAddressFromBytes(packet.subarray(at + length, at + 2 * length));
    if (source === undefined || destination === undefined) return undefined;
    const [from, to] = [addressKey(source), addressKey(destination)];
    return this.#routes.get(host)?.find(({ sources, destinations }) => sources.has(from) && destinations.has(to));
  }
}
