/**
 * From what policies want to what the engine is told: opens what is missing, changes priorities, closes what is not
 * wanted any more, within the limits; opens again what was lost (RFC 8041 section 3.4 names what happens to managers
 * that do not). Connections that this host accepted are never touched: only the client opens subflows (section 3.3).
 *
 * Make before break: a subflow that is not wanted any more stays until a wanted one is open, unless its address is gone.
 */
import { equalBytes } from "../../base/bytes.ts";
import { type Endpoint, equalEndpoints, type IpAddress } from "../../base/ip-address.ts";
import { MinHeap } from "../../base/min-heap.ts";
import type { Random } from "../../base/random.ts";
import type { Flow } from "../rules.ts";
import { isDemoted } from "../uplink-preference.ts";
import { retryDelayMs } from "./back-off.ts";
import {
  type Attempts,
  Connection,
  type EstablishedEvent,
  endpointKey,
  newSubflow,
  pairKey,
  type Subflow,
} from "./connection.ts";
import { SubflowCount, type SubflowLimits } from "./limits.ts";
import { UplinkLoad, type UplinkRate } from "./load.ts";
import type {
  PathCommand,
  PathEvent,
  PathManager,
  SubflowPath,
  SubflowPolicy,
  UplinkAddress,
  UplinkSample,
  WantedSubflow,
} from "./path-manager.ts";

export interface ReconcilerSettings {
  /** By name; the first one is for connections whose policy does not exist. */
  readonly policies: readonly SubflowPolicy[];
  /** Which policy a connection is under; what it carries is not always known. */
  readonly choose: (flow: Flow | undefined) => PolicyChoice;
  readonly limits: SubflowLimits;
  /** How old a connection is before it gets a second subflow. */
  readonly holdMs: number;
  /** How long a new subflow is backup, whatever its policy wants: so long it carries nothing (docs/adr/0015). */
  readonly settleMs: number;
  /** How long a connection waits to be described before it is judged without; 0 where that makes no difference. */
  readonly descriptionMs: number;
  readonly rates: ReadonlyMap<string, UplinkRate>;
}

/**
 * A priority travels in one ACK, which Linux does not send again when it is lost: the peer would keep its own view for
 * the life of the subflow. So it is said once more after so long.
 */
const REPEAT_PRIORITY_MS = 1000;
/** An attempt that nothing was heard of, longer than the kernel tries (tcp_syn_retries 6 takes 127 s). */
const OPENING_LIMIT_MS = 150_000;
/** Linux ends a connection that has had no subflow for so long (net.mptcp.close_timeout). */
const EMPTY_LIMIT_MS = 60_000;
/** Timers that were replaced are dropped when there are more of them than connections, and more than so many. */
const FEW_TIMERS = 64;
/** Descriptions that came before their connection. */
const MOST_EARLY_FLOWS = 4096;

/** A policy by its name, and the gateway's port for further subflows, where it is not the initial one. */
export interface PolicyChoice {
  readonly policy: string;
  readonly joinPort?: number;
}

export class Reconciler implements PathManager {
  readonly #random: Random;
  readonly #connections = new Map<number, Connection>();
  readonly #byLocal = new Map<string, Connection>();
  readonly #earlyFlows = new Map<string, Flow>();
  readonly #count = new SubflowCount();
  readonly #timers = new MinHeap<Connection>();
  #settings: ReconcilerSettings;
  #load: UplinkLoad;
  #uplinks: readonly UplinkAddress[] = [];

  constructor(settings: ReconcilerSettings, random: Random) {
    this.#settings = settings;
    this.#random = random;
    this.#load = new UplinkLoad(settings.rates);
  }

  /** New settings: connections stay and get the subflows that these want. */
  configure(settings: ReconcilerSettings, nowMs: number): PathCommand[] {
    this.#settings = settings;
    this.#load = new UplinkLoad(settings.rates);
    return this.#reconcileAll(nowMs);
  }

