/** TUN devices: made once, by the control plane; every worker moves the packets of one queue of each. */
import { familyOf, type IpAddress } from "../../base/ip-address.ts";
import { libc } from "../../platform/libc.ts";
import { type OwnRoute, RouteClient, RT_TABLE_MAIN } from "../../platform/netlink/route.ts";
import { setInterfaceUp, setTransmitQueue } from "../../platform/network-interface.ts";
import { closeDescriptor } from "../../platform/socket.ts";
import { openTun } from "../../platform/tun.ts";

/**
 * Packets that wait for their worker. The kernel's 500 are less than what 5,000 connections that are opened at once
 * send, of which the worst would wait for a retransmission.
 */
export const QUEUED_PACKETS = 4096;

export interface TunDeviceOptions {
  /**
   * Of the interface, which is made in the calling thread's network namespace; a "%d" stands for the first number that
   * is free.
   */
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
    const options = { offloads, multiQueue: queues > 1 };
    const first = openTun(name, options);
    this.name = first.name;
    const descriptors = [first.descriptor];
    this.descriptors = descriptors;
    try {
      while (descriptors.length < queues) descriptors.push(openTun(this.name, options).descriptor);
      setTransmitQueue(this.name, QUEUED_PACKETS);
      setInterfaceUp(this.name, true);
      this.interfaceIndex = libc.if_nametoindex(this.name);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** The host's kernel routes these addresses to the device from now on. Throws a SystemError. */
  routeHere(addresses: readonly IpAddress[]): void {
    const { interfaceIndex } = this;
    withRoutes((client) => {
      for (const destination of addresses) {
        client.addRoute({ ...routeTo(destination), kind: "unicast", interfaceIndex });
      }
    });
  }

  /** Ends the interface, and with it its routes. */
  close(): void {
    for (const descriptor of this.descriptors) closeDescriptor(descriptor);
  }
}

const LOOPBACK_INDEX = 1;
/** Behind the route to a device. */
const LAST_RESORT_METRIC = 65_535;

/**
 * What comes for these addresses when their device is gone, as after a kill -9, is for the host's kernel, which knows no
 * such connection and resets it: so the peers need not wait. Throws a SystemError.
 */
export function resetWithoutDevice(addresses: readonly IpAddress[]): void {
  withRoutes((client) => {
    for (const address of addresses) client.addRoute(lastResort(address));
  });
}

/** Takes {@link resetWithoutDevice} back. */
export function forgetWithoutDevice(addresses: readonly IpAddress[]): void {
  withRoutes((client) => {
    for (const address of addresses) client.deleteRoute(lastResort(address));
  });
}

function lastResort(address: IpAddress): OwnRoute {
  return { ...routeTo(address), kind: "local", interfaceIndex: LOOPBACK_INDEX, metric: LAST_RESORT_METRIC };
}

function routeTo(destination: IpAddress) {
  return { family: familyOf(destination), table: RT_TABLE_MAIN, destination };
}

function withRoutes(action: (client: RouteClient) => void): void {
  const client = new RouteClient();
  try {
    action(client);
  } finally {
    client.close();
  }
}
