/** The HAG's control plane: owns the workers and what the daemon adds to the host. */
import { dirname } from "node:path";
import { takeEachStep } from "@hybrid-access/core/base/each-step";
import { AccessError } from "@hybrid-access/core/base/error";
import type { IpAddress } from "@hybrid-access/core/base/ip-address";
import { FAR } from "@hybrid-access/core/dataplane/relay";
import { sendToEngines, WorkerPool, type WorkerReport } from "@hybrid-access/core/dataplane/worker-pool";
import type { EngineControl, EngineReport } from "@hybrid-access/core/engine/engine-control";
import { ENGINES } from "@hybrid-access/core/engine/engines";
import { RouteClient, watchRoutes } from "@hybrid-access/core/platform/netlink/route";
import { AdminServer } from "@hybrid-access/core/services/admin";
import { requireCapabilities } from "@hybrid-access/core/services/capability-check";
import { connectionCapacity } from "@hybrid-access/core/services/connection-capacity";
import { hostTools } from "@hybrid-access/core/services/host/host-tools";
import { removeTable, replaceTable } from "@hybrid-access/core/services/host/nftables";
import { OwnedSysctls } from "@hybrid-access/core/services/host/owned-sysctls";
import { probeHost } from "@hybrid-access/core/services/host/probe";
import { addTransparentRouting, MARK_TRANSPARENT } from "@hybrid-access/core/services/host/transparent-routing";
import { type Daemon, logStopFailure } from "@hybrid-access/core/services/lifecycle";
import type { Logger } from "@hybrid-access/core/services/log";
import { ClientSlots } from "./client-slots.ts";
import { ClientTable } from "./client-table.ts";
import type { HagConfig } from "./config.ts";
import type { ConverterRules, ConverterSetup } from "./converter.ts";
import { Farm } from "./farm/farm.ts";
import { GatewayLoad } from "./gateway-load.ts";
import { StalledSubflows } from "./stalled-subflows.ts";
import { SubflowHost } from "./subflow-host.ts";

const NFT_TABLE = "hybrid_access_hag";
const BUFFER_BYTES = 256 * 1024;
const PENDING_LIMIT_BYTES = 16 * 1024 * 1024;

const TUNING: readonly {
  readonly name: string;
  readonly change: (current: string) => string;
  readonly without: string;
}[] = [
  {
    name: "net.ipv4.tcp_fastopen",
    change: (current) => String(Number(current) | 2),
    without: "Fast Open stays off: connections take a round trip more",
  },
  {
    // A port toward one destination is free again a second after its connection has ended (RFC 6191), not 60.
    name: "net.ipv4.tcp_tw_reuse",
    change: () => "1",
    without: "ports in TIME-WAIT are not reused: fewer connections a second to one destination",
  },
];

export class Hag implements Daemon {
  readonly #log: Logger;
  readonly #loadConfig: () => HagConfig;
  readonly #admin: AdminServer;
  readonly #sysctls: OwnedSysctls;
  readonly #host = probeHost();
  readonly #startedAt = Date.now();
  #config: HagConfig;
  #engine: EngineControl | undefined;
  #pool: WorkerPool | undefined;
  #ownAddresses: readonly IpAddress[] = [];
  readonly #clientTable = ClientTable.createMemory();
  readonly #load = new GatewayLoad();
  #addressWatch: { close(): void } | undefined;
  #routes: RouteClient | undefined;
  #farm: Farm | undefined;
  #subflows: SubflowHost | undefined;
  #stalled: StalledSubflows | undefined;
  /** The admin socket is ours, and so is everything on the host that carries this daemon's name. */
  #owner = false;
  #ready = false;

