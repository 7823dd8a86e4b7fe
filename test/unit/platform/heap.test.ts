import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { WORKER_YOUNG_GENERATION_MB } from "@hybrid-access/core/platform/heap";
import { expect } from "chai";

const HEAP = import.meta.resolve("@hybrid-access/core/platform/heap");
const MEBIBYTE = 1024 * 1024;
const ALIVE = 100_000;

/** A thread in which always the last {@link ALIVE} objects are alive. It says what its young generation took up at most. */
const CHURN = `
  import { parentPort } from "node:worker_threads";
  import { getHeapSpaceStatistics } from "node:v8";
  const alive = [];
  let most = 0;
  for (let count = 0; count < 20 * ${ALIVE}; count++) {
    alive[count % ${ALIVE}] = { count, next: [count] };
    if (count % 1000 !== 0) continue;
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
    most = Math.max(most, young.physical_space_size);
  }
  parentPort.postMessage(most);
`;

/** Runs {@link CHURN} in a worker of a process of its own, whose heaps are V8's own affair or steady. Gives bytes. */
async function churn(steady: boolean): Promise<number> {
  const program = `
    import { Worker } from "node:worker_threads";
    import { steadyHeaps, WORKER_YOUNG_GENERATION_MB } from ${JSON.stringify(HEAP)};
    if (${steady}) steadyHeaps();
    const resourceLimits = ${steady} ? { maxYoungGenerationSizeMb: WORKER_YOUNG_GENERATION_MB } : {};
    const worker = new Worker(${JSON.stringify(CHURN)}, { eval: true, resourceLimits });
    worker.once("message", (most) => console.log(most));
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
  return Number(stdout);
}

describe("platform/heap", function () {
  this.timeout(60_000);

  it("keeps a worker's young objects in two thirds of what it is given, which V8 itself goes beyond", async () => {
    const bound = ((WORKER_YOUNG_GENERATION_MB * 2) / 3) * MEBIBYTE;
    expect(await churn(true)).to.be.within(1, bound);
    expect(await churn(false)).to.be.greaterThan(bound);
  });
});
