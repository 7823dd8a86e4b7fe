/**
 * Says to a routing daemon whether the farm's addresses may be announced from here: as long as they may, routes for them
 * stand in a table that nothing else looks at. BIRD learns them from there (docs/farm.md).
 */
import { familyOf, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type { OwnRoute, RouteClient } from "@hybrid-access/core/platform/netlink/route";

export const ANNOUNCED_TABLE = 5199;
const LOOPBACK_INDEX = 1;

export class RouteHealth {
  readonly #client: RouteClient;
  readonly #routes: readonly OwnRoute[];
  #announced = false;

  constructor(client: RouteClient, addresses: readonly IpAddress[]) {
    this.#client = client;
    this.#routes = addresses.map((destination) => ({
      family: familyOf(destination),
      table: ANNOUNCED_TABLE,
      kind: "unicast",
      interfaceIndex: LOOPBACK_INDEX,
      destination,
    }));
  }

  get announced(): boolean {
    return this.#announced;
  }

  set(announced: boolean): void {
    if (announced === this.#announced) return;
    this.#announced = announced;
    for (const route of this.#routes) {
      if (announced) this.#client.addRoute(route);
      else this.#client.deleteRoute(route);
    }
  }
}