  constructor(config: HagConfig, loadConfig: () => HagConfig, log: Logger) {
    this.#config = config;
    this.#loadConfig = loadConfig;
    this.#log = log;
    this.#admin = new AdminServer(config.admin.socket, {
      "/status": () => this.status(),
      "/farm": () => this.#farm?.status() ?? { steering: "none" },
      "/drain": () => ({ draining: process.kill(process.pid, "SIGTERM") }),
    });
    this.#sysctls = new OwnedSysctls(`${dirname(config.admin.socket)}/hag-host-state.json`);
  }

  async start(): Promise<void> {
    const { workers, maxConnections, listen, timeouts, egress, farm } = this.#config;
    const forEgress = egress.source === "client" ? (["transparent"] as const) : [];
    requireCapabilities(ENGINES[this.#config.engine].probe(), ["multipathTcp", "acceptedPaths", ...forEgress]);
    await this.#admin.start();
    this.#owner = true;
    this.#tuneHost();
    this.#engine = this.#openEngine();
    if (farm.steering !== "none") this.#addFarm();
    this.#ownAddresses = readOwnAddresses();
    this.#engine.followHost(this.#ownAddresses);
    this.#prepareSubflows(this.#engine);
    if (egress.source === "client") this.#addEgress();
    const capacity = connectionCapacity(workers, maxConnections);
    this.#log.info({ ...capacity, workers }, "capacity");
    this.#addressWatch = watchRoutes(() => this.#followAddresses());
    const setup: ConverterSetup = {
      engine: this.#config.engine,
      engineSetup: this.#engine.workerSetup,
      relay: {
        maxConnections: capacity.connectionsPerWorker,
        bufferBytes: BUFFER_BYTES,
        pipes: { from: FAR, most: capacity.pipesPerWorker },
        pendingLimitBytes: PENDING_LIMIT_BYTES,
        idleMs: timeouts.idle,
        halfClosedMs: timeouts.halfClosed,
      },
      listen,
      // The farm's address is on no interface.
      transparent: farm.steering !== "none" && !this.#engine.hasNetwork,
      rules: this.#rules(),
      clientTable: this.#clientTable,
      clientSlots: ClientSlots.createMemory(capacity.connectionsPerWorker, workers),
      load: this.#load.memory,
    };
    this.#pool = new WorkerPool({
      entry: new URL("./worker.js", import.meta.url),
      workers,
      setup: () => ({ ...setup, engineSetup: this.#engine?.workerSetup, rules: this.#rules() }),
      onReport: (report) => this.#engine?.onReport(report as WorkerReport & EngineReport),
      onDeath: (index, error) => {
        this.#log.error({ error }, "a worker ended, another takes its place");
        const slots = new ClientSlots(setup.clientSlots, capacity.connectionsPerWorker, index);
        slots.leaveAll(new ClientTable(setup.clientTable, this.#config.limits));
        this.#engine?.onWorkerDeath(index);
      },
    });
    await this.#pool.start();
    this.#load.start({
      active: () => this.#pool?.counters().connectionsActive ?? 0,
      most: workers * capacity.connectionsPerWorker,
      takesMore: () => this.#ready,
      onTold: () => this.#stalled?.watch(),
    });
    await this.#farm?.join();
    this.#followAddresses();
    this.#ready = true;
  }

  #addFarm(): void {
    const { farm: config, listen, engine } = this.#config;
    const follows = config.steering === "steer" ? (["pathControl"] as const) : [];
    const { hasNetwork } = this.#startedEngine();
    requireCapabilities(ENGINES[engine].probe(), hasNetwork ? follows : ["transparent", ...follows]);
    if (config.role !== "converter") requireCapabilities(this.#host, ["netfilterQueue"]);
    this.#farm = new Farm({
      config,
      ports: Array.from(new Set(listen.map(({ port }) => port))),
      taker: hasNetwork ? "engine" : "sockets",
      load: () => this.#pool?.counters().connectionsActive ?? 0,
      clients: new ClientTable(this.#clientTable, this.#config.limits),
      clientLimit: () => this.#config.limits.open,
      onRules: () => this.#pool?.broadcast(this.#rules()),
      openPathControl: () => this.#startedEngine().openPathControl(),
      sysctls: this.#sysctls,
      log: this.#log,
    });
    this.#farm.prepareHost();
  }

  #openEngine(): EngineControl {
    const { engine, congestion, listen, workers, farm } = this.#config;
    const virtual = farm.steering === "none" || farm.role === "director" ? [] : farm.virtualAddresses;
    return ENGINES[engine].openControl({
      daemon: "hag",
      role: { type: "accepts", listen, virtual },
      workers,
      congestion,
      host: hostTools(this.#sysctls),
      transport: { scheduler: this.#config.scheduler },
      send: (message, worker) => sendToEngines(this.#pool, message, worker),
    });
  }

  #startedEngine(): EngineControl {
    if (this.#engine === undefined) throw new AccessError("NOT_STARTED", "local", "the engine is not open");
    return this.#engine;
  }

  #prepareSubflows(engine: EngineControl): void {
    const { subflows, announce } = this.#config;
    const paths = engine.openAcceptedPaths();
    const host = new SubflowHost(paths, this.#log);
    this.#subflows = host;
    this.#stalled = new StalledSubflows({
      paths,
      connections: () => this.#pool?.counters().connectionsActive ?? 0,
      onCount: (open) => host.count(open),
      awaitsRoom: () => host.isFull,
      log: this.#log,
    });
    this.#subflows.limit(subflows);
    if (this.#farm?.deniesInitialJoins) paths.denyInitialJoins();
    const ofFarm = this.#farm?.announcedAddresses ?? [];
    this.#subflows.announce([...announce, ...ofFarm.map((address) => ({ address, port: 0 }))]);
  }

  /** Optimisations: where one cannot be switched on, the daemon serves without it. */
  #tuneHost(): void {
    for (const { name, change, without } of TUNING) {
      try {
        this.#sysctls.set(name, change);
      } catch (error) {
        this.#log.warn({ error }, without);
      }
    }
  }

  /** Servers' answers to clients' addresses come to this host's sockets. */
  #addEgress(): void {
    this.#routes = new RouteClient();
    addTransparentRouting(this.#routes);
    replaceTable(
      NFT_TABLE,
      `chain prerouting { type filter hook prerouting priority mangle; meta l4proto tcp ${MARK_TRANSPARENT}; }`,
    );
  }

  #rules(): ConverterRules {
    const { clients, destinations, egress, cookies, limits, subflows, timeouts } = this.#config;
    return {
      clients,
      destinations,
      ownAddresses: [...this.#ownAddresses, ...this.#config.farm.virtualAddresses],
      egress: egress.source,
      cookieKeys: this.#farm?.cookieKeys(cookies.keys) ?? cookies.keys,
      limits: { ...limits, open: this.#farm?.localLimit(limits.open) ?? limits.open },
      subflows: subflows.perConnection,
      headerMs: timeouts.header,
      connectMs: timeouts.connect,
    };
  }

  #followAddresses(): void {
    const addresses = readOwnAddresses();
    if (String(addresses) === String(this.#ownAddresses)) return;
    this.#ownAddresses = addresses;
    this.#engine?.followHost(addresses);
    this.#pool?.broadcast(this.#rules());
  }

  async reload(): Promise<void> {
    const config = this.#loadConfig();
    const { engine, congestion, listen, announce, workers, maxConnections, egress, farm } = this.#config;
    // What sockets and threads were made from stays until the next start.
    this.#config = { ...config, engine, congestion, listen, announce, workers, maxConnections, egress, farm };
    this.#engine?.configure({ scheduler: config.scheduler });
    this.#subflows?.limit(config.subflows);
    this.#pool?.broadcast(this.#rules());
  }

  async drain(): Promise<void> {
    this.#ready = false;
    await this.#farm?.drain();
    if (this.#farm?.keepsListeners !== true) this.#pool?.closeListeners();
    await this.#pool?.idle();
  }

  async stop(): Promise<void> {
    this.#ready = false;
    // Another daemon's table and sysctls have the same names.
    if (!this.#owner) return;
    const onLater = (error: unknown) => logStopFailure(this.#log, error);
    const routes = this.#routes;
    const undoEgress =
      routes === undefined ? [] : [() => removeTable(NFT_TABLE), () => routes.removeOwn(), () => routes.close()];
    await takeEachStep(
      [
        () => this.#farm?.leave(),
        () => this.#load.stop(),
        () => this.#addressWatch?.close(),
        () => this.#pool?.stop(),
        () => this.#farm?.stop(),
        () => this.#admin.stop(),
        () => this.#stalled?.stop(),
        () => this.#subflows?.close(onLater),
        () => this.#engine?.close(),
        ...undoEgress,
        () => this.#sysctls.restore(),
      ],
      onLater,
    );
  }

  status(): object {
    return {
      ready: this.#ready,
      engine: this.#config.engine,
      uptimeSeconds: Math.round((Date.now() - this.#startedAt) / 1000),
      workers: this.#config.workers,
      ...this.#pool?.status(),
      capabilities: { ...ENGINES[this.#config.engine].probe(), ...this.#host },
      counters: this.#pool?.counters() ?? {},
      subflowsReset: this.#stalled?.reset ?? 0,
      subflowsFull: this.#subflows?.isFull ?? false,
    };
  }
}

function readOwnAddresses(): IpAddress[] {
  const client = new RouteClient();
  try {
    return client.addresses().map(({ address }) => address);
  } finally {
    client.close();
  }
}
