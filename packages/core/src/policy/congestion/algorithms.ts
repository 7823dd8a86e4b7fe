/** Every congestion control there is, by name. A new one is a file of this folder and a line here. */
import { BALIA } from "./balia.ts";
import type { CongestionAlgorithm } from "./congestion.ts";
import { CUBIC } from "./cubic.ts";
import { LIA } from "./lia.ts";
import { NEW_RENO } from "./new-reno.ts";
import { OLIA } from "./olia.ts";
import { WEIGHTED_VEGAS } from "./weighted-vegas.ts";

export const CONGESTION_ALGORITHMS: readonly CongestionAlgorithm[] = [
  CUBIC,
  NEW_RENO,
  LIA,
  OLIA,
  BALIA,
  WEIGHTED_VEGAS,
];
