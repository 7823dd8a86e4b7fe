/** Every congestion control there is, by name. A new one is a file of this folder and a line here. */
import type { CongestionAlgorithm } from "./congestion.ts";
import { CUBIC } from "./cubic.ts";
import { NEW_RENO } from "./new-reno.ts";

export const CONGESTION_ALGORITHMS: readonly CongestionAlgorithm[] = [CUBIC, NEW_RENO];
