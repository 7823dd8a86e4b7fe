/** What control plane and workers of the userspace engine say to each other; plain data that crosses threads. */
import type { Endpoint } from "../../base/ip-address.ts";
import type { ConnectionDiagnostics, SubflowDiagnostics } from "../../platform/netlink/socket-diagnostics.ts";
import type { PathCommand, PathEvent } from "../../policy/path-manager/path-manager.ts";
import type { EngineMessage, EngineReport, TransportChoice } from "../engine-control.ts";
import type { MappedAddress } from "./address-map.ts";

/** One device, as a worker needs it: its own queue is that of its number. */
export interface DeviceSetup {
  readonly name: string;
  readonly descriptors: readonly number[];
  readonly addresses: readonly MappedAddress[];
}

/** What holds for connections that are accepted. */
export interface AcceptedRules {
  /** Subflows of one connection, the initial one included; undefined for the transport's own limit. */
  readonly mostSubflows: number | undefined;
  /** Flag C (RFC 8684 section 3.1); as of the worker's start. */
  readonly refusesJoins: boolean;
  /** What every new connection is told of, by its address identifier; a port of 0 is that of the initial subflow. */
  readonly announced: readonly { readonly addressId: number; readonly end: Endpoint }[];
}

/** Where nobody has said anything. */
export const NO_RULES: AcceptedRules = { mostSubflows: undefined, refusesJoins: false, announced: [] };

export interface UserspaceSetup {
  readonly devices: readonly DeviceSetup[];
  readonly workers: number;
  /** As in EngineControlOptions. */
  readonly congestion: string;
  /** Whether anybody wants to know of path events. */
  readonly tellsEvents: boolean;
  readonly accepted: AcceptedRules;
  readonly transport: TransportChoice;
  /** Memory of PassedJoins. */
  readonly passed: SharedArrayBuffer;
}

/** What a worker can be asked. */
export type Question =
  | { readonly about: "command"; readonly command: PathCommand }
  | { readonly about: "reset"; readonly local: Endpoint; readonly remote: Endpoint }
  | { readonly about: "connections" }
  | { readonly about: "subflows" };

/** By what was asked. */
export interface Answers {
  /** Whether it was carried out here; a connection is in one worker. */
  readonly command: boolean;
  readonly reset: boolean;
  readonly connections: readonly ConnectionDiagnostics[];
  readonly subflows: readonly SubflowDiagnostics[];
}

export type UserspaceMessage = EngineMessage &
  (
    | { readonly what: "addresses"; readonly devices: readonly (readonly MappedAddress[])[] }
    | { readonly what: "accepted"; readonly rules: AcceptedRules }
    | { readonly what: "transport"; readonly transport: TransportChoice }
    | { readonly what: "question"; readonly number: number; readonly question: Question }
    /** A packet that came to another worker: a join to a connection of this one. */
    | { readonly what: "packet"; readonly packet: Uint8Array }
  );

export type ReportContent =
  | { readonly what: "events"; readonly events: readonly PathEvent[] }
  | { readonly what: "answer"; readonly number: number; readonly answer: Answers[keyof Answers] }
  /** A join that came to this worker, to a connection of another one. */
  | { readonly what: "packet"; readonly owner: number; readonly packet: Uint8Array };

export type UserspaceReport = EngineReport & ReportContent;
