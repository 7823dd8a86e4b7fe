/** One gateway's part in its farm: lease, publishing, steering, and what they need of the host. */
import { readFileSync } from "node:fs";
import { takeEachStep } from "@hybrid-access/core/base/each-step";
import { AccessError, describeError } from "@hybrid-access/core/base/error";
import { formatIpAddress, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type { PathControl } from "@hybrid-access/core/engine/engine";
import { RouteClient } from "@hybrid-access/core/platform/netlink/route";
import type { OwnerKey } from "@hybrid-access/core/policy/steering/steering";
import type { OwnedSysctls } from "@hybrid-access/core/services/host/owned-sysctls";
import { logStopFailure } from "@hybrid-access/core/services/lifecycle";
import type { Logger } from "@hybrid-access/core/services/log";
import { MemoryRegistry } from "@hybrid-access/core/services/registry/memory";
import { RedisRegistry } from "@hybrid-access/core/services/registry/redis";
import type { Registry } from "@hybrid-access/core/services/registry/registry";
import type { ClientTable } from "../client-table.ts";
import { type FarmConfig, fileOf } from "./config.ts";
import { Director, type MarkedNode } from "./director.ts";
import {
  addFarmRules,
  directorElements,
  localMark,
  NodeRoutes,
  QUEUE,
  removeFarmRules,
  setFallback,
  type Taker,
} from "./host-rules.ts";
import { LifeSign } from "./life-sign.ts";
import { type KnownNode, Membership, stateOf } from "./membership.ts";
import { Publisher } from "./publisher.ts";
import { RouteHealth } from "./route-health.ts";
import { SharedClients } from "./shared-clients.ts";
import { SharedCookieKeys } from "./shared-cookie-keys.ts";

export interface FarmOptions {
  readonly config: FarmConfig;
  /** Where the converters listen. */
  readonly ports: readonly number[];
  readonly taker: Taker;
  /** Open connections. */
  readonly load: () => number;
  /** Connections by client, and how many one may have. */
  readonly clients: ClientTable;
  readonly clientLimit: () => number;
  /** What {@link Farm.localLimit} or {@link Farm.cookieKeys} gives has changed. */
  readonly onRules: () => void;
  readonly openPathControl: () => PathControl;
  readonly sysctls: OwnedSysctls;
  readonly log: Logger;
}

export class Farm {
  readonly #options: FarmOptions;
  readonly #config: FarmConfig;
  readonly #log: Logger;
  readonly #directs: boolean;
  readonly #converts: boolean;
  readonly #registry: Registry;
  readonly #membership: Membership;
  readonly #routes = new RouteClient();
  readonly #nodeRoutes = new NodeRoutes(this.#routes);
  readonly #routeHealth: RouteHealth;
  #paths: PathControl | undefined;
  #publisher: Publisher | undefined;
  #director: Director | undefined;
  #lifeSign: LifeSign | undefined;
  #sharedClients: SharedClients | undefined;
  #sharedCookieKeys: SharedCookieKeys | undefined;
  /** Ends when the kernel has the last one of the rules that it follows without this process. */
  #fallback = Promise.resolve();

  constructor(options: FarmOptions) {
    const { config, log, load } = options;
    this.#options = options;
    this.#config = config;
    this.#log = log;
    this.#directs = config.steering === "steer" && config.role !== "converter";
    this.#converts = config.role !== "director";
    this.#routeHealth = new RouteHealth(this.#routes, config.virtualAddresses);
    this.#registry = openRegistry(config, log);
    const on = {
      change: (nodes: readonly KnownNode[]) => this.#onNodes(nodes),
      forgotten: () => {
        this.#publisher?.publishAgain();
        void this.#sharedCookieKeys?.ask();
      },
    };
    this.#membership = new Membership(this.#registry, config, load, on, log);
  }

  /** Whether connections are to open no further subflows to the farm's address, where they could miss their owner. */
  get deniesInitialJoins(): boolean {
    return this.#config.steering === "announce";
  }

  /** This node's own addresses, where connections must be told of them for their further subflows. */
  get announcedAddresses(): readonly IpAddress[] {
    return this.#config.steering === "announce" ? this.#config.addresses : [];
  }

  /** Makes the host ready: from now on packets to the virtual addresses come here. */
  prepareHost(): void {
    const { virtualAddresses } = this.#config;
    this.#routes.removeOwn();
    const { ports, taker } = this.#options;
    if (taker === "sockets") this.#nodeRoutes.addLocal();
    if (this.#directs) {
      this.#options.sysctls.set("net.ipv4.ip_forward", () => "1");
      if (virtualAddresses.some((address) => formatIpAddress(address).includes(":"))) {
        this.#options.sysctls.set("net.ipv6.conf.all.forwarding", () => "1");
      }
    }
    addFarmRules({ virtualAddresses, ports, taker, directs: this.#directs, converts: this.#converts });
    if (this.#directs) {
      const { hold: holdMs, joinsWithoutRedis: joinsWithoutRegistry } = this.#config;
      this.#director = new Director(this.#registry, QUEUE, { holdMs, joinsWithoutRegistry });
      this.#lifeSign = new LifeSign(directorElements(), this.#log);
    }
    if (this.#config.steering === "steer" && this.#converts) this.#followConnections();
    if (this.#converts && this.#config.clientLimits === "shared") this.#shareClients();
    if (this.#converts && this.#config.cookieKeys === "shared") {
      const { cookieKeyLife: lifeMs } = this.#config;
      this.#sharedCookieKeys = new SharedCookieKeys({
        registry: this.#registry,
        lifeMs,
        onKeys: this.#options.onRules,
      });
    }
  }

  #followConnections(): void {
    const paths = this.#options.openPathControl();
    this.#paths = paths;
    const publisher = this.#createPublisher();
    this.#publisher = publisher;
    paths.onEvent((event) => publisher.onEvent(event));
  }

  #shareClients(): void {
    const { clients: table, clientLimit: limit, onRules: onLimit } = this.#options;
    const { node, limitsWithoutRedis: withoutRegistry } = this.#config;
    const others = () =>
      this.#membership
        .nodes()
        .flatMap(({ member, alive }) => (alive && member.weight > 0 && member.name !== node ? [member.name] : []));
    const registry = this.#registry;
    const shared = { registry, node, others, table, limit, withoutRegistry, onLimit, log: this.#log };
    this.#sharedClients = new SharedClients(shared);
  }

  /** What this node may allow a client of which the farm allows `limit`. */
  localLimit(limit: number): number {
    return this.#sharedClients?.localLimit(limit) ?? limit;
  }

  /** What this node makes cookies with (the first one) and accepts, `configured` being its own keys. */
  cookieKeys(configured: readonly Uint8Array[]): readonly Uint8Array[] {
    return [...(this.#sharedCookieKeys?.keys ?? []), ...configured];
  }

  #createPublisher(): Publisher {
    const { node, tokenLife } = this.#config;
    return new Publisher({
      registry: this.#registry,
      node,
      tokenLifeMs: tokenLife,
      isAlive: (name) => this.#membership.isAlive(name),
      isMember: () => this.#membership.isMember,
      onOwned: (key: OwnerKey) => this.#director?.learn(key, node),
      log: this.#log,
    });
  }

  /** Joins the farm: from now on connections come. Throws an AccessError when the farm does not want this node. */
  async join(): Promise<void> {
    await this.#membership.join();
    await this.#fallback;
    if (this.#director !== undefined) this.#hurry();
    if (this.#config.steering === "announce") this.#routeHealth.set(true);
    this.#sharedClients?.start();
    await this.#sharedCookieKeys?.ask();
  }

  /** After the workers have been started, which are not meant. */
  #hurry(): void {
    try {
      Director.hurry();
    } catch (error) {
      this.#log.info({ error }, "the director is not preferred to what else this host runs (CAP_SYS_NICE)");
    }
  }

  #onNodes(nodes: readonly KnownNode[]): void {
    if (this.#director === undefined) return;
    const own = this.#routes.addresses();
    const marked = nodes.flatMap(({ member, alive }): MarkedNode[] => {
      const { name, addresses, weight, state } = member;
      if (weight === 0) return [];
      const mark =
        name === this.#config.node ? localMark(this.#options.taker) : this.#nodeRoutes.reach(name, addresses, own);
      if (mark !== undefined) return [{ name, weight, mark, accepting: alive && state === "up" }];
      this.#log.error({ node: name }, "no link of this host leads to this node directly: nothing is steered there");
      return [];
    });
    this.#director.setNodes(marked);
    const marks = marked.filter(({ accepting }) => accepting).map(({ mark }) => mark);
    const { virtualAddresses } = this.#config;
    this.#fallback = this.#fallback
      .then(() => setFallback(virtualAddresses, marks))
      .catch((error: unknown) =>
        this.#log.error({ error }, "what the kernel does without the director stays as it was"),
      );
    this.#routeHealth.set(marks.length > 0 && this.#membership.state === "up");
  }

  /** Whether subflows of open connections still need this node's listeners. */
  get keepsListeners(): boolean {
    return this.#config.steering === "steer" && this.#converts;
  }

  /** Directors send no new connections here any more once this has resolved. */
  async drain(): Promise<void> {
    this.#routeHealth.set(false);
    await this.#membership.setState("draining");
    await new Promise((resolve) => setTimeout(resolve, this.#config.lease));
  }

  /** Gives the lease up: nothing new is sent here. */
  async leave(): Promise<void> {
    this.#routeHealth.set(false);
    await this.#membership.stop();
  }

  async stop(): Promise<void> {
    await takeEachStep(
      [
        () => this.#lifeSign?.stop(),
        () => this.#director?.close(),
        () => this.#publisher?.close(),
        () => this.#sharedClients?.stop(),
        () => this.#sharedCookieKeys?.stop(),
        () => this.#paths?.close(),
        () => this.#fallback,
        () => removeFarmRules(),
        () => this.#routes.removeOwn(),
        () => this.#routes.close(),
        () => this.#registry.close(),
      ],
      (error) => logStopFailure(this.#log, error),
    );
  }

  status(): object {
    const { name, node, steering, role, virtualAddresses } = this.#config;
    return {
      name,
      node,
      steering,
      role,
      state: this.#membership.state,
      announced: this.#routeHealth.announced,
      virtualAddresses: virtualAddresses.map(formatIpAddress),
      registry: { ...this.#registry.health, foreign: this.#membership.foreign },
      nodes: this.#membership.nodes().map((node) => ({
        node: node.member.name,
        state: stateOf(node),
        weight: node.member.weight,
        load: node.member.load,
        addresses: node.member.addresses.map(formatIpAddress),
      })),
      ...(this.#publisher && { published: { tokens: this.#publisher.tokens, ...this.#publisher.counters } }),
      ...(this.#sharedClients && { clientLimits: this.#sharedClients.status() }),
      ...(this.#sharedCookieKeys && { cookieKeys: this.#sharedCookieKeys.status() }),
      ...(this.#director && { director: { ...this.#director.counters, ...this.#director.steering } }),
    };
  }
}

function readSecret(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new AccessError("FARM_FILE", "configuration", `farm.redis: ${describeError(error)}`, error);
  }
}

/** Redis, or this process's own memory when there is none. Throws an AccessError for a file that cannot be read. */
function openRegistry({ name, redis }: FarmConfig, log: Logger): Registry {
  const { mode, servers, primary, username, tls } = redis;
  if (servers.length === 0) return new MemoryRegistry(() => performance.now());
  const passwordFile = fileOf(redis.passwordFile);
  const caFile = fileOf(redis.caFile);
  const settings = {
    mode,
    servers,
    primary,
    ...(passwordFile !== undefined && { username, password: readSecret(passwordFile).trim() }),
    ...(tls === "on" && { tls: caFile === undefined ? {} : { ca: readSecret(caFile) } }),
  };
  let lost = false;
  return new RedisRegistry(name, settings, (error) => {
    if (!lost) log.warn({ error }, "Redis is away; the farm goes on with what it knows");
    lost = true;
    setTimeout(() => {
      lost = false;
    }, 10_000).unref();
  });
}
