/**
 * What the gateways of a farm share: which nodes there are (leases), and which node owns a Multipath TCP token or a flow.
 * A single gateway needs no Redis: memory.ts stands behind the same interface and passes the same tests as redis.ts.
 *
 * The registry is a cache that its writers fill again, never the truth: each node knows its own connections. Every
 * function ends within a deadline, with an answer or an AccessError; what it finds was perhaps written by others and is
 * checked before anybody sees it.
 */
import { AccessError } from "../../base/error.ts";
import { formatIpAddress, type IpAddress, parseIpAddress } from "../../base/ip-address.ts";
import type { ClientCounts } from "./client-counts.ts";
import type { CookieKey, CookieKeys } from "./cookie-keys.ts";

/** "up" takes new connections, "draining" keeps those it has and then leaves. */
export const NODE_STATES = ["up", "draining"] as const;
export type NodeState = (typeof NODE_STATES)[number];

/** A gateway of the farm, as it describes itself. */
export interface Member {
  /** {@link isNodeName}. */
  readonly name: string;
  /** Where directors send what is for this node; one for each family it serves. The first one identifies it. */
  readonly addresses: readonly IpAddress[];
  readonly state: NodeState;
  /** Its share of new connections, relative to the others', 0 to 1000; 0 takes none, as a director that does not convert. */
  readonly weight: number;
  /** Open connections. */
  readonly load: number;
}

/**
 * What came of a renewal: the lease goes on; it begins, as the registry knew of none; a live node of another address has
 * the name; the farm's nodes are configured differently.
 */
export const RENEWALS = ["renewed", "joined", "nameTaken", "otherSettings"] as const;
export type Renewal = (typeof RENEWALS)[number];

/** How the store behind the registry is. */
export interface RegistryHealth {
  readonly connected: boolean;
  /** Values that no node of this project wrote, or not in this form; they were ignored. */
  readonly corrupt: number;
  /** Calls that ended without an answer: past their deadline, without connection, or because too many were waiting. */
  readonly unanswered: number;
}

export interface Registry {
  readonly health: RegistryHealth;
  /** Takes or keeps the lease on `member.name` for `leaseMs`. `settings` must be equal on all nodes of the farm. */
  renew(member: Member, settings: string, leaseMs: number): Promise<Renewal>;
  /** Gives the lease up. */
  leave(member: Member): Promise<void>;
  /** The nodes whose lease holds. */
  members(): Promise<readonly Member[]>;
  /**
   * Says that `node` has the connection with this token, for `ttlMs`. Gives the name of the other node that already
   * has it, and changes nothing then, unless `force`.
   */
  claimToken(token: number, node: string, ttlMs: number, force?: boolean): Promise<string | undefined>;
  /** Takes the token back, if `node` has it. */
  releaseToken(token: number, node: string): Promise<void>;
  ownerOfToken(token: number): Promise<string | undefined>;
  /**
   * The tokens that `node` has claimed and not released. One that has expired may be among them, for as long as the node
   * goes on claiming others; when it no longer does, none is left when the last one expires.
   */
  tokensOf(node: string): Promise<readonly number[]>;
  /** Says that the flow ({@link isFlowId}) ends at `node`; the last one to say so is right. */
  claimFlow(flow: string, node: string, ttlMs: number): Promise<void>;
  releaseFlow(flow: string, node: string): Promise<void>;
  ownerOfFlow(flow: string): Promise<string | undefined>;
  /** Says how many connections clients have at `node`, in place of what it said before. */
  shareClients(node: string, counts: ClientCounts, ttlMs: number): Promise<void>;
  /** What `node` has said; empty when that has expired. */
  clientsOf(node: string): Promise<ClientCounts>;
  /**
   * The keys of the farm's cookies. When the newest is `lifeMs` old, or there is none, `fresh` becomes one. Those that the
   * caller has `known` are among them, in case the registry has lost them, unless there are newer ones enough.
   */
  cookieKeys(known: readonly CookieKey[], fresh: Uint8Array, lifeMs: number): Promise<CookieKeys>;
  close(): void;
}

/** Names of nodes and farms are part of keys: lower-case letters, digits and hyphens, at most 32. */
export function isNodeName(text: unknown): text is string {
  return typeof text === "string" && /^[a-z0-9][a-z0-9-]{0,31}$/.test(text);
}

/** Client address, client port and service port in hexadecimal: 16 digits (IPv4) or 40. */
export function isFlowId(text: string): boolean {
  return /^([0-9a-f]{16}|[0-9a-f]{40})$/.test(text);
}

/** No answer: the deadline has passed, there is no connection, or too many calls wait. */
export function unanswered(why: string, cause?: unknown): AccessError {
  return new AccessError("REGISTRY_UNANSWERED", "system", `registry: ${why}`, cause);
}

/** A member as text, without its name. */
export function encodeMember({ addresses, state, weight, load }: Member): string {
  return JSON.stringify({ addresses: addresses.map(formatIpAddress), state, weight, load });
}

/** The member in {@link encodeMember}'s text; undefined for anything else. */
export function decodeMember(name: unknown, text: unknown): Member | undefined {
  if (!isNodeName(name) || typeof text !== "string") return undefined;
  const value = parseObject(text);
  if (value === undefined || !Array.isArray(value.addresses)) return undefined;
  const { state, weight, load } = value;
  const addresses = value.addresses.map((address: unknown) =>
    typeof address === "string" ? parseIpAddress(address) : undefined,
  );
  const complete = addresses.filter((address) => address !== undefined);
  const known = NODE_STATES.find((candidate) => candidate === state);
  if (known === undefined || complete.length === 0 || complete.length !== addresses.length) return undefined;
  if (!isWholeNumber(weight, 0, 1000) || !isWholeNumber(load, 0, Number.MAX_SAFE_INTEGER)) return undefined;
  return { name, addresses: complete, state: known, weight, load };
}

/** Who stands behind a name: a node that was killed and started again has the same address. */
export function identityOf({ addresses: [first] }: Member): string {
  return first === undefined ? "" : formatIpAddress(first);
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === "object" ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function isWholeNumber(value: unknown, least: number, most: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= least && value <= most;
}
