/** `npm run simulate -- --seeds 100000`: many seeds of every scenario, or of one; prints figures, or the seed that fails. */
import { parseArgs } from "node:util";
import { SCENARIOS } from "./scenarios.ts";
import { FailedSeed, runSeeds, type SeedTotals } from "./seeds.ts";

const HOUR_MS = 3_600_000;

function figures(name: string, { seeds, virtualMs, packets, outcomes, counts, wallMs }: SeedTotals): string {
  const hours = (virtualMs / HOUR_MS).toFixed(1);
  const rate = Math.round((1000 * packets) / wallMs);
  const ended = Object.entries(outcomes).map(([outcome, count]) => `${count} ${outcome}`);
  const counted = Object.entries(counts).map(([what, count]) => `\n  ${count} ${what}`);
  const memory = `${Math.round(process.resourceUsage().maxRSS / 1000)} MB of memory at most`;
  return `${name}: ${seeds} seeds, ${hours} virtual hours, ${packets} segments, ${rate} segments per second, ${Math.round(wallMs / 1000)} s, ${memory}; connections: ${ended.join(", ")}${counted.join("")}`;
}

function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,10}$/.test(text)) throw new RangeError(`--${option} ${text}: not a whole number`);
  return Number(text);
}

function main(): number {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "1000" },
      first: { type: "string", default: "1" },
      scenario: { type: "string" },
    },
  });
  const range = { first: wholeNumber("first", values.first), count: wholeNumber("seeds", values.seeds) };
  const chosen = SCENARIOS.filter(({ name }) => values.scenario === undefined || name === values.scenario);
  if (chosen.length === 0) {
    throw new RangeError(
      `no scenario is called ${values.scenario}: there are ${SCENARIOS.map(({ name }) => name).join(", ")}`,
    );
  }
  for (const scenario of chosen) process.stdout.write(`${figures(scenario.name, runSeeds(scenario, range))}\n`);
  return 0;
}

try {
  process.exitCode = main();
} catch (error) {
  const isExpected = error instanceof FailedSeed || error instanceof RangeError || error instanceof TypeError;
  if (!isExpected) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
