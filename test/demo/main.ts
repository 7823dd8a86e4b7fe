/** `npm run demo [-- --json]`: shows the pair at work and what it reaches. */
import { parseArgs } from "node:util";
import { SHARE_GOAL } from "../lab/aggregation.ts";
import { becomeRoot } from "../lab/root.ts";
import { runSession } from "../lab/session.ts";
import { runDemo } from "./demo.ts";
import { displayFor } from "./display.ts";
import { tableAsData } from "./render.ts";

const USAGE = `usage: npm run demo [-- --json]

Downloads and uploads with curl through a lab of network namespaces, for about three minutes: over DSL alone, LTE alone,
and both. --json prints one JSON object with the table's figures on standard output, and the rest on standard error.
`;

function readArguments(): { json?: boolean; help?: boolean } | undefined {
  try {
    return parseArgs({ options: { json: { type: "boolean" }, help: { type: "boolean", short: "h" } } }).values;
  } catch (error) {
    process.stderr.write(`demo: ${(error as Error).message}\n${USAGE}`);
    return undefined;
  }
}

async function main(): Promise<number> {
  const options = readArguments();
  if (options === undefined) return 2;
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  return await runSession("demo", async ({ build, signal }) => {
    const display = displayFor(options.json ? process.stderr : process.stdout, process.env);
    const startMs = performance.now();
    const rows = await runDemo(build, display, signal);
    display.print(`Took ${((performance.now() - startMs) / 60_000).toFixed(1)} minutes.`);
    if (options.json) process.stdout.write(`${JSON.stringify(tableAsData(rows, SHARE_GOAL))}\n`);
  });
}

becomeRoot();
process.exitCode = await main();