  /** The connection with this local end carries this; it may not be known yet. */
  describe(local: Endpoint, flow: Flow, nowMs: number): PathCommand[] {
    const connection = this.#byLocal.get(endpointKey(local));
    if (connection === undefined) {
      this.#earlyFlows.set(endpointKey(local), flow);
      if (this.#earlyFlows.size > MOST_EARLY_FLOWS) this.#earlyFlows.delete(this.#earlyFlows.keys().next().value ?? "");
      return [];
    }
    connection.flow = flow;
    connection.heldUntilMs = Math.min(connection.heldUntilMs, connection.establishedMs + this.#settings.holdMs);
    return this.#reconcile(connection, nowMs);
  }

  /** The peer of the connection with this local end allows it so many subflows. */
  limit(local: Endpoint, subflows: number, nowMs: number): PathCommand[] {
    const connection = this.#byLocal.get(endpointKey(local));
    if (connection === undefined) return [];
    connection.peerLimit = subflows;
    return this.#reconcile(connection, nowMs);
  }

  get connections(): number {
    return this.#connections.size;
  }

  get subflows(): number {
    return this.#count.total;
  }

  /** Timers that wait, those included that were replaced: at most two for each connection, and some. */
  get timers(): number {
    return this.#timers.size;
  }

  onEvent(event: PathEvent, nowMs: number): PathCommand[] {
    if (event.type === "connectionEstablished") return event.serverSide ? [] : this.#adopt(event, nowMs);
    const connection = this.#connections.get(event.token);
    if (connection === undefined) return [];
    switch (event.type) {
      case "connectionClosed":
        this.#forget(connection);
        return [];
      case "subflowEstablished":
        this.#noteOpen(connection, event, nowMs);
        break;
      case "subflowClosed":
        this.#noteClosed(connection, event, nowMs);
        break;
      case "addressAnnounced":
        connection.announce(event.remoteId, event.remote);
        break;
      case "addressRemoved":
        connection.withdraw(event.remoteId);
        break;
      default:
        // What the peer wants of its own sending; and connections that are not established yet.
        return [];
    }
    return this.#reconcile(connection, nowMs);
  }

  #adopt(event: EstablishedEvent, nowMs: number): PathCommand[] {
    if (this.#connections.has(event.token)) return [];
    const { holdMs, descriptionMs } = this.#settings;
    const key = endpointKey(event.local);
    const flow = this.#earlyFlows.get(key);
    this.#earlyFlows.delete(key);
    const heldMs = flow === undefined ? Math.max(holdMs, descriptionMs) : holdMs;
    // Linux does not tell of the end of a connection that its peer has aborted; that its port is used again does.
    const previous = this.#byLocal.get(key);
    if (previous !== undefined) this.#forget(previous);
    const connection = new Connection(event, nowMs, nowMs + heldMs);
    connection.flow = flow;
    this.#connections.set(event.token, connection);
    this.#byLocal.set(key, connection);
    this.#count.add(event.remote.address, 1);
    return this.#reconcile(connection, nowMs);
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection.token);
    this.#byLocal.delete(endpointKey(connection.local));
    this.#count.add(connection.remote.address, -connection.size);
    connection.timerMs = Number.POSITIVE_INFINITY;
  }

  #noteOpen(connection: Connection, event: SubflowPath, nowMs: number): void {
    const { local, remote } = event;
    if (connection.find(local, remote) !== undefined) return;
    const attempts = connection.attempts.get(pairKey(local.address, remote));
    const asked = attempts !== undefined && attempts.opening > 0;
    const subflow = newSubflow(event, asked && attempts.backup);
    if (asked) subflow.settledMs = nowMs + this.#settings.settleMs;
    connection.subflows.push(subflow);
    if (!asked) return this.#count.add(connection.remote.address, 1);
    attempts.opening -= 1;
    attempts.failures = 0;
    if (attempts.opening === 0) connection.attempts.delete(pairKey(local.address, remote));
  }

