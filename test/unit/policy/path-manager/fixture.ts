/** A reconciler with a kernel model behind it, and the home that the tests are about. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { prefix } from "@hybrid-access/core/base/prefix";
import { SeededRandom } from "@hybrid-access/core/base/random";
import type {
  PathDecision,
  PathEvent,
  UplinkAddress,
  Withheld,
} from "@hybrid-access/core/policy/path-manager/path-manager";
import { builtInPolicies } from "@hybrid-access/core/policy/path-manager/policies";
import { Reconciler } from "@hybrid-access/core/policy/path-manager/reconciler";
import type { ReconcilerSettings } from "@hybrid-access/core/policy/path-manager/settings";
import { KernelModel, type ModelConnection, uplink } from "./kernel-model.ts";

export const DSL = uplink("dsl", 0, ipAddress("10.1.1.2"), 1);
export const LTE = uplink("lte", 10, ipAddress("10.1.2.2"), 2);
export const DSL6 = uplink("dsl", 0, ipAddress("fd11::2"), 3);
export const GATEWAY = { address: ipAddress("10.9.9.9"), port: 5124 };
export const SECOND = { address: ipAddress("10.9.9.8"), port: 0 };
export const MEGABIT = 1_000_000;

export const POLICIES = builtInPolicies({
  ndiffports: 3,
  pairs: [
    { local: prefix("10.1.1.0/24"), remote: prefix("10.9.9.9/32"), onFailure: "any" },
    { local: prefix("10.1.2.0/24"), remote: prefix("10.9.9.8/32"), onFailure: "none" },
  ],
});

export function settings(policy: string, changes: Partial<ReconcilerSettings> = {}): ReconcilerSettings {
  return {
    policies: POLICIES,
    choose: () => ({ policy }),
    limits: { perConnection: 8, perPair: 8, perGateway: 1000, total: 1000 },
    hold: { ms: 0, bytes: 0 },
    settleMs: 0,
    descriptionMs: 0,
    rates: new Map([["dsl", { down: 20 * MEGABIT, up: 5 * MEGABIT }]]),
    ...changes,
  };
}

/** Drives a reconciler; what it commands is carried out at once, and attempts succeed unless told otherwise. */
export class Home {
  readonly kernel = new KernelModel();
  readonly reconciler: Reconciler;
  /** Everything commanded so far. */
  readonly commands: PathDecision[] = [];
  /** Why less was opened than policies want. */
  readonly withheld: Withheld[] = [];
  /** The errno of attempts; 0 lets them succeed. */
  outcome = 0;
  /** Leaves attempts unanswered. */
  silent = false;
  /** Refuses priorities, as Linux does before the last segment of a join's handshake has come. */
  refusesPriorities = false;
  /** The model ends connections that have had no subflow for nearly a minute, and tells so. */
  endsEmpty = false;
  readonly #emptyMs = new Map<number, number>();
  nowMs = 0;

  constructor(initial: ReconcilerSettings, uplinks: readonly UplinkAddress[] = [DSL, LTE]) {
    this.reconciler = new Reconciler(initial, new SeededRandom(1), (one) => this.withheld.push(one));
    this.uplinks(uplinks);
  }

  uplinks(addresses: readonly UplinkAddress[]): void {
    this.run(this.reconciler.onUplinks(addresses, this.nowMs));
  }

  connect(local = DSL.address, flags: { serverSide?: boolean; denyJoinInitial?: boolean } = {}): ModelConnection {
    const event = this.kernel.connect(local, GATEWAY, flags);
    const connection = this.kernel.connections.get(event.token) as ModelConnection;
    this.event(event);
    return connection;
  }

  event(event: PathEvent): void {
    this.run(this.reconciler.onEvent(event, this.nowMs));
  }

  run(commands: readonly PathDecision[]): void {
    this.commands.push(...commands);
    const refused = this.refusesPriorities ? commands.filter(({ type }) => type === "setPriority") : [];
    for (const event of this.kernel.execute(commands.filter((command) => !refused.includes(command))))
      this.event(event);
    for (const command of refused) this.reconciler.onRefused(command, this.nowMs);
    if (this.silent) return;
    for (const connection of this.kernel.connections.values()) {
      for (let left = connection.opening.length; left > 0; left--) {
        for (const event of this.kernel.answer(connection, this.outcome)) this.event(event);
      }
    }
  }

  /** Lets time pass, with every timer at its time. */
  pass(durationMs: number): void {
    for (let leftMs = durationMs; leftMs > 0; leftMs -= 1000) {
      this.#pass(Math.min(leftMs, 1000));
      if (this.endsEmpty) this.#endEmpty(Math.min(leftMs, 1000));
    }
  }

  #endEmpty(passedMs: number): void {
    for (const connection of this.kernel.connections.values()) {
      const { token, subflows } = connection;
      const emptyMs = subflows.length === 0 ? (this.#emptyMs.get(token) ?? 0) + passedMs : 0;
      this.#emptyMs.set(token, emptyMs);
      if (emptyMs >= 55_000) this.event(this.kernel.close(connection));
    }
  }

  #pass(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    let turns = 0;
    for (let next = this.reconciler.nextTimerMs; next !== undefined && next <= endMs; ) {
      if (++turns > 10_000) throw new Error("the timer does not move on");
      this.nowMs = Math.max(this.nowMs, next);
      this.run(this.reconciler.onTimer(this.nowMs));
      next = this.reconciler.nextTimerMs;
    }
    this.nowMs = endMs;
  }

  /** Samples of the uplinks, every 100 ms, in Mbit/s down and up. */
  load(durationMs: number, dsl: readonly [number, number], lte: readonly [number, number] = [0, 0]): void {
    for (const endMs = this.nowMs + durationMs; this.nowMs < endMs; ) {
      this.pass(100);
      const sample = (name: string, [down, up]: readonly [number, number]) => ({
        uplink: name,
        downBitsPerSecond: down * MEGABIT,
        upBitsPerSecond: up * MEGABIT,
      });
      this.run(this.reconciler.onSamples([sample("dsl", dsl), sample("lte", lte)], this.nowMs));
    }
  }
}

/** "dsl>10.9.9.9:5124", with " backup" where it is one, sorted. */
export function shape({ subflows }: ModelConnection, uplinks: readonly UplinkAddress[] = [DSL, LTE, DSL6]): string[] {
  return subflows
    .map(({ local, remote, backup }) => {
      const from = uplinks.find(({ address }) => address.join() === local.address.join());
      const to = `${remote.address.at(-1)}:${remote.port}`;
      return `${from?.uplink}>${to}${backup ? " backup" : ""}`;
    })
    .toSorted();
}
