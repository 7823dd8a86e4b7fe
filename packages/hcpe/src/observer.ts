/** What the daemon knows of its uplinks and connections, and shows: the part of the control plane behind the admin paths. */
import { join } from "node:path";
import { AccessError, describeError } from "@hybrid-access/core/base/error";
import { formatEndpoint } from "@hybrid-access/core/base/ip-address";
import type { WorkerPool } from "@hybrid-access/core/dataplane/worker-pool";
import type { Diagnostics } from "@hybrid-access/core/engine/engine-control";
import type { RouteClient } from "@hybrid-access/core/platform/netlink/route";
import type { UplinkRate } from "@hybrid-access/core/policy/path-manager/load";
import { type PathSamples, pathSamples } from "@hybrid-access/core/policy/path-manager/samples";
import type { QualityVerdict } from "@hybrid-access/core/policy/uplink-quality";
import type { AdminRoutes, AdminStreams } from "@hybrid-access/core/services/admin";
import type { Logger } from "@hybrid-access/core/services/log";
import { type ScheduledTask, schedule } from "node-cron";
import type { GatewayReport, UplinkReport } from "./carrier-setup.ts";
import type { HcpeConfig } from "./config.ts";
import { type ConnectionAnswer, ConnectionList } from "./connection-list.ts";
import { EventLog } from "./event-log.ts";
import type { ObservedPathControl } from "./observed-path-control.ts";
import { QuotaKeeper } from "./quota-keeper.ts";
import { RateLearner } from "./rate-learner.ts";
import { UplinkMonitor } from "./uplink-monitor.ts";
import type { Standing } from "./uplink-standing.ts";
import type { Uplink } from "./uplinks.ts";
import { viewConnections, viewUplink } from "./views.ts";

/** Every time zone's day begins on a quarter of an hour of UTC; the calendar says whose. */
const QUARTERS = "*/15 * * * *";
const EVENTS_KEPT = 4096;
const LISTED_UNLESS_ASKED = 100;
const MOST_LISTED = 1000;
const MOST_FOLLOWERS = 8;

export interface ObserverOptions {
  readonly log: Logger;
  readonly routes: RouteClient;
  readonly diagnostics: () => Diagnostics;
  readonly uplinks: () => readonly Uplink[];
  readonly pool: () => WorkerPool | undefined;
  readonly config: () => HcpeConfig;
  /** The families over which an uplink, by its place, passes nothing. */
  readonly silentFamilies: (uplink: number) => readonly string[];
  /** The name of the policy that a connection is under, by its token. */
  readonly policyOf: (token: number) => string | undefined;
  /** How uplinks may be used has changed: {@link Observer.standing} says how. */
  readonly onStanding: () => void;
  /** Every schedule, and whether it is in force. */
  readonly schedules: () => readonly object[];
  /** What was learnt of the uplinks' rates has changed. */
  readonly onRates: (rates: ReadonlyMap<string, UplinkRate>) => void;
}

export class Observer {
  readonly events = new EventLog(EVENTS_KEPT);
  readonly #options: ObserverOptions;
  readonly #monitor: UplinkMonitor;
  readonly #list = new ConnectionList();
  readonly #learner = new RateLearner();
  /** Where this host has path control. */
  pathControl: ObservedPathControl | undefined;
  #quotas: QuotaKeeper | undefined;
  #cron: ScheduledTask | undefined;
  #followers = 0;

