/**
 * From what policies want to what the engine is told (transition.ts): asks the policy again after every event, and opens
 * again what was lost (RFC 8041 section 3.4 names what happens to managers that do not). Connections that this host
 * accepted are never touched: only the client opens subflows (section 3.3).
 */
import { toHex } from "../../base/bytes.ts";
import { type Endpoint, endpointKey, type IpAddress } from "../../base/ip-address.ts";
import type { Random } from "../../base/random.ts";
import type { Flow } from "../rules.ts";
import { byStanding, demote, isDemoted } from "../uplink-preference.ts";
import { Connection, type EstablishedEvent, type Subflow } from "./connection.ts";
import { ConnectionTimers } from "./connection-timers.ts";
import { holdEndsMs, isHeld, waitsForBytes } from "./hold.ts";
import { UplinkLoad, type UplinkRate } from "./load.ts";
import type {
  PathCommand,
  PathDecision,
  PathEvent,
  PathManager,
  SubflowPath,
  SubflowPolicy,
  UplinkAddress,
  UplinkSample,
  WantedSubflow,
  Withheld,
} from "./path-manager.ts";
import type { PathSamples } from "./samples.ts";
import { hasAddress } from "./selection.ts";
import type { ReconcilerSettings } from "./settings.ts";
import { StallDetector } from "./stall.ts";
import { SubflowLedger } from "./subflow-ledger.ts";
import { transition, withinLimits } from "./transition.ts";

/** Linux ends a connection that has had no subflow for so long (net.mptcp.close_timeout). */
const EMPTY_LIMIT_MS = 60_000;
/** Descriptions that came before their connection. */
const MOST_EARLY_FLOWS = 4096;
/** Addresses of gateways, whose names may lead to new ones for ever. */
const MOST_PEER_LIMITS = 64;

export class Reconciler implements PathManager {
  readonly #connections = new Map<number, Connection>();
  readonly #byLocal = new Map<string, Connection>();
  readonly #earlyFlows = new Map<string, Flow>();
  /** By address: what each peer said last. */
  readonly #peerLimits = new Map<string, number>();
  /** Those whose hold may end by what they carry. */
  readonly #waiting = new Set<Connection>();
  readonly #ledger: SubflowLedger;
  readonly #timers = new ConnectionTimers();
  readonly #stalls = new StallDetector();
  #settings: ReconcilerSettings;
  readonly #load: UplinkLoad;
  readonly #onWithheld: (withheld: Withheld) => void;
  #uplinks: readonly UplinkAddress[] = [];

  constructor(settings: ReconcilerSettings, random: Random, onWithheld: (withheld: Withheld) => void = () => {}) {
    this.#settings = settings;
    this.#onWithheld = onWithheld;
    this.#ledger = new SubflowLedger(random);
    this.#load = new UplinkLoad(settings.rates);
  }

  /** New settings: connections stay and get the subflows that these want. */
  configure(settings: ReconcilerSettings, nowMs: number): PathDecision[] {
    this.#settings = settings;
    this.#load.configure(settings.rates);
    return this.#reconcileAll(nowMs);
  }

  /** What was learnt of uplinks whose rate is not configured. */
  learn(rates: ReadonlyMap<string, UplinkRate>): void {
    this.#load.learn(rates);
  }

