/** Messages between a lab and its link emulator, over Node's IPC channel. */
import type { LinkCounters, LinkOptions } from "@hybrid-access/core/testing/link";
import type { Emulation } from "./topology.ts";

/** An interface in a network namespace. */
export interface Place {
  readonly namespacePath: string;
  readonly name: string;
}

/**
 * An end of an emulated link. With a `wire`, the node's interface is one end of a cable and `wire` the other, on which
 * the emulator sits; without, the emulator makes the interface itself, a TUN device.
 */
export interface EmulatedEnd extends Place {
  readonly wire?: Place;
}

/** The hardware address of every interface that has a wire: nobody asks, so all may have the same. */
export const WIRED_HARDWARE_ADDRESS = [0x02, 0, 0, 0, 0, 1] as const;

export interface EmulatedLink {
  readonly name: string;
  readonly ends: readonly EmulatedEnd[];
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
