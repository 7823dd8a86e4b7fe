/** What control plane and carriers say to each other; plain data that crosses threads. */
import type { Endpoint, IpAddress } from "@hybrid-access/core/base/ip-address";
import type { WorkerSetup } from "@hybrid-access/core/dataplane/worker";
import type { WorkerReport } from "@hybrid-access/core/dataplane/worker-pool";
import type { Flow } from "@hybrid-access/core/policy/rules";
import type { ConnectionAnswer, ConnectionQuestion } from "./connection-list.ts";
import type { UplinkReason, UplinkSource } from "./uplink-choice.ts";

/** What the control plane gives a worker. */
export interface CarrierSetup extends WorkerSetup {
  /** Where TPROXY delivers. */
  readonly listen: readonly Endpoint[];
  /** Who has each place, the preferred one first; one that nobody has yet is undefined. */
  readonly gateways: readonly (Endpoint | undefined)[];
  /** One word for each place, shared by all threads: {@link GATEWAY_UP} and the others. */
  readonly gatewayStates: SharedArrayBuffer;
  /** Two words for each configured uplink, shared by all threads: uplinkStateIndex(). */
  readonly uplinkStates: SharedArrayBuffer;
  readonly uplinks: readonly UplinkSource[];
  readonly gatewayMs: number;
  readonly replyMs: number;
  /** Whether the policy depends on what a connection is: then each one is reported ({@link FlowReport}). */
  readonly reportFlows: boolean;
  /** Subflows that this side lets a connection have. */
  readonly mostSubflows: number;
  /** Whether each attempt's gateway and uplink are told, with the reasons ({@link ChoiceReport}): for the log. */
  readonly reportChoices: boolean;
}

/** What the control plane may say later. */
export type CarrierMessage =
  | { readonly type: "uplinks"; readonly uplinks: readonly UplinkSource[] }
  | { readonly type: "policy"; readonly reportFlows: boolean; readonly mostSubflows: number }
  | { readonly type: "gateways"; readonly gateways: readonly (Endpoint | undefined)[] }
  | { readonly type: "timeouts"; readonly gatewayMs: number; readonly replyMs: number }
  | ConnectionQuestion;

/**
 * A gateway did not serve; `gateway` is its place in the list. "gatewayDown": it was not reached over any uplink;
 * "gatewayDoubtful": it failed one connection, or keeps it waiting.
 */
export interface GatewayReport extends WorkerReport {
  readonly type: "gatewayDown" | "gatewayDoubtful";
  readonly gateway: number;
  readonly reason: string;
}

/** Nothing came back over this uplink, while another one reached `witness`. */
export interface UplinkReport extends WorkerReport {
  readonly type: "uplinkSilent";
  readonly uplink: UplinkSource;
  readonly witness: Endpoint;
  readonly protocol: "mptcp" | "tcp";
}

/** What a connection to a gateway carries, said when its SYN leaves. */
export interface FlowReport extends WorkerReport {
  readonly type: "flow";
  /** The local end of the connection to the gateway. */
  readonly local: Endpoint;
  readonly flow: Flow;
}

/** A gateway lets the connection with this local end have so many subflows. Left out while it allows what we do. */
export interface SubflowLimitReport extends WorkerReport {
  readonly type: "subflowLimit";
  readonly local: Endpoint;
  readonly gateway: IpAddress;
  readonly subflows: number;
}

/** Where an attempt to carry a connection goes, and why there. */
export interface ChoiceReport extends WorkerReport {
  readonly type: "choice";
  readonly destination: Endpoint;
  /** The local end of the attempt. */
  readonly local: Endpoint | undefined;
  /** Undefined: it goes direct. */
  readonly gateway: Endpoint | undefined;
  readonly gatewayReason: string;
  readonly uplink: string | undefined;
  readonly uplinkReason: UplinkReason;
}

export type CarrierReport =
  | GatewayReport
  | UplinkReport
  | FlowReport
  | SubflowLimitReport
  | ChoiceReport
  | ConnectionAnswer;

export const GATEWAY_UP = 0;
export const GATEWAY_DOWN = 1;
/** Serves, and has said that it has much to do: for when no other one is up. */
export const GATEWAY_BUSY = 2;
/** Nobody has the place now. */
export const GATEWAY_UNUSED = 3;
