/** What the reconciler is told by the configuration. */
import type { Flow } from "../rules.ts";
import type { SubflowLimits } from "./limits.ts";
import type { UplinkRate } from "./load.ts";
import type { SubflowPolicy } from "./path-manager.ts";

/** A policy by its name, and the gateway's port for further subflows, where it is not the initial one. */
export interface PolicyChoice {
  readonly policy: string;
  readonly joinPort?: number;
}

/** When a connection gets further subflows: at the earlier of both moments; at once where both are 0. */
export interface Hold {
  /** How old it must be; 0: its age does not matter. */
  readonly ms: number;
  /** How much payload it must have carried, both directions together; 0: that does not matter. */
  readonly bytes: number;
}

export interface ReconcilerSettings {
  /** By name; the first one is for connections whose policy does not exist. */
  readonly policies: readonly SubflowPolicy[];
  /** Which policy a connection is under; what it carries is not always known. */
  readonly choose: (flow: Flow | undefined) => PolicyChoice;
  readonly limits: SubflowLimits;
  readonly hold: Hold;
  /** How long a new subflow is backup, whatever its policy wants: so long it carries nothing (docs/adr/0015). */
  readonly settleMs: number;
  /** How long a connection waits to be described before it is judged without; 0 where that makes no difference. */
  readonly descriptionMs: number;
  readonly rates: ReadonlyMap<string, UplinkRate>;
}
