/** Equal addresses as one object, because a host with many connections has them between few addresses. */
import { addressKey, type IpAddress } from "../base/ip-address.ts";

/** Addresses that are known; beyond that the oldest is forgotten, and its connections have an address each. */
export const MOST_ADDRESSES = 4096;

export class AddressTable {
  readonly #known = new Map<string, IpAddress>();

  /** The address itself where it was not known, else the one that equals it. */
  share(address: IpAddress): IpAddress {
    const key = addressKey(address);
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MOST_ADDRESSES && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(key, address);
    return address;
  }
}
