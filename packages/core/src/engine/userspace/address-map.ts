/**
 * The addresses of an uplink, and those that its packets carry on the device. Where an address belongs to the host's
 * kernel, the transport's packets have another one in its place on their way between the device and the kernel, which
 * translates them (nat.ts): otherwise it would take the answers for its own.
 */
import { equalBytes } from "../../base/bytes.ts";
import { type IpAddress, networkBytes } from "../../base/ip-address.ts";

export interface MappedAddress {
  /** What the transport, and everybody outside, knows. */
  readonly address: IpAddress;
  /** What packets on the device carry; the same where the kernel does not have the address. */
  readonly inside: IpAddress;
}

export class AddressMap {
  readonly addresses: readonly IpAddress[];
  readonly #mapped: readonly MappedAddress[];

  constructor(pairs: readonly MappedAddress[]) {
    this.addresses = pairs.map(({ address }) => address);
    this.#mapped = pairs.filter(({ address, inside }) => !equalBytes(address, inside));
  }

  /** What stands for an address on the device. */
  insideOf(address: IpAddress): IpAddress {
    for (const pair of this.#mapped) if (equalBytes(pair.address, address)) return pair.inside;
    return address;
  }

  /** The address for which this one stands, 4 or 16 bytes; undefined where it stands for itself. */
  behind(inside: Uint8Array): IpAddress | undefined {
    for (const pair of this.#mapped) if (equalBytes(networkBytes(pair.inside), inside)) return pair.address;
    return undefined;
  }
}

/** Addresses that the kernel does not have, and that stand for themselves. */
export function ownAddresses(addresses: readonly IpAddress[]): MappedAddress[] {
  return addresses.map((address) => ({ address, inside: address }));
}