  #noteClosed(connection: Connection, { local, remote }: SubflowPath, nowMs: number): void {
    if (connection.ending.delete(endpointKey(local))) return;
    const known = connection.find(local, remote);
    if (known !== undefined) this.#drop(connection, known);
    const key = pairKey(local.address, remote);
    const attempts = connection.attempts.get(key) ?? newAttempts(local.address);
    if (known === undefined) {
      if (attempts.opening === 0) return;
      attempts.opening -= 1;
      this.#count.add(connection.remote.address, -1);
    }
    this.#postpone(attempts, nowMs);
    connection.attempts.set(key, attempts);
  }

  #postpone(attempts: Attempts, nowMs: number): void {
    attempts.failures += 1;
    attempts.retryMs = nowMs + retryDelayMs(attempts.failures, this.#random);
    if (attempts.opening === 0) attempts.expireMs = Number.POSITIVE_INFINITY;
  }

  #drop(connection: Connection, subflow: Subflow): void {
    connection.subflows.splice(connection.subflows.indexOf(subflow), 1);
    this.#count.add(connection.remote.address, -1);
  }

  onUplinks(addresses: readonly UplinkAddress[], nowMs: number): PathCommand[] {
    const before = this.#uplinks;
    this.#uplinks = addresses;
    const returned = addresses.filter(({ address }) => !hasAddress(before, address));
    const failing = newlyDegraded(before, addresses);
    for (const connection of this.#connections.values()) {
      this.#noteUplinks(connection, returned);
      this.#noteFailing(connection, failing);
    }
    return this.#reconcileAll(nowMs);
  }

  /**
   * What waits in the queue of a path that has become bad holds up everything behind it, also when nothing is added. A
   * fresh subflow in its place sends it again over the others at once (RFC 8041 section 2.2).
   */
  #noteFailing({ subflows }: Connection, failing: readonly UplinkAddress[]): void {
    const fails = ({ local }: Subflow) => hasAddress(failing, local.address);
    if (subflows.every(fails)) return;
    for (const subflow of subflows) if (fails(subflow)) subflow.stale = true;
  }

  #noteUplinks(connection: Connection, returned: readonly UplinkAddress[]): void {
    for (const attempts of connection.attempts.values()) {
      // An uplink that came back is tried at once, whatever its earlier failures.
      if (!hasAddress(returned, attempts.local)) continue;
      attempts.failures = 0;
      attempts.retryMs = 0;
    }
    for (const subflow of connection.subflows) {
      if (!hasAddress(this.#uplinks, subflow.local.address)) subflow.stale = true;
    }
  }

  onSamples(samples: readonly UplinkSample[], nowMs: number): PathCommand[] {
    return this.#load.update(samples, nowMs) ? this.#reconcileAll(nowMs) : [];
  }

  onRefused(command: PathCommand, nowMs: number): void {
    const connection = this.#connections.get(command.token);
    if (connection === undefined) return;
    if (command.type === "destroySubflow") connection.ending.delete(endpointKey(command.local));
    if (command.type === "setPriority") this.#noteMissing(connection, command, nowMs);
    if (command.type !== "createSubflow") return;
    const attempts = connection.attempts.get(pairKey(command.local, command.remote));
    if (attempts === undefined || attempts.opening === 0) return;
    attempts.opening -= 1;
    this.#count.add(connection.remote.address, -1);
    this.#postpone(attempts, nowMs);
    this.#arm(connection, nowMs);
  }

  /** The engine knows nothing of this subflow: its end was not told. */
  #noteMissing(connection: Connection, { local, remote }: Pick<SubflowPath, "local" | "remote">, nowMs: number): void {
    const subflow = connection.find(local, remote);
    if (subflow === undefined) return;
    this.#drop(connection, subflow);
    const attempts = connection.attempts.get(pairKey(local.address, remote)) ?? newAttempts(local.address);
    connection.attempts.set(pairKey(local.address, remote), attempts);
    this.#postpone(attempts, nowMs);
    this.#arm(connection, nowMs);
  }

  /** A subflow makes no progress while others do: a fresh one takes its place (RFC 8041 section 2.2). */
  onStalled(token: number, { local, remote }: Pick<SubflowPath, "local" | "remote">, nowMs: number): PathCommand[] {
    const connection = this.#connections.get(token);
    const subflow = connection?.find(local, remote);
    if (connection === undefined || subflow === undefined || connection.subflows.length < 2) return [];
    subflow.stale = true;
    return this.#reconcile(connection, nowMs);
  }

  onTimer(nowMs: number): PathCommand[] {
    const due: Connection[] = [];
    while ((this.nextTimerMs ?? Number.POSITIVE_INFINITY) <= nowMs) {
      const connection = this.#timers.pop();
      if (connection === undefined) break;
      connection.timerMs = Number.POSITIVE_INFINITY;
      due.push(connection);
    }
    return due.flatMap((connection) => {
      this.#giveUp(connection, nowMs);
      return this.#reconcile(connection, nowMs);
    });
  }

  /** Attempts whose outcome was never told count as failed. */
  #giveUp(connection: Connection, nowMs: number): void {
    for (const attempts of connection.attempts.values()) {
      if (attempts.expireMs > nowMs) continue;
      this.#count.add(connection.remote.address, -attempts.opening);
      attempts.opening = 0;
      this.#postpone(attempts, nowMs);
    }
  }

  get nextTimerMs(): number | undefined {
    // Entries whose time is not their connection's any more were replaced by later ones, or their connection is gone.
    while (this.#timers.next !== undefined && this.#timers.next.timerMs !== this.#timers.nextKey) this.#timers.pop();
    return this.#timers.nextKey;
  }

  #arm(connection: Connection, nowMs: number): void {
    const { emptySinceMs = Number.POSITIVE_INFINITY } = connection;
    let dueMs = Math.min(connection.heldUntilMs, emptySinceMs + EMPTY_LIMIT_MS);
    for (const { opening, retryMs, expireMs } of connection.attempts.values()) {
      // A wait that is over and was not used is for a subflow that nobody wants now.
      const waitMs = opening === 0 ? retryMs : expireMs;
      if (waitMs > nowMs) dueMs = Math.min(dueMs, waitMs);
    }
    for (const { settledMs, repeatMs } of connection.subflows) {
      dueMs = Math.min(dueMs, repeatMs, settledMs > nowMs ? settledMs : Number.POSITIVE_INFINITY);
    }
    if (dueMs === connection.timerMs) return;
    connection.timerMs = dueMs;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    this.#timers.push(dueMs, connection);
    // Each keeps its connection in memory: an attempt's is due in 150 s, when most connections have long ended.
    if (this.#timers.size > 2 * this.#connections.size + FEW_TIMERS) {
      this.#timers.retain((key, { timerMs }) => key === timerMs);
    }
  }

  #reconcileAll(nowMs: number): PathCommand[] {
    return Array.from(this.#connections.values()).flatMap((connection) => this.#reconcile(connection, nowMs));
  }

  #reconcile(connection: Connection, nowMs: number): PathCommand[] {
    if (connection.heldUntilMs <= nowMs) connection.heldUntilMs = Number.POSITIVE_INFINITY;
    connection.emptySinceMs = connection.subflows.length === 0 ? (connection.emptySinceMs ?? nowMs) : undefined;
    if (nowMs - (connection.emptySinceMs ?? nowMs) >= EMPTY_LIMIT_MS) {
      this.#forget(connection);
      return [];
    }
    const wanted = this.#wanted(connection);
    const serving = wanted.map((want) => serve(connection, want));
    const surplus = connection.subflows.filter((subflow) => !serving.some((subflows) => subflows.includes(subflow)));
    const isServed = serving.some((subflows) => subflows.length > 0);
    // Not even a held connection stays without any subflow.
    const mayOpen = connection.heldUntilMs === Number.POSITIVE_INFINITY || !isServed;
    const commands: PathCommand[] = [];
    for (const [index, want] of wanted.entries()) {
      const open = serving[index] ?? [];
      commands.push(...prioritise(connection, open, want.backup, nowMs));
      if (mayOpen) commands.push(...this.#open(connection, want, open.length, surplus, nowMs));
    }
    // With no uplink at all, what is there is kept: it may come to life again.
    const isCarried = serving.some((subflows) => subflows.some(({ settledMs }) => settledMs <= nowMs));
    const mayClose = (subflow: Subflow) => isCarried || (subflow.stale && wanted.length > 0);
    commands.push(...surplus.filter(mayClose).flatMap((subflow) => this.#close(connection, subflow)));
    this.#arm(connection, nowMs);
    return commands;
  }

  /** Asks for what is missing between one pair of addresses; where a limit forbids it, for a surplus one to make room. */
  #open(connection: Connection, want: WantedSubflow, open: number, surplus: Subflow[], nowMs: number): PathCommand[] {
    const { token } = connection;
    const { local, remote } = want;
    const backup = want.backup || this.#settings.settleMs > 0;
    const key = pairKey(local.address, remote);
    const attempts = connection.attempts.get(key) ?? newAttempts(local.address);
    const commands: PathCommand[] = [];
    for (let missing = (want.count ?? 1) - open - attempts.opening; missing > 0; missing--) {
      if (attempts.retryMs > nowMs) break;
      connection.attempts.set(key, attempts);
      if (!this.#hasRoom(connection)) {
        const victim = surplus.shift();
        if (victim !== undefined) commands.push(...this.#close(connection, victim));
      }
      if (!this.#hasRoom(connection)) {
        this.#postpone(attempts, nowMs);
        break;
      }
      attempts.opening += 1;
      attempts.backup = backup;
      attempts.expireMs = nowMs + OPENING_LIMIT_MS;
      this.#count.add(connection.remote.address, 1);
      const { localId, address, interfaceIndex } = local;
      commands.push({ type: "createSubflow", token, localId, local: address, interfaceIndex, remote, backup });
    }
    return commands;
  }

  #hasRoom(connection: Connection): boolean {
    const { limits } = this.#settings;
    const room = Math.min(limits.perConnection, connection.peerLimit);
    return connection.size < room && this.#count.hasRoom(connection.remote.address, limits);
  }

  #close(connection: Connection, subflow: Subflow): PathCommand[] {
    const { token } = connection;
    const { localId, local, remote } = subflow;
    this.#drop(connection, subflow);
    connection.ending.add(endpointKey(local));
    const destroy: PathCommand = { type: "destroySubflow", token, localId, local, remote };
    return hasAddress(this.#uplinks, local.address) ? [destroy] : [{ type: "remove", token, localId }, destroy];
  }

  #wanted(connection: Connection): WantedSubflow[] {
    const { policies, choose, limits } = this.#settings;
    const choice = choose(connection.flow);
    connection.joinPort = choice.joinPort;
    const policy = policies.find(({ name }) => name === choice.policy) ?? policies[0];
    const context = { uplinks: this.#uplinks, isFull: (uplinks: ReadonlySet<string>) => this.#load.isFull(uplinks) };
    let room = Math.min(limits.perConnection, connection.peerLimit);
    return (policy?.wanted(connection, context) ?? []).flatMap((want) => {
      const count = Math.min(want.count ?? 1, limits.perPair, room);
      room -= Math.max(0, count);
      return count > 0 ? [{ ...want, count }] : [];
    });
  }
}