  constructor(options: ObserverOptions) {
    this.#options = options;
    this.#monitor = new UplinkMonitor({
      routes: options.routes,
      diagnostics: options.diagnostics,
      uplinks: options.uplinks,
      connections: () => options.pool()?.counters().connectionsActive ?? 0,
      onVerdict: (uplink, verdict) => this.#onVerdict(uplink, verdict),
      onFailure: (error) => options.log.error({ error, detail: describeError(error) }, "uplinks could not be watched"),
      onTraffic: (links) => {
        this.#quotas?.count(links, Date.now());
        this.#learnRates();
      },
    });
  }

  /** Reads what quotas have used. To be called before anything asks for a standing. */
  loadQuotas(): void {
    const { uplinks, stateDirectory } = this.#options.config();
    const limited = uplinks.flatMap(({ quota, ...uplink }) => (quota === undefined ? [] : [{ ...uplink, quota }]));
    const quotas = new QuotaKeeper(
      {
        file: join(stateDirectory, "quotas.json"),
        uplinks: limited,
        log: this.#options.log,
        onChange: (uplink, used) => this.#onQuota(uplink, used),
      },
      Date.now(),
    );
    this.#quotas = quotas;
    if (limited.length > 0) this.#cron = schedule(QUARTERS, () => quotas.rollOver(Date.now()), { unref: true });
  }

  /** Begins to watch uplinks and connections. */
  start(): void {
    this.#monitor.start();
  }

  #onQuota(uplink: string, used: boolean): void {
    this.events.add("uplinkQuota", () => ({ uplink, used }));
    this.#options.onStanding();
  }

  #onVerdict(uplink: string, { quality, reason }: QualityVerdict): void {
    this.#options.log.info({ uplink, quality, reason }, "uplink quality");
    this.events.add("uplinkQuality", () => ({ uplink, quality, reason }));
    this.#options.onStanding();
  }

  #learnRates(): void {
    for (const { config } of this.#options.uplinks()) {
      const { name: uplink } = config;
      if (!this.#learner.add(uplink, this.#monitor.reading(uplink))) continue;
      const { down, up } = this.#learner.rates.get(uplink) ?? { down: 0, up: 0 };
      this.#options.log.info({ uplink, down, up }, "uplink rate learnt");
      this.events.add("uplinkRate", () => ({ uplink, down, up }));
      this.#options.onRates(this.#learner.rates);
    }
  }

  /** What every connection and subflow has carried by now. */
  async pathSamples(): Promise<PathSamples> {
    return pathSamples(await this.#monitor.snapshot());
  }

  /** How an uplink may be used. */
  standing(uplink: string): Standing {
    const quota = this.#quotas?.status(uplink);
    const quotaUsed = quota?.used === true;
    const { quality } = this.#monitor.reading(uplink).verdict;
    return { quality, quotaUsed, off: quotaUsed && quota?.whenUsed === "off" };
  }

  /** What a worker says of a gateway or an uplink. */
  noteReport(report: GatewayReport | UplinkReport): void {
    if (report.type !== "uplinkSilent") {
      this.events.add(report.type, () => ({ gateway: report.gateway, reason: report.reason }));
      return;
    }
    const { uplink, witness } = report;
    this.events.add(report.type, () => ({ uplink: uplink.name, reached: formatEndpoint(witness) }));
  }

  /** Tokens of the Multipath TCP connections that the engine has. Rejects with a SystemError. */
  async openTokens(): Promise<ReadonlySet<number>> {
    return await this.#monitor.tokens();
  }

  onAnswer(answer: ConnectionAnswer): void {
    this.#list.onAnswer(answer);
  }

  get routes(): AdminRoutes {
    return {
      "/connections": (query) => this.#connections(query),
      "/paths": () => ({
        schedules: this.#options.schedules(),
        uplinks: this.#options.uplinks().map((uplink, index) =>
          viewUplink(uplink, {
            ...this.#monitor.reading(uplink.config.name),
            quota: this.#quotas?.status(uplink.config.name) ?? null,
            silent: this.#options.silentFamilies(index),
          }),
        ),
      }),
      "/events": () => ({ events: this.events.since(0) }),
    };
  }

  get streams(): AdminStreams {
    return { "/events/follow": (_, send) => this.#follow(send) };
  }

  async #connections(query: URLSearchParams): Promise<object> {
    const limit = Number(query.get("limit") ?? LISTED_UNLESS_ASKED);
    if (!Number.isInteger(limit) || limit < 1 || limit > MOST_LISTED) {
      throw new AccessError("BAD_LIMIT", "peer", `limit must be a whole number from 1 to ${MOST_LISTED}`);
    }
    const pool = this.#options.pool();
    const { workers } = this.#options.config();
    const carried = pool === undefined ? [] : await this.#list.ask(pool, workers, limit);
    const { connections, subflows } = await this.#monitor.snapshot();
    this.pathControl?.forgetAllBut(new Set(connections.map(({ token }) => token)));
    return {
      total: Math.max(carried.length, pool?.counters().connectionsActive ?? 0),
      connections: viewConnections({
        carried: carried.slice(0, limit),
        connections,
        subflows,
        policyOf: this.#options.policyOf,
        uplinkOf: (subflow) => this.#monitor.uplinkOf(subflow),
        ended: (token) => this.#monitor.ended(token),
        ageSeconds: (token) => this.pathControl?.ageSeconds(token),
      }),
    };
  }

  #follow(send: (item: object) => void): () => void {
    if (this.#followers === MOST_FOLLOWERS) {
      throw new AccessError("TOO_MANY_FOLLOWERS", "peer", `${MOST_FOLLOWERS} others follow already`);
    }
    this.#followers += 1;
    const unfollow = this.events.follow(send);
    return () => {
      this.#followers -= 1;
      unfollow();
    };
  }

  stop(): void {
    this.#monitor.stop();
    void this.#cron?.destroy();
    this.#quotas?.save(Date.now());
  }
}
