/**
 * Loaded into a daemon before its own code (NODE_OPTIONS=--import), in each of its threads: a worker whose number is the name
 * of a file in MORTAL_WORKERS dies in the middle of its loop, in the way that the file says, as it would by a defect.
 */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isMainThread, workerData } from "node:worker_threads";

/** Ways to die. */
export type Death = keyof typeof DEATHS;

const DEATHS = {
  throws(): void {
    throw new Error("a defect");
  },
  exits(): void {
    process.exit(7);
  },
} as const;

const directory = process.env.MORTAL_WORKERS;

if (!isMainThread && directory !== undefined) {
  const { environment } = workerData as { environment: { index: number } };
  const order = join(directory, String(environment.index));
  // A worker's loop looks at the clock once in every turn.
  const { performance } = globalThis;
  const now = performance.now.bind(performance);
  performance.now = () => {
    if (existsSync(order)) {
      const death = readFileSync(order, "utf8") as Death;
      rmSync(order);
      DEATHS[death]();
    }
    return now();
  };
}