/** The subflows that serve a want: as many as it counts. */
function serve({ subflows }: Connection, want: WantedSubflow): Subflow[] {
  return subflows.filter((subflow) => !subflow.stale && isBetween(subflow, want)).slice(0, want.count ?? 1);
}

/** Uplinks that were good until now, while another one still is. */
function newlyDegraded(before: readonly UplinkAddress[], now: readonly UplinkAddress[]): UplinkAddress[] {
  const isDegraded = ({ quality }: UplinkAddress) => quality === "degraded";
  const good = before.filter((uplink) => !isDegraded(uplink));
  return now.filter((uplink) => isDegraded(uplink) && hasAddress(good, uplink.address) && isDemoted(uplink, now));
}

function prioritise(
  { token }: Connection,
  subflows: readonly Subflow[],
  wantsBackup: boolean,
  nowMs: number,
): PathCommand[] {
  return subflows.flatMap((subflow) => {
    const { localId, local, remote, settledMs, repeatMs } = subflow;
    const backup = wantsBackup || settledMs > nowMs;
    const isNew = subflow.backup !== backup;
    if (!isNew && repeatMs > nowMs) return [];
    subflow.backup = backup;
    subflow.repeatMs = isNew ? nowMs + REPEAT_PRIORITY_MS : Number.POSITIVE_INFINITY;
    return [{ type: "setPriority", token, localId, local, remote, backup } as const];
  });
}

function newAttempts(local: IpAddress): Attempts {
  return { local, opening: 0, backup: false, failures: 0, retryMs: 0, expireMs: Number.POSITIVE_INFINITY };
}

function hasAddress(uplinks: readonly UplinkAddress[], wanted: IpAddress): boolean {
  return uplinks.some(({ address }) => equalBytes(address, wanted));
}

function isBetween({ local, remote }: SubflowPath, want: WantedSubflow): boolean {
  return equalBytes(local.address, want.local.address) && equalEndpoints(remote, want.remote);
}
