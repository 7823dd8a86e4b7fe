/**
 * Drives the subflow policies: events, uplinks, samples and what connections carry in, commands to the engine, timers by Node's clock.
 */
import type { Endpoint, IpAddress } from "@hybrid-access/core/base/ip-address";
import { SeededRandom } from "@hybrid-access/core/base/random";
import type { PathControl } from "@hybrid-access/core/engine/engine";
import type { UplinkRate } from "@hybrid-access/core/policy/path-manager/load";
import type {
  PathCommand,
  PathDecision,
  UplinkAddress,
  UplinkSample,
} from "@hybrid-access/core/policy/path-manager/path-manager";
import { Reconciler } from "@hybrid-access/core/policy/path-manager/reconciler";
import { RemovalRepeats } from "@hybrid-access/core/policy/path-manager/removal-repeats";
import type { PathSamples } from "@hybrid-access/core/policy/path-manager/samples";
import type { ReconcilerSettings } from "@hybrid-access/core/policy/path-manager/settings";
import type { Flow } from "@hybrid-access/core/policy/rules";
import type { Logger } from "@hybrid-access/core/services/log";
import { Sampler } from "@hybrid-access/core/services/sampler";
import { whenKnown } from "./observed-path-control.ts";
import { UplinkMeter } from "./uplink-meter.ts";

/** How often uplinks are sampled while a policy decides by load. */
const SAMPLE_MS = 100;

/** What an uplink's interface has counted. */
export interface UplinkCounters {
  readonly uplink: string;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export interface PathDriverOptions {
  readonly settings: ReconcilerSettings;
  readonly control: PathControl;
  readonly log: Logger;
  /** Reads the counters of all uplinks. */
  readonly readCounters: () => readonly UplinkCounters[];
  /** What every connection and subflow has carried. */
  readonly readSamples: () => PathSamples | Promise<PathSamples>;
}

export class PathDriver {
  readonly #options: PathDriverOptions;
  readonly #reconciler: Reconciler;
  readonly #removals = new RemovalRepeats();
  readonly #meter = new UplinkMeter();
  readonly #sampler: Sampler<PathSamples>;
  #timer: NodeJS.Timeout | undefined;
  /** What the timer is set for. */
  #timerMs: number | undefined;
  #sampling: NodeJS.Timeout | undefined;
  refusedCommands = 0;

  constructor(options: PathDriverOptions) {
    this.#options = options;
    // Only jitter: it needs to differ between hosts, not to be unpredictable.
    this.#reconciler = new Reconciler(options.settings, new SeededRandom(process.pid ^ Date.now()), (withheld) => {
      options.log.debug(withheld, "no further subflow");
    });
    options.control.onEvent((event) => {
      options.log.debug({ event }, "path event");
      this.#removals.onEvent(event);
      this.#carryOut(this.#reconciler.onEvent(event, performance.now()));
    });
    this.#sampleWhere(options.settings);
    this.#sampler = new Sampler({
      read: options.readSamples,
      need: () => this.#sampleNeed(),
      onSamples: (samples) => this.#carryOut(this.#reconciler.onSubflowSamples(samples, performance.now())),
      log: options.log,
    });
  }

  #sampleNeed(): "none" | "some" | "urgent" {
    const { connections, subflows, waitsForBytes } = this.#reconciler;
    if (waitsForBytes) return "urgent";
    // A subflow can only be overtaken by another one of its connection.
    return subflows > connections ? "some" : "none";
  }

  /** Rates of uplinks that are not configured, as far as they are known. */
  learn(rates: ReadonlyMap<string, UplinkRate>): void {
    this.#reconciler.learn(rates);
  }

  setUplinks(addresses: readonly UplinkAddress[]): void {
    this.#removals.onUplinks(addresses);
    this.#carryOut(this.#reconciler.onUplinks(addresses, performance.now()));
  }

  /** Connections stay and get the subflows that these settings want. */
  configure(settings: ReconcilerSettings): void {
    this.#carryOut(this.#reconciler.configure(settings, performance.now()));
    this.#sampleWhere(settings);
  }

  /** The connection with this local end carries this. */
  describe(local: Endpoint, flow: Flow): void {
    this.#carryOut(this.#reconciler.describe(local, flow, performance.now()));
  }

  /** A gateway lets the connection with this local end, and those to come, have so many subflows. */
  limit(local: Endpoint, gateway: IpAddress, subflows: number): void {
    this.#carryOut(this.#reconciler.limit(local, gateway, subflows, performance.now()));
  }

  /** The name of the policy that a connection is under. */
  policyOf(token: number): string | undefined {
    return this.#reconciler.policyOf(token);
  }

  /** Tokens of the connections that are taken to be open. */
  get tokens(): readonly number[] {
    return this.#reconciler.tokens;
  }

  status() {
    const { connections, subflows } = this.#reconciler;
    const { unknownEvents } = this.#options.control;
    return { connections, subflows, refusedCommands: this.refusedCommands, unknownEvents };
  }

  /** Sampling costs a look at the kernel ten times a second: only where it decides something. */
  #sampleWhere({ rates }: ReconcilerSettings): void {
    clearInterval(this.#sampling);
    this.#sampling = undefined;
    if (rates.size === 0) return;
    this.#sampling = setInterval(() => this.#sample(), SAMPLE_MS);
    this.#sampling.unref();
  }

  #sample(): void {
    const samples: UplinkSample[] = this.#meter.read(this.#options.readCounters(), performance.now());
    this.#carryOut(this.#reconciler.onSamples(samples, performance.now()));
  }

  #carryOut(commands: readonly PathDecision[]): void {
    for (const command of commands) {
      this.#removals.onCommand(command, performance.now());
      this.#execute(command, () => this.#onRefused(command));
    }
    this.#schedule();
    this.#sampler.hasChanged();
  }

  #onRefused(command: PathCommand): void {
    this.#reconciler.onRefused(command, performance.now());
    this.#schedule();
  }

  #execute(command: PathDecision, onRefused: () => void): void {
    const { control, log } = this.#options;
    const { reason, ...bare } = command;
    whenKnown(control.execute(bare), (done) => {
      log.debug({ command: bare, reason, policy: this.policyOf(command.token), done }, "path command");
      if (done) return;
      this.refusedCommands += 1;
      onRefused();
    });
  }

  #schedule(): void {
    const times = [this.#reconciler.nextTimerMs, this.#removals.nextTimerMs].filter((timeMs) => timeMs !== undefined);
    const nextMs = times.length === 0 ? undefined : Math.min(...times);
    if (nextMs === this.#timerMs) return;
    this.#timerMs = nextMs;
    clearTimeout(this.#timer);
    if (nextMs === undefined) return;
    this.#timer = setTimeout(() => this.#onTimer(performance.now()), Math.max(1, nextMs - performance.now()));
    this.#timer.unref();
  }

  #onTimer(nowMs: number): void {
    this.#timerMs = undefined;
    for (const command of this.#removals.onTimer(nowMs)) this.#execute(command, () => {});
    this.#carryOut(this.#reconciler.onTimer(nowMs));
  }

  close(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#sampling);
    this.#sampler.stop();
    this.#options.control.close();
  }
}
