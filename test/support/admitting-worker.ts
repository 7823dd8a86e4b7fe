/** A worker thread that asks a table of clients in step with another: both at the same moment for the same new client. */
import { parentPort, workerData } from "node:worker_threads";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { ClientTable } from "@hybrid-access/hag/client-table";

export interface AdmittingSetup {
  readonly memory: SharedArrayBuffer;
  /** One word: how often a worker has been ready. */
  readonly turns: SharedArrayBuffer;
  readonly workers: number;
  readonly clients: number;
}

/** The client of a round, never the same one twice. */
function clientOf(round: number) {
  return ipAddress(`10.${round >> 16}.${(round >> 8) & 255}.${round & 255}`);
}

/** Spins at most: far longer than the other one needs when it runs, and nothing when it does not. */
const MOST_SPINS = 10_000;

const { memory, turns, workers, clients } = workerData as AdmittingSetup;
const table = new ClientTable(memory, { pending: 1, open: 1, newPerSecond: 100 });
const ready = new Int32Array(turns);
let admitted = 0;
for (let round = 0; round < clients; round++) {
  const client = clientOf(round);
  Atomics.add(ready, 0, 1);
  Atomics.notify(ready, 0);
  awaitOthers(workers * (round + 1));
  if (typeof table.admit(client, 0) === "number") admitted++;
}
parentPort?.postMessage(admitted);

/** Returns in the moment in which all are ready; where the other one has no CPU, it gets this one's. */
function awaitOthers(turn: number): void {
  for (let spins = 0; ; spins++) {
    const seen = Atomics.load(ready, 0);
    if (seen >= turn) return;
    if (spins >= MOST_SPINS) Atomics.wait(ready, 0, seen);
  }
}