  /** The connection with this local end carries this; it may not be known yet. */
  describe(local: Endpoint, flow: Flow, nowMs: number): PathDecision[] {
    const connection = this.#byLocal.get(endpointKey(local));
    if (connection === undefined) {
      this.#earlyFlows.set(endpointKey(local), flow);
      if (this.#earlyFlows.size > MOST_EARLY_FLOWS) this.#earlyFlows.delete(this.#earlyFlows.keys().next().value ?? "");
      return [];
    }
    connection.flow = flow;
    return this.#reconcile(connection, nowMs);
  }

  /** The peer of the connection with this local end allows it so many subflows, and likely the next ones too. */
  limit(local: Endpoint, peer: IpAddress, subflows: number, nowMs: number): PathDecision[] {
    const key = toHex(peer);
    // The latest comes last, so that it is the one told longest ago that goes.
    this.#peerLimits.delete(key);
    this.#peerLimits.set(key, subflows);
    if (this.#peerLimits.size > MOST_PEER_LIMITS) this.#peerLimits.delete(this.#peerLimits.keys().next().value ?? "");
    const connection = this.#byLocal.get(endpointKey(local));
    if (connection === undefined) return [];
    connection.peerLimit = subflows;
    return this.#reconcile(connection, nowMs);
  }

  /** Of the connections that are taken to be open. */
  get tokens(): readonly number[] {
    return Array.from(this.#connections.keys());
  }

  /** The name of the policy that a connection is under; undefined for a token that nobody has. */
  policyOf(token: number): string | undefined {
    const connection = this.#connections.get(token);
    return connection && this.#policyNamed(this.#settings.choose(connection.flow).policy)?.name;
  }

  get connections(): number {
    return this.#connections.size;
  }

  get subflows(): number {
    return this.#ledger.total;
  }

  /** Whether connections wait until they have carried enough: {@link onSubflowSamples} is worth calling often then. */
  get waitsForBytes(): boolean {
    return this.#waiting.size > 0;
  }

  /** Timers that wait, those included that were replaced: at most two for each connection, and some. */
  get timers(): number {
    return this.#timers.size;
  }

  onEvent(event: PathEvent, nowMs: number): PathDecision[] {
    if (event.type === "connectionEstablished") return event.serverSide ? [] : this.#adopt(event, nowMs);
    const connection = this.#connections.get(event.token);
    if (connection === undefined) return [];
    switch (event.type) {
      case "connectionClosed":
        this.#forget(connection);
        return [];
      case "subflowEstablished":
        this.#ledger.noteOpen(connection, event, this.#settings.settleMs, nowMs);
        break;
      case "subflowClosed":
        this.#ledger.noteClosed(connection, event, nowMs);
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

  #adopt(event: EstablishedEvent, nowMs: number): PathDecision[] {
    if (this.#connections.has(event.token)) return [];
    const key = endpointKey(event.local);
    const flow = this.#earlyFlows.get(key);
    this.#earlyFlows.delete(key);
    // Linux does not tell of the end of a connection that its peer has aborted; that its port is used again does.
    const previous = this.#byLocal.get(key);
    if (previous !== undefined) this.#forget(previous);
    const connection = new Connection(event, nowMs);
    connection.flow = flow;
    connection.peerLimit = this.#peerLimits.get(toHex(event.remote.address)) ?? Number.POSITIVE_INFINITY;
    this.#connections.set(event.token, connection);
    this.#byLocal.set(key, connection);
    this.#ledger.adopt(connection);
    return this.#reconcile(connection, nowMs);
  }

  #forget(connection: Connection): void {
    this.#connections.delete(connection.token);
    this.#byLocal.delete(endpointKey(connection.local));
    this.#waiting.delete(connection);
    this.#ledger.forget(connection);
    connection.timerMs = Number.POSITIVE_INFINITY;
  }

  onUplinks(addresses: readonly UplinkAddress[], nowMs: number): PathDecision[] {
    const before = this.#uplinks;
    this.#uplinks = byStanding(addresses);
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
    for (const subflow of subflows) if (fails(subflow)) subflow.stale = "quality";
  }

  #noteUplinks(connection: Connection, returned: readonly UplinkAddress[]): void {
    for (const attempts of connection.attempts.values()) {
      // An uplink that came back is tried at once.
      if (hasAddress(returned, attempts.local)) attempts.forgive();
    }
    for (const subflow of connection.subflows) {
      if (!hasAddress(this.#uplinks, subflow.local.address)) subflow.stale = "uplink gone";
    }
  }

  onSamples(samples: readonly UplinkSample[], nowMs: number): PathDecision[] {
    return this.#load.update(samples, nowMs) ? this.#reconcileAll(nowMs) : [];
  }

  /** What every subflow and connection has carried so far: ends holds, and finds subflows that stand still. */
  onSubflowSamples(samples: PathSamples, nowMs: number): PathDecision[] {
    for (const { token, acknowledgedBytes, receivedBytes } of samples.connections) {
      const connection = this.#connections.get(token);
      if (connection !== undefined) connection.carriedBytes = acknowledgedBytes + receivedBytes;
    }
    const stalled = this.#stalls.update(samples, nowMs);
    return [
      ...Array.from(this.#waiting).flatMap((connection) => this.#reconcile(connection, nowMs)),
      ...stalled.flatMap((subflow) => this.onStalled(subflow.token, subflow, nowMs)),
    ];
  }

  /** A subflow makes no progress while others do: a fresh one takes its place (RFC 8041 section 2.2). */
  onStalled(token: number, { local, remote }: Pick<SubflowPath, "local" | "remote">, nowMs: number): PathDecision[] {
    const connection = this.#connections.get(token);
    const subflow = connection?.find(local, remote);
    if (connection === undefined || subflow === undefined || connection.subflows.length < 2) return [];
    subflow.stale = "stall";
    return this.#reconcile(connection, nowMs);
  }

  onRefused(command: PathCommand, nowMs: number): void {
    const connection = this.#connections.get(command.token);
    if (connection === undefined) return;
    this.#ledger.noteRefused(connection, command, nowMs);
    this.#arm(connection, nowMs);
  }

  onTimer(nowMs: number): PathDecision[] {
    return this.#timers.takeDue(nowMs).flatMap((connection) => {
      this.#ledger.giveUp(connection, nowMs);
      return this.#reconcile(connection, nowMs);
    });
  }

  get nextTimerMs(): number | undefined {
    return this.#timers.nextMs;
  }

  #arm(connection: Connection, nowMs: number): void {
    const { emptySinceMs = Number.POSITIVE_INFINITY, attempts, subflows } = connection;
    const dueMs = [
      holdEndsMs(connection, this.#settings, nowMs),
      emptySinceMs + EMPTY_LIMIT_MS,
      ...Array.from(attempts.values(), (attempt) => attempt.dueMs(nowMs)),
      // What is over by now and was not used is of a subflow that nobody wants any more.
      ...subflows.flatMap(({ settledMs, repeatMs }) => [settledMs, repeatMs]).filter((momentMs) => momentMs > nowMs),
    ];
    this.#timers.arm(connection, Math.min(...dueMs), this.#connections.size);
  }

  #reconcileAll(nowMs: number): PathDecision[] {
    return Array.from(this.#connections.values()).flatMap((connection) => this.#reconcile(connection, nowMs));
  }

  #reconcile(connection: Connection, nowMs: number): PathDecision[] {
    connection.emptySinceMs = connection.subflows.length === 0 ? (connection.emptySinceMs ?? nowMs) : undefined;
    if (nowMs - (connection.emptySinceMs ?? nowMs) >= EMPTY_LIMIT_MS) {
      this.#forget(connection);
      return [];
    }
    if (waitsForBytes(connection, this.#settings, nowMs)) this.#waiting.add(connection);
    else this.#waiting.delete(connection);
    const wanted = this.#wanted(connection);
    const allowed = withinLimits(wanted, connection, this.#settings.limits);
    const withheld = new Set<Withheld["reason"]>(countOf(allowed) < countOf(wanted) ? ["limit"] : []);
    const commands = transition(connection, allowed, {
      ledger: this.#ledger,
      limits: this.#settings.limits,
      uplinks: this.#uplinks,
      held: isHeld(connection, this.#settings, nowMs),
      settles: this.#settings.settleMs > 0,
      withheld,
      nowMs,
    });
    const { token, withheld: before } = connection;
    for (const reason of withheld) if (!before.has(reason)) this.#onWithheld({ token, reason });
    connection.withheld = withheld;
    this.#arm(connection, nowMs);
    return commands;
  }

  #wanted(connection: Connection): WantedSubflow[] {
    const choice = this.#settings.choose(connection.flow);
    connection.joinPort = choice.joinPort;
    const policy = this.#policyNamed(choice.policy);
    const context = { uplinks: this.#uplinks, isFull: (uplinks: ReadonlySet<string>) => this.#load.isFull(uplinks) };
    return demote(policy?.wanted(connection, context) ?? []);
  }

  #policyNamed(wanted: string): SubflowPolicy | undefined {
    const { policies } = this.#settings;
    return policies.find(({ name }) => name === wanted) ?? policies[0];
  }
}

function countOf(wanted: readonly WantedSubflow[]): number {
  return wanted.reduce((sum, { count = 1 }) => sum + count, 0);
}

/** Uplinks that were good until now, while another one still is. */
function newlyDegraded(before: readonly UplinkAddress[], now: readonly UplinkAddress[]): UplinkAddress[] {
  const isDegraded = ({ quality }: UplinkAddress) => quality === "degraded";
  const good = before.filter((uplink) => !isDegraded(uplink));
  return now.filter((uplink) => isDegraded(uplink) && hasAddress(good, uplink.address) && isDemoted(uplink, now));
}
