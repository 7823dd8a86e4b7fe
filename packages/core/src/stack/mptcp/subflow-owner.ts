/** What a subflow is made of, and what it tells its connection. */
import type { Endpoint } from "../../base/ip-address.ts";
import type { CouplingGroup } from "../../policy/congestion/congestion.ts";
import type { AddAddressOption, AddAddressV0Option } from "../../wire/mptcp/options.ts";
import type { TcpSettings } from "../tcp/settings.ts";
import type { Handshake } from "./handshake.ts";
import type { Session } from "./session.ts";
import type { Subflow } from "./subflow.ts";

/** What a subflow tells its connection, and what it knows from it of the other ones. */
export interface SubflowOwner extends CouplingGroup {
  /** The connection is plain TCP from now on. */
  onFallback(reason: "handshake" | "synLost" | "optionsRemoved"): void;
  onAddress(option: AddAddressOption | AddAddressV0Option): void;
  onRemovedAddresses(addressIds: readonly number[]): void;
  onPriority(subflow: Subflow, backup: boolean, addressId: number | undefined): void;
  /** MP_FAIL: our data from this position on has arrived changed. */
  onFail(subflow: Subflow, position: number): void;
  /**
   * The peer has fallen back: what stands at `start` of the subflow stands at `dataStart` of the connection, and so on
   * without end.
   */
  onInfiniteMapping(subflow: Subflow, start: number, dataStart: number): void;
  /** The peer aborts the whole connection. */
  onFastClose(): void;
  /** The peer said something that makes no sense: conflicting mappings, acknowledgements of what was never sent. */
  onNonsense(what: "conflictingMapping" | "mappingBeyondWindow" | "dataAckBeyondData"): void;
}

export interface SubflowOptions {
  readonly id: number;
  readonly session: Session;
  readonly owner: SubflowOwner;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly localAddressId: number;
  readonly remoteAddressId: number;
  /** We want it used only when no other one works. */
  readonly backup: boolean;
  readonly handshake: Handshake;
  readonly initialSequence: number;
  readonly timestampOffset: number;
  readonly settings: TcpSettings;
}
