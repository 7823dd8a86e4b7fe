/**
 * The control plane's side of an engine: what it needs on the host, which addresses it has, and how the daemon looks at
 * its connections and decides about their subflows. The data plane's side is engine.ts; between both, plain data.
 */
import type { Endpoint, IpAddress } from "../base/ip-address.ts";
import type { DescriptorLedger } from "../platform/descriptor-ledger.ts";
import type { Epoll, Poller } from "../platform/epoll.ts";
import type { ConnectionDiagnostics, SubflowDiagnostics } from "../platform/netlink/socket-diagnostics.ts";
import type { SchedulerName } from "../policy/scheduler/schedulers.ts";
import type { AcceptedPaths, Capabilities, Engine, PathControl } from "./engine.ts";

/** What an engine may change on the host; whoever gives it takes the changes back when the daemon ends. */
export interface HostTools {
  /** False where this kernel has no such setting. Throws an AccessError when it may not be written. */
  setSysctl(name: string, change: (current: string) => string): boolean;
  /** The nftables table "inet NAME", in place of an earlier one. Throws an AccessError. */
  replaceTable(name: string, body: string): void;
  removeTable(name: string): void;
}

/** What the daemon's connections are. */
export type EngineRole =
  /** They leave by these uplinks. */
  | { readonly type: "opens"; readonly uplinks: readonly string[] }
  /**
   * They come to these ends. An engine with a network of its own has the virtual addresses, which no interface has, at
   * the same ports.
   */
  | { readonly type: "accepts"; readonly listen: readonly Endpoint[]; readonly virtual: readonly IpAddress[] };

export interface EngineControlOptions {
  /** The daemon: what is made on the host carries its name. */
  readonly daemon: string;
  readonly role: EngineRole;
  readonly workers: number;
  /** A name of CONGESTION_ALGORITHMS; any other one leaves it to the engine, as does one that cannot choose. */
  readonly congestion: string;
  readonly host: HostTools;
  /** Left to the configuration's check: an engine without a choice is given the defaults. */
  readonly transport: TransportChoice;
  /** Sends to one worker's engine, or to those of all; one that is not running misses it. */
  readonly send: (message: EngineMessage, worker?: number) => void;
}

/** What can be chosen of an engine's transport. */
export interface TransportChoice {
  readonly scheduler: SchedulerName | "default";
}

/** From the control plane to the engine of a worker; only the engine knows what else it carries. */
export interface EngineMessage {
  readonly type: "engine";
}

/** From the engine of a worker to the control plane. */
export interface EngineReport {
  readonly type: "engine";
  readonly worker: number;
}

/** An uplink as an engine needs to know it. */
export interface UplinkAddresses {
  readonly name: string;
  readonly addresses: readonly IpAddress[];
}

/** What the engine knows of connections and subflows now; it may have to ask the workers. */
export interface Diagnostics {
  /** Those of Multipath TCP, also where they have fallen back. */
  connections(): readonly ConnectionDiagnostics[] | Promise<readonly ConnectionDiagnostics[]>;
  subflows(): readonly SubflowDiagnostics[] | Promise<readonly SubflowDiagnostics[]>;
  close(): void;
}

export interface EngineControl {
  /** What every worker's engine is started with, as of now: plain data that crosses threads. */
  readonly workerSetup: unknown;
  /** Whether path control tells of the end of every connection, so that nobody has to look for silent ones. */
  readonly tellsEveryEnd: boolean;
  /** Whether it has a network of its own, so that the host's kernel need not deliver to sockets what comes for it. */
  readonly hasNetwork: boolean;
  readonly diagnostics: Diagnostics;
  /**
   * Subflow control. Throws an AccessError where `pathControl` is not available. With `restMs`, events that come close
   * together are told together, `restMs` late, or up to sixteen times as much when thousands come in a second; then what
   * is about a connection that has just begun waits twice as long. Of one that has begun and ended meanwhile nothing need
   * be told, nor of any that its handshake has begun.
   */
  openPathControl(restMs?: number): PathControl;
  /** Limits and announcements for connections that this host accepts. Throws a SystemError. */
  openAcceptedPaths(): AcceptedPaths;
  /** For connections that begin from now on. */
  configure(transport: TransportChoice): void;
  /** The addresses by which connections leave now, uplink by uplink. Throws a SystemError or AccessError. */
  followUplinks(uplinks: readonly UplinkAddresses[]): void;
  /** The addresses that the host has now. Throws a SystemError or AccessError. */
  followHost(addresses: readonly IpAddress[]): void;
  /** The address that packets from this one have on their way through the host, where that is another. */
  insideOf(address: IpAddress): IpAddress | undefined;
  onReport(report: EngineReport): void;
  /** A worker has ended, and all its connections with it. */
  onWorkerDeath(worker: number): void;
  close(): void;
}

/** What the engine of a worker is started with. */
export interface WorkerEngineOptions {
  readonly epoll: Epoll;
  /** Descriptors that the thread opens. */
  readonly ledger: DescriptorLedger;
  /** {@link EngineControl.workerSetup}. */
  readonly setup: unknown;
  readonly worker: number;
  readonly report: (report: EngineReport) => void;
}

/** An engine on a worker's thread. */
export interface WorkerEngine {
  readonly engine: Engine;
  /** What the loop waits with, in place of the epoll. */
  readonly poller: Poller;
  onMessage(message: EngineMessage): void;
  /** The thread ends: sends what is left to say, and resets of the connections that are left where no kernel does. */
  close(): void;
}

/** How to get one implementation going on this host. */
export interface EngineKind {
  /** Tries what this host offers; takes about a millisecond and leaves nothing behind. */
  probe(): Capabilities;
  /** Throws a SystemError or AccessError. */
  openControl(options: EngineControlOptions): EngineControl;
  startWorker(options: WorkerEngineOptions): WorkerEngine;
}
