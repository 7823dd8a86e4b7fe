/**
 * The gateways' places. What threads share of a gateway stands under its place, so an address keeps its own for as long
 * as it is there; one that the name service has added takes a free one, the longest unused first. Pure.
 */
import { type Endpoint, equalEndpoints, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type { GatewayHost } from "./gateway-host.ts";

/** As it stands in the configuration. */
export interface ConfiguredGateway {
  readonly address: GatewayHost;
  readonly port: number;
}

/** Addresses of one name that are used at once, and places for them and for those that went lately. */
export const MOST_ADDRESSES = 8;
const PLACES_OF_NAME = 2 * MOST_ADDRESSES;

export interface GatewayPlace {
  /** The DNS name, or null for an address in the configuration. */
  readonly name: string | null;
  /** Who has the place, or had it last; undefined before the first. */
  readonly endpoint: Endpoint | undefined;
  readonly used: boolean;
}

interface Place {
  readonly name: string | null;
  readonly port: number;
  endpoint: Endpoint | undefined;
  used: boolean;
  freed: number;
}

export class GatewayTable {
  readonly #places: readonly Place[];
  #changes = 0;

  constructor(gateways: readonly ConfiguredGateway[]) {
    this.#places = gateways.flatMap(({ address, port }): Place[] => {
      if (typeof address !== "string") {
        return [{ name: null, port, endpoint: { address, port }, used: true, freed: 0 }];
      }
      const free = () => ({ name: address, port, endpoint: undefined, used: false, freed: 0 });
      return Array.from({ length: PLACES_OF_NAME }, free);
    });
  }

  get places(): readonly GatewayPlace[] {
    return this.#places;
  }

  /** The gateways there are now. */
  endpoints(): Endpoint[] {
    return this.#places.flatMap(({ endpoint, used }) => (used && endpoint !== undefined ? [endpoint] : []));
  }

  /** The name has these addresses now; those beyond {@link MOST_ADDRESSES} are left out. Whether anything changed. */
  setAddresses(name: string, addresses: readonly IpAddress[]): boolean {
    let changed = false;
    for (const port of new Set(this.#places.filter((place) => place.name === name).map((place) => place.port))) {
      const places = this.#places.filter((place) => place.name === name && place.port === port);
      const endpoints = addresses.slice(0, MOST_ADDRESSES).map((address): Endpoint => ({ address, port }));
      changed = this.#assign(places, endpoints) || changed;
    }
    return changed;
  }

  #assign(places: readonly Place[], endpoints: readonly Endpoint[]): boolean {
    const isAt = (place: Place, endpoint: Endpoint) =>
      place.endpoint !== undefined && equalEndpoints(place.endpoint, endpoint);
    let changed = false;
    for (const place of places) {
      if (!place.used || endpoints.some((endpoint) => isAt(place, endpoint))) continue;
      this.#changes += 1;
      Object.assign(place, { used: false, freed: this.#changes });
      changed = true;
    }
    for (const endpoint of endpoints) {
      if (places.some((place) => place.used && isAt(place, endpoint))) continue;
      const free = places.filter(({ used }) => !used).toSorted((left, right) => left.freed - right.freed);
      const place = free.find((candidate) => isAt(candidate, endpoint)) ?? free[0];
      if (place === undefined) continue;
      Object.assign(place, { used: true, endpoint });
      changed = true;
    }
    return changed;
  }
}
