/** Two hosts with the project's own stack, and connections between them over random paths. */
import { type Random, randomBelow, SeededRandom } from "@hybrid-access/core/base/random";
import { PLATFORM_HASHES } from "@hybrid-access/core/platform/hashes";
import { StackHost } from "@hybrid-access/core/stack/host";
import type { Listener } from "@hybrid-access/core/stack/listener";
import type { MptcpSettings } from "@hybrid-access/core/stack/mptcp/settings";
import type { StackPorts } from "@hybrid-access/core/stack/ports";
import {
  describePaths,
  FAR_ADDRESSES,
  nearAddresses,
  randomPaths,
} from "@hybrid-access/core/testing/simulator/random-paths";
import { type PathPlan, Simulator } from "@hybrid-access/core/testing/simulator/simulator";
import { oneOf } from "./random-choice.ts";
import { runToRest } from "./run-to-rest.ts";
import type { ScenarioRun } from "./scenario.ts";
import { SizeGuard } from "./size-guard.ts";
import { type Flow, faultOf, randomFlow } from "./stream-user.ts";

export type Family = "ipv4" | "ipv6";

const FIRST_SERVER_PORT = 1000;
const MOST_CONNECTIONS = 1000;

export interface StackWorldOptions {
  readonly seed: number;
  readonly records: boolean;
  readonly makeSettings: (random: Random) => MptcpSettings;
  readonly multipath: boolean;
  /** What the near host does beside using its connections: called whenever something has happened to it. */
  readonly manage?: (world: StackWorld) => void;
}

/** The near host is called "home", the far one "gateway". */
export class StackWorld {
  readonly random: Random;
  readonly paths: Readonly<Record<string, PathPlan>>;
  readonly home: StackHost;
  readonly flows: Flow[] = [];
  readonly simulator: Simulator;
  readonly #gateway: StackHost;
  readonly #guards: readonly SizeGuard[];
  readonly #multipath: boolean;
  readonly #manage: ((world: StackWorld) => void) | undefined;
  readonly #listeners: Listener[] = [];

  constructor({ seed, records, makeSettings, multipath, manage }: StackWorldOptions) {
    this.random = new SeededRandom(seed);
    this.#multipath = multipath;
    this.#manage = manage;
    this.paths = randomPaths(this.random, { near: "home", far: "gateway" });
    const home = makeHost(this.random, makeSettings);
    const gateway = makeHost(this.random, makeSettings);
    this.home = home.stack;
    this.#gateway = gateway.stack;
    this.#guards = [home.guarded, gateway.guarded];
    const hosts = {
      home: { endpoint: home.guarded, application: (nowMs: number) => this.#useClients(nowMs) },
      gateway: { endpoint: gateway.guarded, application: (nowMs: number) => this.#useServers(nowMs) },
    };
    this.simulator = new Simulator({ hosts, paths: this.paths, seed, records });
  }

  /** One more connection from the near host, over a path by its number. */
  open(path: number, family: Family): void {
    const flow = randomFlow(this.random);
    const port = FIRST_SERVER_PORT + this.flows.length;
    this.#listeners.push(this.#gateway.listen(port, { multipath: this.#multipath }));
    const remote = { address: FAR_ADDRESSES[family], port };
    const options = { multipath: this.#multipath, localAddressId: addressIdOf(path, family) };
    flow.client.connection = this.home.connect(nearAddresses(path)[family], remote, 0, options);
    this.flows.push(flow);
  }

  #useClients(nowMs: number): void {
    for (const { client } of this.flows) client.proceed(nowMs);
    this.#manage?.(this);
  }

  #useServers(nowMs: number): void {
    for (const [index, { server }] of this.flows.entries()) {
      this.#accept(index, nowMs);
      server.proceed(nowMs);
    }
  }

  /** A SYN that comes again after its connection is over makes another one, which nobody uses: it is aborted. */
  #accept(index: number, nowMs: number): void {
    const [listener, flow] = [this.#listeners[index], this.flows[index]];
    for (let made = listener?.accept(); made !== undefined; made = listener?.accept()) {
      if (flow === undefined || flow.server.connection !== undefined) made.reset(nowMs);
      else flow.server.connection = made;
    }
  }

  /** Lets everything come to its end, and judges it. */
  finish(): ScenarioRun {
    const { simulator, paths, flows } = this;
    const failure = runToRest(simulator) ?? faultOf(flows) ?? this.#leftBehind() ?? this.#tooLarge();
    const outcomes = flows.map(({ client }) => client.outcome);
    return { simulator, describePaths: () => describePaths(paths), outcomes, failure };
  }

  #tooLarge(): string | undefined {
    return this.#guards.find(({ fault }) => fault !== undefined)?.fault;
  }

  #leftBehind(): string | undefined {
    const [home, gateway] = [this.home.size, this.#gateway.size];
    return home + gateway > 0 ? `connections left behind: ${home} at home, ${gateway} at the gateway` : undefined;
  }
}

/** What both ends call an address of the near host. */
export function addressIdOf(path: number, family: Family): number {
  return 2 * path + (family === "ipv4" ? 0 : 1);
}

function makeHost(random: Random, makeSettings: StackWorldOptions["makeSettings"]) {
  const settings = makeSettings(random);
  const mtuBytes = oneOf(random, [1280, 1420, 1500]);
  const stack = new StackHost({ settings, ports: portsFrom(random), mtuBytes, mostConnections: MOST_CONNECTIONS });
  return { stack, guarded: new SizeGuard(stack, mtuBytes) };
}

function portsFrom(random: Random): StackPorts {
  const randomBytes = (length: number) => Uint8Array.from({ length }, () => randomBelow(random, 0x100));
  return { hashes: PLATFORM_HASHES, randomBytes };
}
