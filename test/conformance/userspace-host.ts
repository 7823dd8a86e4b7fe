/** The userspace engine in a node of a lab: its addresses are its own, and the node's kernel forwards to and from them. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { openUserspace, type Userspace } from "@hybrid-access/core/engine/userspace/open";
import { TunUplink } from "@hybrid-access/core/engine/userspace/tun-uplink";
import { Epoll } from "@hybrid-access/core/platform/epoll";
import type { PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import { DEFAULT_MPTCP_SETTINGS } from "@hybrid-access/core/stack/mptcp/settings";
import type { Middlebox } from "@hybrid-access/core/testing/middlebox/middlebox";
import type { Lab } from "../lab/lab.ts";
import type { Host } from "./bench.ts";
import { BoxedUplink } from "./boxed-uplink.ts";
import { collectReadiness, EVENTS_PER_STEP } from "./readiness.ts";

const BULK_BYTES = 60_000;

export class UserspaceHost implements Host {
  readonly #lab: Lab;
  readonly #node: string;
  readonly #epoll = new Epoll(EVENTS_PER_STEP);
  readonly userspace: Userspace;
  readonly address: Host["address"];
  readonly second: Host["second"];
  readonly ready = new Map<number, number>();
  readonly pathEvents: PathEvent[] = [];
  /** What all its packets pass, if anything. */
  box: Middlebox | undefined;

  constructor(lab: Lab, node: string, number: number, offloads = false) {
    this.#lab = lab;
    this.#node = node;
    const opens = node === "client";
    const uplinks = this.inside(() =>
      [1, 2].map((path) => {
        const addresses = [ipAddress(`10.82.${path}.${number}`), ipAddress(`fd82:${path}::${number}`)];
        return new BoxedUplink(TunUplink.open({ name: `tun${path}`, addresses, offloads }), opens, () => this.box);
      }),
    );
    const [foreign] = uplinks;
    const tcp = { ...DEFAULT_MPTCP_SETTINGS.tcp, ...(offloads && { bulkBytes: BULK_BYTES }) };
    this.userspace = openUserspace(
      { uplinks, ...(foreign && { foreign }), settings: { ...DEFAULT_MPTCP_SETTINGS, tcp } },
      this.#epoll,
    );
    this.userspace.paths.onEvent((event) => this.pathEvents.push(event));
    this.address = { ipv4: ipAddress(`10.82.1.${number}`), ipv6: ipAddress(`fd82:1::${number}`) };
    this.second = {
      ipv4: { address: ipAddress(`10.82.2.${number}`), interfaceIndex: 0 },
      ipv6: { address: ipAddress(`fd82:2::${number}`), interfaceIndex: 0 },
    };
  }

  get engine() {
    return this.userspace.engine;
  }

  get paths() {
    return this.userspace.paths;
  }

  inside<Result>(action: () => Result): Result {
    return this.#lab.inside(this.#node, action);
  }

  /** The node's kernel forwards what comes for an address that is nobody's. */
  async takeForeign(address: string): Promise<void> {
    await this.#lab.run(this.#node, ["ip", "route", "replace", address, "dev", "tun1"]);
  }

  collect(timeoutMs: number): void {
    collectReadiness(this.userspace.reactor, timeoutMs, this.ready);
  }

  close(): void {
    this.userspace.close();
    this.#epoll.close();
  }
}

/** The same with devices that cut large segments and complete checksums. A box would see neither cut nor completed. */
export class OffloadingHost extends UserspaceHost {
  constructor(lab: Lab, node: string, number: number) {
    super(lab, node, number, true);
  }
}
