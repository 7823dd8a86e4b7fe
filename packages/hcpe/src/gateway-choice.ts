/** Which gateway a connection begins at, and why. Pure. */
import { GATEWAY_BUSY, GATEWAY_UP } from "./carrier-setup.ts";
import { NO_GATEWAY } from "./opening.ts";

/** "the next": what this connection has tried before has failed. */
export type GatewayReason = "the first" | "others are down or busy" | "all are busy" | "the next" | "none is up";

export interface GatewayChoice {
  /** A place; NO_GATEWAY when there is none to try. */
  readonly gateway: number;
  readonly reason: GatewayReason;
}

/** Of those that have not been tried the first that is up, or else the first that is only busy. */
export function chooseGateway(
  places: number,
  stateOf: (place: number) => number,
  tried: readonly number[],
): GatewayChoice {
  let busy = NO_GATEWAY;
  for (let gateway = 0; gateway < places; gateway++) {
    const state = stateOf(gateway);
    if (tried.includes(gateway)) continue;
    const first = gateway === 0 ? "the first" : "others are down or busy";
    if (state === GATEWAY_UP) return { gateway, reason: tried.length > 0 ? "the next" : first };
    if (state === GATEWAY_BUSY && busy === NO_GATEWAY) busy = gateway;
  }
  if (busy === NO_GATEWAY) return { gateway: busy, reason: "none is up" };
  return { gateway: busy, reason: tried.length > 0 ? "the next" : "all are busy" };
}
