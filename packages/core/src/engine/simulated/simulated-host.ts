/**
 * The userspace engine without devices and without a clock: whoever drives it as a {@link PacketEndpoint}, such as the
 * simulator, brings packets and time. What uses an engine can so be tried over any network, and repeated exactly.
 */
import { equalBytes } from "../../base/bytes.ts";
import { type Family, familyOf, type IpAddress } from "../../base/ip-address.ts";
import type { PacketEndpoint } from "../../stack/endpoint.ts";
import { StackHost } from "../../stack/host.ts";
import { DEFAULT_MPTCP_SETTINGS, type MptcpSettings } from "../../stack/mptcp/settings.ts";
import type { StackPorts } from "../../stack/ports.ts";
import { HOST_BOUNDS } from "../userspace/host-bounds.ts";
import { UserspacePathControl } from "../userspace/path-control.ts";
import { type EngineGround, UserspaceEngine } from "../userspace/userspace-engine.ts";

export interface SimulatedHostOptions {
  /** The first one of a family is what its connections leave by. */
  readonly addresses: readonly IpAddress[];
  /** Whether packets of other addresses come and go too. */
  readonly takesForeign?: boolean;
  /** Its randomness decides whether a run can be repeated. */
  readonly ports: StackPorts;
  /** The driver's clock, for what is done between two packets. Milliseconds. */
  readonly nowMs: () => number;
  readonly settings?: MptcpSettings;
}

export class SimulatedHost implements PacketEndpoint, EngineGround {
  readonly host: StackHost;
  readonly engine: UserspaceEngine;
  readonly paths: UserspacePathControl;
  readonly nowMs: () => number;
  readonly takesForeign: boolean;
  readonly #addresses: readonly IpAddress[];

  constructor(options: SimulatedHostOptions) {
    const { addresses, takesForeign = false, ports, nowMs, settings = DEFAULT_MPTCP_SETTINGS } = options;
    this.#addresses = addresses;
    this.nowMs = nowMs;
    this.takesForeign = takesForeign;
    this.host = new StackHost({ settings, ports, ...HOST_BOUNDS, isOwn: (address) => this.isOwn(address) });
    this.engine = new UserspaceEngine(this, "simulated");
    this.paths = new UserspacePathControl(this, this.engine);
  }

  isOwn(address: IpAddress): boolean {
    return this.#addresses.some((own) => equalBytes(own, address));
  }

  sourceFor(family: Family): IpAddress | undefined {
    return this.#addresses.find((address) => familyOf(address) === family);
  }

  onPacket(nowMs: number, packet: Uint8Array): void {
    this.host.onPacket(nowMs, packet);
  }

  onTimeout(nowMs: number): void {
    this.host.onTimeout(nowMs);
  }

  /** What is told of events may make more to send: a path manager opens a subflow. */
  pollTransmit(nowMs: number): Uint8Array | undefined {
    const packet = this.host.pollTransmit(nowMs);
    if (packet !== undefined) return packet;
    this.engine.update();
    return this.host.pollTransmit(nowMs);
  }

  pollTimeout(): number | undefined {
    return this.host.pollTimeout();
  }
}
