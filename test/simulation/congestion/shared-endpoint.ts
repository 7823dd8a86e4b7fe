/** Several hosts at one end of a path, as if there were a switch: they share what the path has, rate and queue. */
import { addressKey, type IpAddress, ipAddressFromBytes } from "@hybrid-access/core/base/ip-address";
import type { PacketEndpoint } from "@hybrid-access/core/stack/endpoint";

const DESTINATION_AT = 16;
const ADDRESS_BYTES = 4;

/** IPv4 only. */
export class SharedEndpoint implements PacketEndpoint {
  readonly #endpoints: PacketEndpoint[] = [];
  readonly #byAddress = new Map<string, PacketEndpoint>();

  add(endpoint: PacketEndpoint, addresses: readonly IpAddress[]): void {
    this.#endpoints.push(endpoint);
    for (const address of addresses) this.#byAddress.set(addressKey(address), endpoint);
  }

  onPacket(nowMs: number, packet: Uint8Array): void {
    const to = ipAddressFromBytes(packet.subarray(DESTINATION_AT, DESTINATION_AT + ADDRESS_BYTES));
    if (to !== undefined) this.#byAddress.get(addressKey(to))?.onPacket(nowMs, packet);
  }

  onTimeout(nowMs: number): void {
    for (const endpoint of this.#endpoints) {
      if ((endpoint.pollTimeout() ?? Number.POSITIVE_INFINITY) <= nowMs) endpoint.onTimeout(nowMs);
    }
  }

  pollTransmit(nowMs: number): Uint8Array | undefined {
    for (const endpoint of this.#endpoints) {
      const packet = endpoint.pollTransmit(nowMs);
      if (packet !== undefined) return packet;
    }
    return undefined;
  }

  pollTimeout(): number | undefined {
    let first: number | undefined;
    for (const endpoint of this.#endpoints) {
      const next = endpoint.pollTimeout();
      if (next !== undefined && (first === undefined || next < first)) first = next;
    }
    return first;
  }
}
