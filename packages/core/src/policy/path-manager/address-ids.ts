/** Which number an address has, and keeps. */
import { toHex } from "../../base/bytes.ts";
import type { IpAddress } from "../../base/ip-address.ts";

const LARGEST_ADDRESS_ID = 255;

/**
 * Address identifiers (RFC 8684 section 3.4). An address keeps its number while it is there and after it went, until all
 * numbers have been given: then a new one gets the number of the address that has been gone for the longest time.
 */
export class AddressIds {
  /** By address, the one that was in use the longest time ago first. */
  readonly #ids = new Map<string, number>();

  /** The numbers of the addresses in use now, in their order; undefined for what is beyond the first 255. */
  number(addresses: readonly IpAddress[]): (number | undefined)[] {
    const keys = addresses.map(toHex);
    // Known ones first: none of them may lose its number to a new one.
    for (const key of keys) this.#renew(key, this.#ids.get(key));
    for (const key of keys) if (!this.#ids.has(key)) this.#renew(key, this.#freeId(keys));
    return keys.map((key) => this.#ids.get(key));
  }

  #renew(key: string, id: number | undefined): void {
    if (id === undefined) return;
    this.#ids.delete(key);
    this.#ids.set(key, id);
  }

  #freeId(inUse: readonly string[]): number | undefined {
    if (this.#ids.size < LARGEST_ADDRESS_ID) return this.#ids.size + 1;
    const [oldest] = this.#ids;
    if (oldest === undefined || inUse.includes(oldest[0])) return undefined;
    this.#ids.delete(oldest[0]);
    return oldest[1];
  }
}
