/** The HCPE's control plane: uplinks, gateways, subflow policy, interception, workers. */
import { dirname } from "node:path";
import { takeEachStep } from "@hybrid-access/core/base/each-step";
import { AccessError, describeError } from "@hybrid-access/core/base/error";
import {
  type Endpoint,
  formatEndpoint,
  formatIpAddress,
  type IpAddress,
  ipAddress,
} from "@hybrid-access/core/base/ip-address";
import { NEAR } from "@hybrid-access/core/dataplane/relay";
import { sendToEngines, WorkerPool } from "@hybrid-access/core/dataplane/worker-pool";
import type { EngineControl, EngineReport } from "@hybrid-access/core/engine/engine-control";
import { ENGINES } from "@hybrid-access/core/engine/engines";
import { RouteClient, watchRoutes } from "@hybrid-access/core/platform/netlink/route";
import { reservePort } from "@hybrid-access/core/platform/socket";
import { AddressIds } from "@hybrid-access/core/policy/path-manager/address-ids";
import { aggregate } from "@hybrid-access/core/policy/path-manager/aggregate";
import type { SubflowPolicy } from "@hybrid-access/core/policy/path-manager/path-manager";
import type { ReconcilerSettings } from "@hybrid-access/core/policy/path-manager/settings";
import { AdminServer } from "@hybrid-access/core/services/admin";
import { requireCapabilities } from "@hybrid-access/core/services/capability-check";
import { connectionCapacity } from "@hybrid-access/core/services/connection-capacity";
import { hostTools } from "@hybrid-access/core/services/host/host-tools";
import { OwnedSysctls } from "@hybrid-access/core/services/host/owned-sysctls";
import { probeHost } from "@hybrid-access/core/services/host/probe";
import { addTransparentRouting } from "@hybrid-access/core/services/host/transparent-routing";
import { type Daemon, logStopFailure } from "@hybrid-access/core/services/lifecycle";
import type { Logger } from "@hybrid-access/core/services/log";
import type { CarrierMessage, CarrierReport, CarrierSetup, ChoiceReport } from "./carrier-setup.ts";
import type { HcpeConfig } from "./config.ts";
import { ConnectionSweep } from "./connection-sweep.ts";
import { GatewayHealth } from "./gateway-health.ts";
import { GatewayNames } from "./gateway-names.ts";
import { ASKING } from "./gateway-question.ts";
import { GatewayTable } from "./gateway-table.ts";
import { type InterceptionOptions, intercept, removeInterception, stopIntercepting } from "./interception.ts";
import { ObservedPathControl } from "./observed-path-control.ts";
import { Observer } from "./observer.ts";
import { PathDriver, type UplinkCounters } from "./path-driver.ts";
import { pathSettings } from "./path-settings.ts";
import { guarded, loadPolicyModule } from "./policy-module.ts";
import { ScheduleKeeper } from "./schedule-keeper.ts";
import { SettledLook } from "./settled-look.ts";
import type { UplinkSource } from "./uplink-choice.ts";
import { UplinkHealth } from "./uplink-health.ts";
import { judgeAddresses, rankUplinks } from "./uplink-standing.ts";
import {
  judgeUplinks,
  readKernelState,
  type Uplink,
  type UplinkPath,
  UplinkRouting,
  uplinkAddresses,
  uplinkSources,
} from "./uplinks.ts";

const BUFFER_BYTES = 256 * 1024;
const PENDING_LIMIT_BYTES = 16 * 1024 * 1024;
/** How late the events of connections may be read when there are many: nothing beside the delay of an access network. */
const PATH_EVENTS_REST_MS = 4;
const LOST_WITHOUT_PATH_CONTROL =
  "every connection stays on the uplink it began on: no rates added up, no change of uplink while it lasts";

