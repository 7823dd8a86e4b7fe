/** What control plane and carriers say to each other; plain data that crosses threads. */
import type { Endpoint } from "@hybrid-access/core/base/ip-address";
import type { WorkerSetup } from "@hybrid-access/core/dataplane/worker";
import type { WorkerReport } from "@hybrid-access/core/dataplane/worker-pool";
import type { ConnectionAnswer, ConnectionQuestion } from "./connection-list.ts";
import type { UplinkSource } from "./uplink-choice.ts";

/** What the control plane gives a worker. */
export interface CarrierSetup extends WorkerSetup {
  /** Where TPROXY delivers. */
  readonly listen: readonly Endpoint[];
  readonly gateways: readonly Endpoint[];
  /** One word for each gateway, shared by all threads: {@link GATEWAY_UP} or {@link GATEWAY_DOWN}. */
  readonly gatewayStates: SharedArrayBuffer;
  /** Two words for each configured uplink, shared by all threads: uplinkStateIndex(). */
  readonly uplinkStates: SharedArrayBuffer;
  readonly uplinks: readonly UplinkSource[];
  readonly gatewayMs: number;
  readonly replyMs: number;
}

/** What the control plane may say later. */
export type CarrierMessage =
  | { readonly type: "uplinks"; readonly uplinks: readonly UplinkSource[] }
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

export type CarrierReport = GatewayReport | UplinkReport | ConnectionAnswer;

export const GATEWAY_UP = 0;
export const GATEWAY_DOWN = 1;
