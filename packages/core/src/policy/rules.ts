/** Which policy a connection gets: the first rule that matches, or the default. */
import type { Endpoint, IpAddress } from "../base/ip-address.ts";
import { findPrefix, type Prefix } from "../base/prefix.ts";

/** Every list that is not empty must have the connection's value; an empty one leaves it open. */
export interface PolicyRule {
  readonly lan: readonly Prefix[];
  readonly destinations: readonly Prefix[];
  readonly ports: readonly number[];
  readonly dscp: readonly number[];
  readonly policy: string;
  /** The gateway's port for further subflows; 0 for that of the initial one. */
  readonly joinPort: number;
  /** The schedule during which the rule holds; always without one. */
  readonly during?: string | undefined;
}

/** A connection as rules see it. */
export interface Flow {
  readonly client: IpAddress;
  readonly destination: Endpoint;
  /** Of the client's SYN; undefined where it is not known, which no rule about DSCP matches. */
  readonly dscp: number | undefined;
}

/** The first rule that matches; of what a connection carries nothing may be known. */
export function findRule(rules: readonly PolicyRule[], flow: Flow | undefined): PolicyRule | undefined {
  return rules.find((rule) => matches(rule, flow));
}

function matches({ lan, destinations, ports, dscp }: PolicyRule, flow: Flow | undefined): boolean {
  if (flow === undefined) return [lan, destinations, ports, dscp].every(({ length }) => length === 0);
  return (
    (lan.length === 0 || findPrefix(lan, flow.client) !== undefined) &&
    (destinations.length === 0 || findPrefix(destinations, flow.destination.address) !== undefined) &&
    (ports.length === 0 || ports.includes(flow.destination.port)) &&
    (dscp.length === 0 || (flow.dscp !== undefined && dscp.includes(flow.dscp)))
  );
}
