/** The control plane's side of the kernel engine: Linux's path managers, and what it says of its sockets. */
import type { IpAddress } from "../../base/ip-address.ts";
import { GenericFamily } from "../../platform/netlink/generic.ts";
import { SocketDiagnosticsClient } from "../../platform/netlink/socket-diagnostics.ts";
import type { AcceptedPaths, PathControl } from "../engine.ts";
import type { EngineControl, EngineControlOptions, HostTools } from "../engine-control.ts";
import { KernelAcceptedPaths } from "./accepted-paths.ts";
import { KernelPathControl } from "./path-control.ts";

export class KernelControl implements EngineControl {
  readonly workerSetup = undefined;
  /** Linux does not tell of the end of a connection that its peer has aborted (MP_FASTCLOSE). */
  readonly tellsEveryEnd = false;
  readonly hasNetwork = false;
  readonly diagnostics = new SocketDiagnosticsClient();

  readonly #host: HostTools;

  constructor({ role, host }: EngineControlOptions) {
    this.#host = host;
    if (role.type === "opens") prepareToOpen(host);
    // Only the kernel's own path manager keeps the limit of subflows, and announces.
    else host.setSysctl("net.mptcp.pm_type", () => "0");
  }

  openPathControl(restMs?: number): PathControl {
    return new KernelPathControl(new GenericFamily("mptcp_pm"), restMs);
  }

  openAcceptedPaths(): AcceptedPaths {
    return new KernelAcceptedPaths(this.#host);
  }

  /** The configuration's check lets nothing be chosen of Linux's transport. */
  configure(): void {}

  /** The kernel knows its addresses. */
  followUplinks(): void {}

  followHost(): void {}

  insideOf(): IpAddress | undefined {
    return undefined;
  }

  onReport(): void {}

  onWorkerDeath(): void {}

  close(): void {
    this.diagnostics.close();
  }
}

function prepareToOpen({ setSysctl }: HostTools): void {
  // The policy decides about subflows, not the kernel's own path manager.
  if (!setSysctl("net.mptcp.pm_type", () => "1")) setSysctl("net.mptcp.path_manager", () => "userspace");
  // One lossy handshake must not turn the whole host to plain TCP for an hour: the daemon judges by gateway.
  setSysctl("net.mptcp.blackhole_timeout", () => "0");
  setSysctl("net.ipv4.tcp_fastopen", (current) => String(Number(current) | 1));
}
