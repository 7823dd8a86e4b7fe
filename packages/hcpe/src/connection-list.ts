/**
 * Which connections are open: what only the workers know of them (whose they are, where they go), asked for by the
 * control plane when somebody wants to see it. Until then it costs the data path nothing.
 */
import type { Endpoint } from "@hybrid-access/core/base/ip-address";
import { FAR, NEAR, type Relay } from "@hybrid-access/core/dataplane/relay";
import type { WorkerPool, WorkerReport } from "@hybrid-access/core/dataplane/worker-pool";
import type { Engine } from "@hybrid-access/core/engine/engine";

/** A question to every worker. */
export interface ConnectionQuestion {
  readonly type: "listConnections";
  readonly question: number;
  /** No more than this from one worker. */
  readonly most: number;
}

/** One connection, as its worker sees it. */
export interface CarriedConnection {
  readonly client: Endpoint;
  readonly destination: Endpoint;
  /** Our end toward the gateway or, when it went direct, the server; undefined while it is being opened. */
  readonly outside: Endpoint | undefined;
}

/** A worker's answer. */
export interface ConnectionAnswer extends WorkerReport {
  readonly type: "connections";
  readonly question: number;
  readonly connections: readonly CarriedConnection[];
}

/** The worker's side. */
export function answerConnections(
  { question, most }: ConnectionQuestion,
  engine: Engine,
  relay: Relay,
  capacity: number,
): ConnectionAnswer {
  const connections: CarriedConnection[] = [];
  for (let slot = 0; slot < capacity && connections.length < most; slot++) {
    const near = relay.leg(slot, NEAR);
    if (near < 0) continue;
    const client = engine.remoteEndpoint(near);
    const destination = engine.localEndpoint(near);
    const far = relay.leg(slot, FAR);
    // A client that has just reset has no address any more.
    if (client === undefined || destination === undefined) continue;
    connections.push({ client, destination, outside: far < 0 ? undefined : engine.localEndpoint(far) });
  }
  return { type: "connections", question, connections };
}

/** A worker answers between two turns of its loop; one that does not is busy or gone. */
const ANSWER_LIMIT_MS = 2000;

interface Pending {
  readonly connections: CarriedConnection[];
  missing: number;
  readonly done: () => void;
}

/** The control plane's side. */
export class ConnectionList {
  readonly #pending = new Map<number, Pending>();
  #questions = 0;

  /** At most `most` from each worker; without those of workers that do not answer within 2 s. */
  async ask(pool: Pick<WorkerPool, "broadcast">, workers: number, most: number): Promise<readonly CarriedConnection[]> {
    this.#questions += 1;
    const question = this.#questions;
    const connections: CarriedConnection[] = [];
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ANSWER_LIMIT_MS);
      const done = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#pending.set(question, { connections, missing: workers, done });
      pool.broadcast({ type: "listConnections", question, most } satisfies ConnectionQuestion);
    });
    this.#pending.delete(question);
    return connections;
  }

  onAnswer({ question, connections }: ConnectionAnswer): void {
    const pending = this.#pending.get(question);
    if (pending === undefined) return;
    pending.connections.push(...connections);
    pending.missing -= 1;
    if (pending.missing === 0) pending.done();
  }
}
