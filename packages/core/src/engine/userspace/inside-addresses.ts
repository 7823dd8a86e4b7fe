/**
 * Addresses that stand for the host's own on the way between the daemon's devices and the kernel. They never leave the
 * host: those of IPv4 are of the block for benchmarks (RFC 2544, RFC 6890), which nobody routes, those of IPv6 are unique local
 * ones (RFC 4193).
 */
import { type Family, familyOf, type IpAddress, ipAddress } from "../../base/ip-address.ts";
import { AddressIds } from "../../policy/path-manager/address-ids.ts";
import type { MappedAddress } from "./address-map.ts";

const FIRST: Readonly<Record<Family, IpAddress>> = {
  ipv4: ipAddress("198.18.0.0"),
  ipv6: ipAddress("fd84:8684::"),
};
/** Where in an address its block stands: 198.18.BLOCK.ID, fd84:8684:0:BLOCK::ID. */
const BLOCK_AT: Readonly<Record<Family, number>> = { ipv4: 14, ipv6: 7 };
const BLOCKS = 256;

/** Gives the same address always the same one, unless 255 others have been there since. */
export class InsideAddresses {
  readonly #ids = new AddressIds();
  readonly #block: number;

  /** `block` tells the daemons of one host apart. */
  constructor(block: number) {
    this.#block = block % BLOCKS;
  }

  /** Without what is beyond the first 255. */
  map(addresses: readonly IpAddress[]): MappedAddress[] {
    const ids = this.#ids.number(addresses);
    return addresses.flatMap((address, index) => {
      const id = ids[index];
      return id === undefined ? [] : [{ address, inside: this.#insideAddress(familyOf(address), id) }];
    });
  }

  /** `id` is from 1 to 255. */
  #insideAddress(family: Family, id: number): IpAddress {
    const address = FIRST[family].slice() as IpAddress;
    address[BLOCK_AT[family]] = this.#block;
    address[15] = id;
    return address;
  }
}
