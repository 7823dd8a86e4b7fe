/** NewReno: RFC 5681. Each subflow by itself. */
import type { CongestionAlgorithm } from "./congestion.ts";
import { RENO_RULE, RenoControl } from "./reno-control.ts";

export const NEW_RENO: CongestionAlgorithm = {
  name: "reno",
  create: (segmentBytes) => new RenoControl(segmentBytes, RENO_RULE),
};
