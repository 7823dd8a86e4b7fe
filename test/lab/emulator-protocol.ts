/** Messages between a lab and its link emulator, over Node's IPC channel. */
import type { LinkCounters, LinkOptions } from "@hybrid-access/core/testing/link";
import type { Emulation } from "./topology.ts";

/** An emulated link with the namespaces its ends live in. */
export interface EmulatedLink {
  readonly name: string;
  readonly ends: readonly { readonly namespacePath: string; readonly name: string }[];
  readonly emulation: Emulation;
}

export type Direction = "forward" | "backward";

export type EmulatorAction =
  | { readonly action: "open"; readonly links: readonly EmulatedLink[]; readonly seed: number }
  | {
      readonly action: "configure";
      readonly link: string;
      readonly direction: Direction;
      readonly options: LinkOptions;
    }
  | { readonly action: "carrier"; readonly link: string; readonly present: boolean }
  /** Writes both directions' packets to a pcapng file from now on; null ends it. */
  | { readonly action: "capture"; readonly link: string; readonly path: string | null }
  | { readonly action: "counters" };

export type EmulatorRequest = EmulatorAction & { readonly id: number };

export type EmulatorCounters = Readonly<Record<string, Readonly<Record<Direction, LinkCounters>>>>;

export interface EmulatorReply {
  readonly id: number;
  readonly result: EmulatorCounters | null;
  readonly error?: string;
}
