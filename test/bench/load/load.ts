/** The load generator as the benchmark sees it: starts its client and its server, and asks the client for loads. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { OneCore } from "../one-core.ts";
import type { LoadReply, LoadRequest, LoadResult } from "./protocol.ts";

/** For the processes to start. */
const START_LIMIT_MS = 15_000;

function script(name: string): string[] {
  return [process.execPath, fileURLToPath(new URL(`./${name}.js`, import.meta.url))];
}

/** Where the server runs, and what it listens for. */
export interface LoadServer {
  readonly node: string;
  readonly protocol: "mptcp" | "tcp";
}

export class Load {
  readonly #client: ChildProcess;
  readonly #signal: AbortSignal;

  private constructor(client: ChildProcess, signal: AbortSignal) {
    this.#client = client;
    this.#signal = signal;
  }

  /**
   * Starts the client on "lan", the server in its node, as the group "load" of the CPU's meter. Both end with the lab.
   */
  static async start(host: OneCore, server: LoadServer, signal: AbortSignal): Promise<Load> {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(START_LIMIT_MS)]);
    const command = [...script("server"), server.protocol];
    const { stdout } = host.spawn(server.node, "load", command, { stdio: ["ignore", "pipe", 2] });
    if (stdout !== null) await once(stdout, "data", { signal: limit });
    const client = host.spawn("lan", "load", script("client"), { stdio: ["ignore", 2, 2, "ipc"] });
    await once(client, "message", { signal: limit });
    return new Load(client, signal);
  }

  /** Carries one load out. Throws when it failed. */
  async run(request: LoadRequest): Promise<LoadResult> {
    const exited = new AbortController();
    const onExit = () => exited.abort();
    this.#client.once("exit", onExit);
    try {
      const answer = once(this.#client, "message", { signal: AbortSignal.any([this.#signal, exited.signal]) });
      this.#client.send(request);
      const [reply] = (await answer) as [LoadReply];
      if ("error" in reply) throw new Error(`${request.load}: ${reply.error}`);
      return reply.result;
    } catch (error) {
      throw exited.signal.aborted ? new Error("the load generator's client ended", { cause: error }) : error;
    } finally {
      this.#client.off("exit", onExit);
    }
  }
}
