/** What the userspace engine does for every connection that is accepted, told to the workers by the control plane. */
import { type Endpoint, equalEndpoints } from "../../base/ip-address.ts";
import { ERRNO, SystemError } from "../../platform/errno.ts";
import type { SubflowPath } from "../../policy/path-manager/path-manager.ts";
import { type PathSamples, pathSamples } from "../../policy/path-manager/samples.ts";
import { DEFAULT_MPTCP_SETTINGS } from "../../stack/mptcp/settings.ts";
import type { AcceptedPaths } from "../engine.ts";
import type { AcceptedRules } from "./messages.ts";
import { resetSubflow } from "./remote-paths.ts";
import type { WorkerQuestions } from "./worker-questions.ts";

export interface RemoteAcceptedPathsOptions {
  readonly questions: WorkerQuestions;
  /** The rules have changed. */
  readonly onRules: () => void;
  /** Whether packets to this address come to the engine, now that it is announced. */
  readonly serves: (end: Endpoint) => boolean;
}

/** Identifiers of addresses have 8 bits; 0 is that of the initial subflow (RFC 8684 section 3.4). */
const MOST_ANNOUNCED = 255;

export class RemoteAcceptedPaths implements AcceptedPaths {
  readonly #options: RemoteAcceptedPathsOptions;
  readonly #announced = new Map<number, Endpoint>();
  #furtherSubflows = DEFAULT_MPTCP_SETTINGS.mostSubflows - 1;
  #refusesJoins = false;

  constructor(options: RemoteAcceptedPathsOptions) {
    this.#options = options;
  }

  get rules(): AcceptedRules {
    const announced = Array.from(this.#announced, ([addressId, end]) => ({ addressId, end }));
    return { mostSubflows: this.#furtherSubflows + 1, refusesJoins: this.#refusesJoins, announced };
  }

  denyInitialJoins(): void {
    this.#refusesJoins = true;
  }

  get furtherSubflows(): number {
    return this.#furtherSubflows;
  }

  set furtherSubflows(subflows: number) {
    this.#furtherSubflows = subflows;
    this.#options.onRules();
  }

  announce(end: Endpoint): void {
    const addressId = this.#freeId();
    if (addressId === undefined) throw new SystemError(ERRNO.ENOBUFS, "announce an address");
    this.#announced.set(addressId, end);
    if (!this.#options.serves(end)) {
      this.#announced.delete(addressId);
      throw new SystemError(ERRNO.EADDRNOTAVAIL, "announce an address");
    }
    this.#options.onRules();
  }

  #freeId(): number | undefined {
    for (let id = 1; id <= MOST_ANNOUNCED; id++) if (!this.#announced.has(id)) return id;
    return undefined;
  }

  withdraw(end: Endpoint): void {
    for (const [id, announced] of this.#announced) if (equalEndpoints(announced, end)) this.#announced.delete(id);
    this.#options.onRules();
  }

  async samples(): Promise<PathSamples> {
    const { questions } = this.#options;
    const [connections, subflows] = await Promise.all([
      questions.ask({ about: "connections" }),
      questions.ask({ about: "subflows" }),
    ]);
    return pathSamples({ connections: connections.flat(), subflows: subflows.flat() });
  }

  async resetSubflow(ends: Pick<SubflowPath, "local" | "remote">): Promise<boolean> {
    return await resetSubflow(this.#options.questions, ends);
  }

  close(): void {}
}
