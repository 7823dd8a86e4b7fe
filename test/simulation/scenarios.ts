/** Every scenario, by its name. */
import { ECHO_SCENARIO } from "./echo-scenario.ts";
import { FUZZ_SCENARIO } from "./fuzz-scenario.ts";
import { MPTCP_SCENARIO } from "./mptcp-scenario.ts";
import type { Scenario } from "./scenario.ts";
import { TCP_SCENARIO } from "./tcp-scenario.ts";

export const SCENARIOS: readonly Scenario[] = [ECHO_SCENARIO, TCP_SCENARIO, MPTCP_SCENARIO, FUZZ_SCENARIO];
