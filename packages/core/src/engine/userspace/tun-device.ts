/** TUN devices: made once, by the control plane; every worker moves the packets of one queue of each. */
import { familyOf, type IpAddress } from "../../base/ip-address.ts";
import { libc } from "../../platform/libc.ts";
import { RouteClient, RT_TABLE_MAIN } from "../../platform/netlink/route.ts";
import { setInterfaceUp } from "../../platform/network-interface.ts";
import { closeDescriptor } from "../../platform/socket.ts";
import { openTun } from "../../platform/tun.ts";

export interface TunDeviceOptions {
  /** Of the interface, which is made in the calling thread's network namespace. */
  readonly name: string;
  readonly offloads: boolean;
  /** How many threads move its packets. */
  readonly queues: number;
}

export class TunDevice {
  readonly name: string;
  readonly interfaceIndex: number;
  /** One for each queue. */
  readonly descriptors: readonly number[];

  /** Throws a SystemError. */
  constructor({ name, offloads, queues }: TunDeviceOptions) {
    this.name = name;
    const descriptors: number[] = [];
    this.descriptors = descriptors;
    try {
      for (let queue = 0; queue < queues; queue++) {
        descriptors.push(openTun(name, { offloads, multiQueue: queues > 1 }));
      }
      setInterfaceUp(name, true);
      this.interfaceIndex = libc.if_nametoindex(name);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The host's kernel routes these addresses to the device from now on. Throws a SystemError. */
  routeHere(addresses: readonly IpAddress[]): void {
    const client = new RouteClient();
    try {
      for (const destination of addresses) client.addRoute(this.#routeTo(destination));
    } finally {
      client.close();
    }
  }

  #routeTo(destination: IpAddress) {
    const { interfaceIndex } = this;
    return {
      family: familyOf(destination),
      table: RT_TABLE_MAIN,
      kind: "unicast",
      interfaceIndex,
      destination,
    } as const;
  }

  /** Ends the interface, and with it its routes. */
  close(): void {
    for (const descriptor of this.descriptors) closeDescriptor(descriptor);
  }
}
