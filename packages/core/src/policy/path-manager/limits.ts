/** How many subflows there may be (RFC 8041 section 3.4): counted when asked for, so that no bound is ever passed. */
import { addressKey, type IpAddress } from "../../base/ip-address.ts";

export interface SubflowLimits {
  /** Of one connection, the initial one included. */
  readonly perConnection: number;
  /** Of one connection between one local and one remote address. */
  readonly perPair: number;
  /** Toward one gateway, of all connections. Initial ones count; they cannot be refused. */
  readonly perGateway: number;
  /** Of all connections. Initial ones count; they cannot be refused. */
  readonly total: number;
}

/** Counts subflows that are open or being opened, of all connections. */
export class SubflowCount {
  readonly #byGateway = new Map<string, number>();
  #total = 0;

  get total(): number {
    return this.#total;
  }

  toward(gateway: IpAddress): number {
    return this.#byGateway.get(addressKey(gateway)) ?? 0;
  }

  add(gateway: IpAddress, amount: number): void {
    const key = addressKey(gateway);
    const count = (this.#byGateway.get(key) ?? 0) + amount;
    if (count > 0) this.#byGateway.set(key, count);
    else this.#byGateway.delete(key);
    this.#total += amount;
  }

  hasRoom(gateway: IpAddress, { perGateway, total }: SubflowLimits): boolean {
    return this.#total < total && this.toward(gateway) < perGateway;
  }
}
