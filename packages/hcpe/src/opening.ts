/** A connection on its way from its accept to being relayed: what the carrier remembers of it. */
import { concatBytes } from "@hybrid-access/core/base/bytes";
import { type Endpoint, familyOf, type IpAddress } from "@hybrid-access/core/base/ip-address";
import { emitConvertMessage } from "@hybrid-access/core/wire/convert/message";
import type { Tlv } from "@hybrid-access/core/wire/convert/tlv";
import type { UplinkSource } from "./uplink-choice.ts";

export const NOTHING = new Uint8Array();
export const NO_GATEWAY = -1;

export type Stage =
  /** Waiting for the gateway's handshake. */
  | "connecting"
  /** Waiting for the gateway's answer; the client's first bytes may be on their way. */
  | "answer"
  /** Waiting for the server itself. */
  | "direct";

export interface Opening {
  stage: Stage;
  readonly destination: Endpoint;
  /** The place of the gateway in the list; NO_GATEWAY before the first, and when the connection is direct. */
  gateway: number;
  /** Why it goes to this gateway, or direct: for the log. */
  gatewayReason: string;
  /** Gateways that this connection has been to. */
  triedGateways: number[];
  /** Where the attempt under way leaves from; undefined when the kernel chooses. */
  uplink: UplinkSource | undefined;
  /** The Convert message, or its beginning, left in the SYN. */
  fastOpen: boolean;
  /** Uplinks over which the gateway, or the server, was not reached. */
  failedUplinks: number[];
  /** Bytes to the gateway that have not been taken yet: the Convert message, then `early`. */
  outgoing: Uint8Array;
  /** The client's first bytes, kept until the answer. */
  early: Uint8Array;
  /** The beginning of the gateway's answer, when it did not come whole. */
  answer: Uint8Array;
  /** In stage "answer": when patience with the gateway ends. */
  replyDeadlineMs: number;
  /** What this gateway was shown, and from where; both change with the gateway. */
  cookie: Uint8Array | undefined;
  cookieOrigin: CookieOrigin;
  /** The message under way asks how many subflows the gateway allows. */
  askedForLimit: boolean;
  /** The client has reset while the gateway's handshake was under way. */
  abandoned: boolean;
}

/**
 * "stored": an earlier connection's, or none. "dropped": the gateway did not accept the stored one. "given": it has
 * just given this one.
 */
export type CookieOrigin = "stored" | "dropped" | "given";

export function newOpening(destination: Endpoint): Opening {
  return {
    stage: "connecting",
    destination,
    gateway: NO_GATEWAY,
    gatewayReason: "",
    triedGateways: [],
    uplink: undefined,
    fastOpen: false,
    failedUplinks: [],
    outgoing: NOTHING,
    early: NOTHING,
    answer: NOTHING,
    replyDeadlineMs: 0,
    cookie: undefined,
    cookieOrigin: "stored",
    askedForLimit: false,
    abandoned: false,
  };
}

/** `first`, then `second`; copied only if neither is empty. */
export function followedBy(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second;
  return second.length === 0 ? first : concatBytes([first, second]);
}

/** A cookie belongs to one gateway and one source address; no other gateway may see it. */
export function forgetCookie(opening: Opening): void {
  opening.cookie = undefined;
  opening.cookieOrigin = "stored";
}

export function sourceOf(uplink: UplinkSource | undefined, peer: Endpoint): IpAddress | undefined {
  return uplink?.[familyOf(peer.address)];
}

export function fastOpenKey({ gateway, uplink }: Opening): string {
  return `${gateway} ${uplink?.index}`;
}

/** `subflows`: how many this side lets the connection have; given, the gateway is asked for its own limit. */
export function connectMessage(
  destination: Endpoint,
  cookie: Uint8Array | undefined,
  subflows: number | undefined,
): Uint8Array {
  const connect: Tlv = { type: "connect", peer: destination, options: [] };
  const limit: Tlv[] = subflows === undefined ? [] : [{ type: "subflowLimit", subflows }];
  return emitConvertMessage([
    ...(cookie === undefined ? [] : [{ type: "cookie", cookie } as const]),
    connect,
    ...limit,
  ]);
}
