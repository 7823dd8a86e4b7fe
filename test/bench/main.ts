/** `npm run bench -- <name> [options]`: runs one benchmark; without a name, lists them. */
import { parseArgs } from "node:util";
import { becomeRoot } from "../lab/root.ts";
import { runSession } from "../lab/session.ts";
import { type Benchmark, renderFigures, rowOf } from "./benchmark.ts";
import { BENCHMARKS } from "./index.ts";
import { type GivenOptions, OPTIONS, selectionOf } from "./selection.ts";

const USAGE_ERROR = 2;

function usage(): string {
  const width = Math.max(...Object.keys(BENCHMARKS).map((name) => name.length));
  const line = ([name, { summary, parts }]: [string, Benchmark]) => {
    const indent = " ".repeat(width + 4);
    const more = parts && `${indent}--only ${parts.only.join(",")}\n${indent}--variant "${parts.variants.join(",")}"\n`;
    return `  ${name.padEnd(width)}  ${summary}\n${more ?? ""}`;
  };
  return `usage: npm run bench -- <name> [--json] [--runs N] [--quick] [--only a,b] [--variant a,b]\n\n${Object.entries(BENCHMARKS).map(line).join("")}`;
}

function readArguments() {
  const { values, positionals } = parseArgs({ options: OPTIONS, allowPositionals: true });
  const [name, ...more] = positionals;
  if (name === undefined) return undefined;
  const benchmark = Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined;
  if (benchmark === undefined) throw new Error(`no benchmark ${name}`);
  if (more.length > 0) throw new Error("one at a time");
  const given: GivenOptions = values;
  return { json: values.json === true, benchmark, selection: selectionOf(given, benchmark) };
}

async function main(): Promise<number> {
  let given: ReturnType<typeof readArguments>;
  try {
    given = readArguments();
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n${usage()}`);
    return USAGE_ERROR;
  }
  if (given === undefined) {
    process.stdout.write(usage());
    return 0;
  }
  const { json, benchmark, selection } = given;
  return await runSession("bench", async (session) => {
    const say = (line: string) => process.stderr.write(`${line}\n`);
    const figures = await benchmark.run({ ...session, selection, say });
    process.stdout.write(json ? `${JSON.stringify({ rows: figures.map(rowOf) })}\n` : renderFigures(figures));
  });
}

becomeRoot();
process.exitCode = await main();
