/** A program that uses the lab: built for it, taken down whatever happens, Ctrl-C included. */
import { HttpServer } from "./http-server.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "./pair.ts";
import type { TransferLab } from "./transfer.ts";

const SERVER_PORT = 8080;
const ENDING_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const INTERRUPTED = 130;

/** What a program gets to work with. */
export interface Session {
  /** Builds the lab with both daemons and an HTTP server. To be called once. */
  build(configs?: { hcpe?: string; hag?: string }): Promise<TransferLab>;
  /** Aborted when the program is to end early. */
  readonly signal: AbortSignal;
}

/**
 * Runs `program`, takes the lab down, and gives the exit code. A failure is one line on standard error, and exit code 1;
 * 130 when somebody ended the program.
 */
export async function runSession(name: string, program: (session: Session) => Promise<void>): Promise<number> {
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  for (const signal of ENDING_SIGNALS) process.on(signal, interrupt);
  // Whoever read the output has gone (`| head`).
  process.stdout.on("error", interrupt);
  process.stderr.on("error", interrupt);
  let pair: Pair | undefined;
  let server: HttpServer | undefined;
  const build = async ({ hcpe = HCPE_CONFIG, hag = HAG_CONFIG } = {}): Promise<TransferLab> => {
    pair = await Pair.up({ hcpe, hag });
    server = new HttpServer(pair.lab, "srv", SERVER_PORT);
    return { pair, server };
  };
  try {
    await program({ build, signal: stop.signal });
    return 0;
  } catch (error) {
    process.stderr.write(`${name}: ${stop.signal.aborted ? "interrupted, the lab is taken down" : oneLine(error)}\n`);
    return stop.signal.aborted ? INTERRUPTED : 1;
  } finally {
    await server?.close();
    await pair?.down();
    for (const signal of ENDING_SIGNALS) process.off(signal, interrupt);
  }
}

/** What failed, and why: what a command said on standard error, or the last thing a daemon logged. */
function oneLine(error: unknown): string {
  const { message, stderr = "" } =
    error instanceof Error ? (error as Error & { stderr?: string }) : { message: String(error) };
  const [what = "", ...rest] = nonEmptyLines(message);
  const why = nonEmptyLines(stderr).at(0) ?? rest.at(-1) ?? "";
  return `${what} ${why}`.trim();
}

function nonEmptyLines(text: string): string[] {
  return text.split("\n").filter((line) => line.trim() !== "");
}
