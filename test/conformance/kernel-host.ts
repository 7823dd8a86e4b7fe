/** The kernel engine in a node of a lab. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { KernelEngine } from "@hybrid-access/core/engine/kernel/kernel-engine";
import { KernelPathControl } from "@hybrid-access/core/engine/kernel/path-control";
import { Epoll } from "@hybrid-access/core/platform/epoll";
import { libc } from "@hybrid-access/core/platform/libc";
import { GenericFamily } from "@hybrid-access/core/platform/netlink/generic";
import type { PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import type { Lab } from "../lab/lab.ts";
import type { Host } from "./bench.ts";
import { collectReadiness, EVENTS_PER_STEP } from "./readiness.ts";

/** Path events may be told together, as in the HCPE. */
const REST_MS = 4;

export class KernelHost implements Host {
  readonly #lab: Lab;
  readonly #node: string;
  readonly #epoll = new Epoll(EVENTS_PER_STEP);
  readonly engine;
  readonly paths;
  readonly address: Host["address"];
  readonly second: Host["second"];
  readonly ready = new Map<number, number>();
  readonly pathEvents: PathEvent[] = [];

  constructor(lab: Lab, node: string, number: number) {
    this.#lab = lab;
    this.#node = node;
    this.engine = this.inside(() => new KernelEngine(this.#epoll));
    this.paths = this.inside(() => {
      const control = new KernelPathControl(new GenericFamily("mptcp_pm"), REST_MS);
      control.onEvent((event) => this.pathEvents.push(event));
      return control;
    });
    this.address = { ipv4: ipAddress(`10.81.1.${number}`), ipv6: ipAddress(`fd81:1::${number}`) };
    const interfaceIndex = this.inside(() => libc.if_nametoindex("path2"));
    this.second = {
      ipv4: { address: ipAddress(`10.81.2.${number}`), interfaceIndex },
      ipv6: { address: ipAddress(`fd81:2::${number}`), interfaceIndex },
    };
  }

  inside<Result>(action: () => Result): Result {
    return this.#lab.inside(this.#node, action);
  }

  collect(timeoutMs: number): void {
    collectReadiness(this.#epoll, timeoutMs, this.ready);
  }

  close(): void {
    this.paths.close();
    this.#epoll.close();
  }
}
