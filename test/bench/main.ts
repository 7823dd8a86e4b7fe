/** `npm run bench -- <name> [--json]`: runs one benchmark; without a name, lists them. */
import { parseArgs } from "node:util";
import { becomeRoot } from "../lab/root.ts";
import { runSession } from "../lab/session.ts";
import { renderRows, rowOf } from "./benchmark.ts";
import { BENCHMARKS } from "./index.ts";

const USAGE_ERROR = 2;

function usage(): string {
  const width = Math.max(...Object.keys(BENCHMARKS).map((name) => name.length));
  const list = Object.entries(BENCHMARKS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}\n`);
  return `usage: npm run bench -- <name> [--json]\n\n${list.join("")}`;
}

function readArguments() {
  try {
    const { values, positionals } = parseArgs({ options: { json: { type: "boolean" } }, allowPositionals: true });
    return { json: values.json === true, names: positionals };
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n${usage()}`);
    return undefined;
  }
}

async function main(): Promise<number> {
  const given = readArguments();
  if (given === undefined) return USAGE_ERROR;
  const { json, names } = given;
  const [name, ...more] = names;
  if (name === undefined) {
    process.stdout.write(usage());
    return 0;
  }
  const benchmark = Object.hasOwn(BENCHMARKS, name) ? BENCHMARKS[name] : undefined;
  if (benchmark === undefined || more.length > 0) {
    process.stderr.write(`bench: ${benchmark === undefined ? `no benchmark ${name}` : "one at a time"}\n${usage()}`);
    return USAGE_ERROR;
  }
  return await runSession("bench", async (session) => {
    const say = (line: string) => process.stderr.write(`${line}\n`);
    const rows = (await benchmark.run({ ...session, say })).map(rowOf);
    process.stdout.write(json ? `${JSON.stringify({ rows })}\n` : renderRows(rows));
  });
}

becomeRoot();
process.exitCode = await main();
