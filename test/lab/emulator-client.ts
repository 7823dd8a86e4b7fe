/** Starts the link emulator and talks to it. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { EmulatorAction, EmulatorCounters, EmulatorReply } from "./emulator-protocol.ts";

export class EmulatorClient {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (reply: EmulatorReply) => void; reject: (error: Error) => void }>();
  #nextId = 1;

  constructor() {
    this.#process = fork(fileURLToPath(new URL("./emulator.js", import.meta.url)), { stdio: ["ignore", 2, 2, "ipc"] });
    this.#process.on("message", (reply: EmulatorReply) => {
      this.#waiting.get(reply.id)?.resolve(reply);
      this.#waiting.delete(reply.id);
    });
    this.#process.on("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the link emulator ended (${code ?? signal})`));
      this.#waiting.clear();
    });
  }

  /** Sends a request and waits for its answer; a request the emulator could not carry out rejects. */
  async request(action: EmulatorAction): Promise<EmulatorCounters | null> {
    const id = this.#nextId++;
    const reply = await new Promise<EmulatorReply>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ ...action, id });
    });
    if (reply.error !== undefined) throw new Error(`link emulator: ${reply.error}`);
    return reply.result;
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, "exit");
    this.#process.disconnect();
    await exited;
  }
}
