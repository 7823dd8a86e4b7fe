/** Every engine by its name in the configuration: the one place that knows which implementations there are. */
import type { DescriptorLedger } from "../platform/descriptor-ledger.ts";
import type { Epoll } from "../platform/epoll.ts";
import { GenericFamily } from "../platform/netlink/generic.ts";
import type { AcceptedPaths, Capabilities, Engine, PathControl } from "./engine.ts";
import { KernelAcceptedPaths } from "./kernel/accepted-paths.ts";
import { KernelEngine } from "./kernel/kernel-engine.ts";
import { KernelPathControl } from "./kernel/path-control.ts";
import { probeCapabilities } from "./kernel/probe.ts";

/** How to get one implementation going on this host. */
export interface EngineKind {
  /** Tries what this host offers; takes about a millisecond and leaves nothing behind. */
  probe(): Capabilities;
  /** An engine for the calling thread, whose legs' readiness is reported by `epoll`; its descriptors go into `ledger`. */
  create(epoll: Epoll, ledger?: DescriptorLedger): Engine;
  /**
   * Subflow control, for the control plane's thread. Throws an AccessError where `pathControl` is not available. With
   * `restMs`, events that come close together are told together, `restMs` late, or up to sixteen times as much when
   * thousands come in a second; then what is about a connection that has just begun waits twice as long. Of one that has begun
   * and ended meanwhile nothing is told, and of none that its handshake has begun (connectionCreated).
   */
  openPathControl(restMs?: number): PathControl;
  /** Limits and announcements for connections that this host accepts. Throws a SystemError. */
  openAcceptedPaths(): AcceptedPaths;
}

export const ENGINES = {
  kernel: {
    probe: probeCapabilities,
    create: (epoll, ledger?: DescriptorLedger) => new KernelEngine(epoll, ledger),
    openPathControl: (restMs?: number) => new KernelPathControl(new GenericFamily("mptcp_pm"), restMs),
    openAcceptedPaths: () => new KernelAcceptedPaths(),
  },
} as const satisfies Record<string, EngineKind>;

export type EngineName = keyof typeof ENGINES;
