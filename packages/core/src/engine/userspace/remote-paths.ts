/** Path control of the userspace engine on the control plane's thread: its legs, and what it decides about, are in the workers. */
import type { Endpoint } from "../../base/ip-address.ts";
import type { PathCommand, PathEvent } from "../../policy/path-manager/path-manager.ts";
import type { PathControl } from "../engine.ts";
import type { WorkerQuestions } from "./worker-questions.ts";

export class RemotePathControl implements PathControl {
  readonly unknownEvents = 0;
  readonly #questions: WorkerQuestions;
  /** Tokens of the open connections of each worker. */
  readonly #tokens: readonly Set<number>[];
  #listener: (event: PathEvent) => void = () => {};

  constructor(questions: WorkerQuestions, workers: number) {
    this.#questions = questions;
    this.#tokens = Array.from({ length: workers }, () => new Set<number>());
  }

  onEvent(listener: (event: PathEvent) => void): void {
    this.#listener = listener;
  }

  async execute(command: PathCommand): Promise<boolean> {
    return (await this.#questions.ask({ about: "command", command })).includes(true);
  }

  onEvents(worker: number, events: readonly PathEvent[]): void {
    const tokens = this.#tokens[worker];
    for (const event of events) {
      if (event.type === "connectionClosed") tokens?.delete(event.token);
      else tokens?.add(event.token);
      this.#listener(event);
    }
  }

  /** A worker has ended without a word about its connections. */
  onWorkerDeath(worker: number): void {
    const tokens = this.#tokens[worker];
    for (const token of tokens ?? []) this.#listener({ type: "connectionClosed", token });
    tokens?.clear();
  }

  close(): void {
    this.#listener = () => {};
  }
}

/** Whether some worker has ended the subflow with these ends by a reset. */
export async function resetSubflow(
  questions: WorkerQuestions,
  { local, remote }: { readonly local: Endpoint; readonly remote: Endpoint },
): Promise<boolean> {
  return (await questions.ask({ about: "reset", local, remote })).includes(true);
}
