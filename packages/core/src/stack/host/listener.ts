/** Who takes the connections to one of a host's ends. */
import { type Endpoint, endpointKey, type IpAddress } from "../../base/ip-address.ts";
import type { HostConnection } from "./host-connection.ts";

/** Connections of one listener whose handshake is not over; SYNs beyond it are dropped, and come again. */
export const MOST_HALF_OPEN = 1024;
/** Connections of one listener that nobody has accepted yet; SYNs beyond it are dropped. */
export const MOST_WAITING = 4096;

export class HostListener {
  readonly endpoint: Endpoint;
  /** False answers peers as if this host had no Multipath TCP. */
  readonly multipath: boolean;
  readonly waiting: HostConnection[] = [];
  readonly halfOpen = new Set<HostConnection>();

  constructor(endpoint: Endpoint, multipath: boolean) {
    this.endpoint = endpoint;
    this.multipath = multipath;
  }

  get hasRoom(): boolean {
    return this.halfOpen.size < MOST_HALF_OPEN && this.waiting.length < MOST_WAITING;
  }
}

/** A host's listeners, by the end they listen at. */
export class ListenerTable {
  readonly #listeners = new Map<string, HostListener>();

  /** False where somebody listens there already. */
  add(listener: HostListener): boolean {
    const key = endpointKey(listener.endpoint);
    if (this.#listeners.has(key)) return false;
    this.#listeners.set(key, listener);
    return true;
  }

  delete({ endpoint }: HostListener): void {
    this.#listeners.delete(endpointKey(endpoint));
  }

  /** Who listens at this end: at the address itself, or at every address. */
  find({ address, port }: Endpoint): HostListener | undefined {
    return (
      this.#listeners.get(endpointKey({ address, port })) ??
      this.#listeners.get(endpointKey({ address: ANY_ADDRESS, port }))
    );
  }
}

/** "::", which stands for both families. */
const ANY_ADDRESS = new Uint8Array(16) as IpAddress;