export class Hcpe implements Daemon {
  readonly #log: Logger;
  readonly #loadConfig: () => HcpeConfig;
  readonly #admin: AdminServer;
  readonly #sysctls: OwnedSysctls;
  readonly #routes = new RouteClient();
  readonly #routing: UplinkRouting;
  readonly #addressIds = new AddressIds();
  readonly #knownGateways = new Map();
  readonly #gateways: GatewayTable;
  readonly #gatewayNames: GatewayNames;
  readonly #gatewayStates: SharedArrayBuffer;
  readonly #uplinkStates: SharedArrayBuffer;
  readonly #gatewayHealth: GatewayHealth;
  readonly #uplinkHealth: UplinkHealth;
  readonly #observer: Observer;
  readonly #schedules: ScheduleKeeper;
  readonly #host = probeHost();
  readonly #startedAt = Date.now();
  #config: HcpeConfig;
  #uplinks: readonly Uplink[] = [];
  #refusals: readonly string[] = [];
  #paths: PathDriver | undefined;
  #sweep: ConnectionSweep | undefined;
  /** The last one that was loaded without an error. */
  #policyModule: SubflowPolicy | undefined;
  #engine: EngineControl | undefined;
  #pool: WorkerPool | undefined;
  #routeWatch: { close(): void } | undefined;
  readonly #uplinkLook = new SettledLook({
    look: () => this.#refreshUplinks(),
    onFailure: (error) =>
      this.#log.error({ error, detail: describeError(error) }, "uplinks could not be looked at, trying again"),
  });
  #port: { readonly port: number; release(): void } | undefined;
  /** The admin socket is ours, and so is everything on the host that carries this daemon's name. */
  #owner = false;
  #ready = false;

  constructor(config: HcpeConfig, loadConfig: () => HcpeConfig, log: Logger) {
    this.#config = config;
    this.#loadConfig = loadConfig;
    this.#log = log;
    this.#observer = new Observer({
      log,
      routes: this.#routes,
      diagnostics: () => this.#startedEngine().diagnostics,
      uplinks: () => this.#uplinks,
      pool: () => this.#pool,
      config: () => this.#config,
      silentFamilies: (uplink) => this.#uplinkHealth.silentFamilies(uplink),
      policyOf: (token) => this.#paths?.policyOf(token),
      onStanding: () => this.#tellStanding(),
      schedules: () => this.#schedules.status(),
      onRates: (rates) => this.#paths?.learn(rates),
    });
    this.#schedules = new ScheduleKeeper(
      { schedules: config.schedules, log, onChange: (inForce) => void this.#onSchedules(inForce) },
      Date.now(),
    );
    this.#admin = new AdminServer(
      config.admin.socket,
      { "/status": () => this.status(), ...this.#observer.routes },
      this.#observer.streams,
    );
    this.#sysctls = new OwnedSysctls(`${dirname(config.admin.socket)}/hcpe-host-state.json`);
    this.#routing = new UplinkRouting(this.#routes, config.uplinks);
    this.#gateways = new GatewayTable(config.gateways);
    this.#gatewayStates = GatewayHealth.createMemory(this.#gateways.places.length);
    this.#uplinkStates = UplinkHealth.createMemory(config.uplinks.length);
    this.#uplinkHealth = new UplinkHealth(this.#uplinkStates, () => this.#gateways.endpoints(), log);
    this.#gatewayHealth = new GatewayHealth({
      places: this.#gateways.places,
      memory: this.#gatewayStates,
      sourcesFor: (peer) => this.#uplinkHealth.sourcesFor(peer),
      checkMs: () => this.#config.timeouts.check,
      asking: ASKING,
      log,
    });
    this.#gatewayNames = new GatewayNames({
      names: config.gateways.flatMap(({ address }) => (typeof address === "string" ? [address] : [])),
      resolvers: config.resolvers,
      onAddresses: (name, addresses) => this.#onGatewayAddresses(name, addresses),
      log,
    });
  }

  async start(): Promise<void> {
    const capabilities = ENGINES[this.#config.engine].probe();
    requireCapabilities({ ...capabilities, ...this.#host }, ["multipathTcp", "transparent", "nftablesTproxy"]);
    if (!capabilities.pathControl.available) {
      this.#log.warn({ reason: capabilities.pathControl.reason, lost: LOST_WITHOUT_PATH_CONTROL }, "no path control");
    }
    await this.#admin.start();
    this.#owner = true;
    this.#removeLeftovers();
    const engine = this.#openEngine();
    this.#observer.loadQuotas();
    this.#refreshUplinks();
    this.#routeWatch = watchRoutes(() => this.#uplinkLook.notice());
    if (capabilities.pathControl.available) {
      const control = new ObservedPathControl(engine.openPathControl(PATH_EVENTS_REST_MS), this.#observer.events);
      this.#paths = new PathDriver({
        settings: await this.#pathSettings(this.#config),
        control,
        log: this.#log,
        readCounters: () => this.#readUplinkCounters(),
        readSamples: () => this.#observer.pathSamples(),
      });
      this.#observer.pathControl = control;
      if (!engine.tellsEveryEnd) this.#startSweep(control);
    }
    this.#observer.start();
    this.#schedules.start();
    this.#tellStanding();
    this.#port = reservePort([ipAddress("127.0.0.1"), ipAddress("::1")]);
    await this.#startWorkers(this.#port.port);
    intercept(this.#interception(), this.#routes);
    this.#gatewayHealth.start();
    this.#gatewayNames.start();
    this.#ready = true;
  }

  #startSweep(control: ObservedPathControl): void {
    this.#sweep = new ConnectionSweep({
      known: () => this.#paths?.tokens ?? [],
      inKernel: () => this.#observer.openTokens(),
      onGone: (token) => control.closed(token),
      onFailure: (error) => this.#log.error({ error, detail: describeError(error) }, "connections cannot be listed"),
    });
    this.#sweep.start();
  }

  /** Workers hear who has a place before its state lets them use it. */
  #onGatewayAddresses(name: string, addresses: readonly IpAddress[]): void {
    if (!this.#gateways.setAddresses(name, addresses)) return;
    this.#log.info({ name, addresses: addresses.map(formatIpAddress) }, "gateway's addresses");
    this.#pool?.broadcast({ type: "gateways", gateways: this.#gatewayEndpoints() } satisfies CarrierMessage);
    this.#gatewayHealth.followPlaces();
  }

  #gatewayEndpoints(): (Endpoint | undefined)[] {
    return this.#gateways.places.map(({ endpoint }) => endpoint);
  }

  /** A daemon that was killed could not remove what it had added. */
  #removeLeftovers(): void {
    removeInterception();
    const removed = this.#routes.removeOwn();
    if (removed > 0) this.#log.info({ removed }, "removed routes and rules of an earlier run");
  }

  #openEngine(): EngineControl {
    const { engine, congestion, uplinks, workers } = this.#config;
    this.#engine = ENGINES[engine].openControl({
      daemon: "hcpe",
      role: { type: "opens", uplinks: uplinks.map(({ name }) => name) },
      workers,
      congestion,
      host: hostTools(this.#sysctls),
      transport: { scheduler: this.#config.scheduler },
      send: (message, worker) => sendToEngines(this.#pool, message, worker),
    });
    return this.#engine;
  }

  #startedEngine(): EngineControl {
    if (this.#engine === undefined) throw new AccessError("NOT_STARTED", "local", "the engine is not open");
    return this.#engine;
  }

  async #startWorkers(port: number): Promise<void> {
    const { workers, maxConnections, timeouts } = this.#config;
    const capacity = connectionCapacity(workers, maxConnections);
    this.#log.info({ ...capacity, workers }, "capacity");
    const setup = (): CarrierSetup => ({
      engine: this.#config.engine,
      engineSetup: this.#engine?.workerSetup,
      relay: {
        maxConnections: capacity.connectionsPerWorker,
        bufferBytes: BUFFER_BYTES,
        pipes: { from: NEAR, most: capacity.pipesPerWorker },
        pendingLimitBytes: PENDING_LIMIT_BYTES,
        idleMs: timeouts.idle,
        halfClosedMs: timeouts.halfClosed,
      },
      listen: [ipAddress("127.0.0.1"), ipAddress("::1")].map((address): Endpoint => ({ address, port })),
      gateways: this.#gatewayEndpoints(),
      gatewayStates: this.#gatewayStates,
      uplinkStates: this.#uplinkStates,
      uplinks: this.#sources(),
      gatewayMs: this.#config.timeouts.gateway,
      replyMs: this.#config.timeouts.reply,
      reportFlows: this.#config.rules.length > 0,
      mostSubflows: this.#config.subflows.perConnection,
      reportChoices: this.#log.isLevelEnabled("debug"),
    });
    this.#pool = new WorkerPool({
      entry: new URL("./worker.js", import.meta.url),
      workers,
      setup,
      onReport: (report) => this.#onReport(report as CarrierReport | EngineReport),
      onDeath: (index, error) => {
        this.#log.error({ error }, "a worker ended, another takes its place");
        this.#engine?.onWorkerDeath(index);
      },
    });
    await this.#pool.start();
  }

  #onReport(report: CarrierReport | EngineReport): void {
    if (report.type === "engine") return this.#engine?.onReport(report);
    if (report.type === "connections") return this.#observer.onAnswer(report);
    if (report.type === "flow") return this.#paths?.describe(report.local, report.flow);
    if (report.type === "subflowLimit") return this.#paths?.limit(report.local, report.gateway, report.subflows);
    if (report.type === "choice") return this.#logChoice(report);
    this.#observer.noteReport(report);
    if (report.type === "uplinkSilent") this.#uplinkHealth.onSilent(report);
    else if (report.type === "gatewayDown") this.#gatewayHealth.onDown(report.gateway, report.reason);
    else this.#gatewayHealth.onDoubtful(report.gateway, report.reason);
  }

  #logChoice({ destination, local, gateway, gatewayReason, uplink, uplinkReason }: ChoiceReport): void {
    const [to, from, through] = [destination, local, gateway].map((end) => end && formatEndpoint(end));
    this.#log.debug({ destination: to, local: from, gateway: through, gatewayReason, uplink, uplinkReason }, "attempt");
  }

  #interception(): InterceptionOptions {
    const { lan, uplinks, bypass } = this.#config;
    if (this.#port === undefined) throw new AccessError("NOT_STARTED", "local", "no listener to intercept for");
    return {
      lanInterfaces: lan.interfaces,
      uplinkInterfaces: uplinks.map((uplink) => uplink.interface),
      port: this.#port.port,
      bypass,
    };
  }

  /** Looks at the kernel, mends the daemon's own routing, and tells the policy and the workers what changed. */
  #refreshUplinks(): void {
    const kernel = readKernelState(this.#routes);
    const judged = judgeUplinks(this.#config.uplinks, kernel, this.#knownGateways);
    const engine = this.#startedEngine();
    engine.followUplinks(judged.map(({ config: { name }, paths }) => ({ name, addresses: paths.map(addressOf) })));
    const { uplinks, refusals } = this.#routing.apply(judged, kernel, (address) => engine.insideOf(address));
    if (this.#ready) addTransparentRouting(this.#routes);
    for (const reason of refusals.filter((refusal) => !this.#refusals.includes(refusal))) {
      this.#log.error({ reason }, "the kernel refused a route or rule, this path is not used");
    }
    this.#refusals = refusals;
    const changed = describeUplinks(uplinks) !== describeUplinks(this.#uplinks);
    this.#uplinks = uplinks;
    const noticedMs = this.#uplinkLook.takeNoticedMs();
    if (!changed) return;
    const summary = uplinks.map(summarize);
    this.#log.info({ uplinks: summary }, "uplinks");
    this.#tellStanding();
    const reactionMs = noticedMs === undefined ? null : Math.round(performance.now() - noticedMs);
    this.#observer.events.add("uplinks", () => ({ uplinks: summary, reactionMs }));
  }

  /** Tells the policy and the workers which uplinks they may use, and which only when no other works. */
  #tellStanding(): void {
    const sources = this.#sources();
    this.#uplinkHealth.setSources(sources);
    this.#pool?.broadcast({ type: "uplinks", uplinks: sources } satisfies CarrierMessage);
    const standingOf = (uplink: string) => this.#observer.standing(uplink);
    this.#log.debug({ order: sources.map(({ name }) => ({ uplink: name, ...standingOf(name) })) }, "order of uplinks");
    this.#paths?.setUplinks(judgeAddresses(uplinkAddresses(this.#uplinks, this.#addressIds), standingOf));
  }

  #sources(): UplinkSource[] {
    return uplinkSources(rankUplinks(this.#uplinks, (uplink) => this.#observer.standing(uplink)));
  }

  /** A policy module that does not work is refused: the one that was loaded before stays, or the default policy does. */
  async #pathSettings(config: HcpeConfig): Promise<ReconcilerSettings> {
    const { inForce } = this.#schedules;
    if (config.policyModule === null) return pathSettings(config, undefined, inForce);
    const refuse = (error: unknown) =>
      this.#log.error({ detail: describeError(error) }, "the policy module is refused");
    try {
      this.#policyModule = await loadPolicyModule(config.policyModule, performance.now());
    } catch (error) {
      refuse(error);
    }
    const module = this.#policyModule;
    return pathSettings(config, module && guarded(module, aggregate, refuse), inForce);
  }

  #readUplinkCounters(): UplinkCounters[] {
    const links = this.#routes.links();
    return this.#config.uplinks.flatMap(({ name, interface: device }) => {
      const link = links.find((candidate) => candidate.name === device);
      return link === undefined ? [] : [{ uplink: name, ...link }];
    });
  }

  async #onSchedules(inForce: readonly string[]): Promise<void> {
    this.#observer.events.add("schedules", () => ({ inForce }));
    this.#paths?.configure(await this.#pathSettings(this.#config));
  }

  async reload(): Promise<void> {
    const config = this.#loadConfig();
    this.#schedules.configure(config.schedules, Date.now());
    const { engine, congestion, uplinks, gateways, resolvers, workers, maxConnections } = this.#config;
    // What threads, tables and shared memory were made from stays until the next start.
    this.#config = { ...config, engine, congestion, uplinks, gateways, resolvers, workers, maxConnections };
    intercept(this.#interception(), this.#routes);
    this.#engine?.configure({ scheduler: config.scheduler });
    const reportFlows = config.rules.length > 0;
    const { perConnection: mostSubflows } = config.subflows;
    this.#pool?.broadcast({ type: "policy", reportFlows, mostSubflows } satisfies CarrierMessage);
    this.#paths?.configure(await this.#pathSettings(this.#config));
    const { gateway: gatewayMs, reply: replyMs } = config.timeouts;
    this.#pool?.broadcast({ type: "timeouts", gatewayMs, replyMs } satisfies CarrierMessage);
  }

  async drain(): Promise<void> {
    this.#ready = false;
    stopIntercepting(this.#interception());
    this.#pool?.closeListeners();
    await this.#pool?.idle();
  }

  async stop(): Promise<void> {
    this.#ready = false;
    // Another daemon's table, routes and sysctls have the same names.
    if (!this.#owner) return this.#routes.close();
    await takeEachStep(
      [
        () => removeInterception(),
        () => this.#routeWatch?.close(),
        () => this.#uplinkLook.stop(),
        () => this.#gatewayNames.stop(),
        () => this.#gatewayHealth.stop(),
        () => this.#uplinkHealth.stop(),
        () => this.#sweep?.stop(),
        () => this.#observer.stop(),
        () => this.#schedules.stop(),
        () => this.#pool?.stop(),
        () => this.#port?.release(),
        () => this.#paths?.close(),
        () => this.#engine?.close(),
        () => this.#routes.removeOwn(),
        () => this.#routes.close(),
        () => this.#sysctls.restore(),
        () => this.#admin.stop(),
      ],
      (error) => logStopFailure(this.#log, error),
    );
  }

  status(): object {
    const links = this.#ready ? this.#routes.links() : [];
    return {
      ready: this.#ready,
      engine: this.#config.engine,
      policy: this.#config.policy,
      schedules: this.#schedules.status(),
      uptimeSeconds: Math.round((Date.now() - this.#startedAt) / 1000),
      workers: this.#config.workers,
      ...this.#pool?.status(),
      uplinks: this.#uplinks.map((uplink, index) => ({
        ...summarize({ ...uplink, ...links.find((link) => link.index === uplink.interfaceIndex) }),
        silent: this.#uplinkHealth.silentFamilies(index),
      })),
      gateways: this.#gatewayHealth.status(),
      paths: this.#paths?.status() ?? {},
      capabilities: { ...ENGINES[this.#config.engine].probe(), ...this.#host },
      counters: this.#pool?.counters() ?? {},
    };
  }
}

function addressOf({ address }: UplinkPath): IpAddress {
  return address;
}

function summarize({ config, state, paths, receivedBytes, sentBytes }: Uplink) {
  return {
    name: config.name,
    interface: config.interface,
    cost: config.cost,
    state,
    addresses: paths.map(({ address }) => formatIpAddress(address)),
    receivedBytes,
    sentBytes,
  };
}

/** Everything about uplinks that others depend on, as one text to compare. */
function describeUplinks(uplinks: readonly Uplink[]): string {
  return JSON.stringify(
    uplinks.map(({ config, state, interfaceIndex, paths }) => [config.name, state, interfaceIndex, paths]),
  );
}
