/** What must work between the userspace engine and Linux, as data: docs/interoperation.md shows the same table. */
import type { Family } from "@hybrid-access/core/base/ip-address";
import type { HostKind, LabBench } from "../conformance/lab-bench.ts";
import { ENDING_CELLS } from "./ending-cells.ts";
import { MIDDLEBOX_CELLS } from "./middlebox-cells.ts";
import { PATH_CELLS } from "./path-cells.ts";
import { STREAM_CELLS } from "./stream-cells.ts";

/** Where a cell of the matrix is run. */
export interface Setting {
  readonly bench: LabBench;
  readonly family: Family;
}

/** One row; each pairing with each family is a column. */
export interface Cell {
  readonly name: string;
  run(setting: Setting): Promise<void>;
}

/** Who opens connections, and who takes them. */
export interface Pairing {
  readonly name: string;
  readonly client: HostKind;
  readonly server: HostKind;
}

export const PAIRINGS: readonly Pairing[] = [
  { name: "a userspace client and a Linux server", client: "userspace", server: "kernel" },
  { name: "a Linux client and a userspace server", client: "kernel", server: "userspace" },
];

export const FAMILIES: readonly Family[] = ["ipv4", "ipv6"];

export const CELLS: readonly Cell[] = [...STREAM_CELLS, ...PATH_CELLS, ...ENDING_CELLS, ...MIDDLEBOX_CELLS];
