import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { WORKER_YOUNG_GENERATION_MB } from "@hybrid-access/core/platform/heap";
import { expect } from "chai";

const HEAP = import.meta.resolve("@hybrid-access/core/platform/heap");
const MEBIBYTE = 1024 * 1024;
const ALIVE = 100_000;

/** A program for a thread in which always the last {@link ALIVE} objects are alive. It says what its young generation took up at most. */
const CHURN = `
  import { getHeapSpaceStatistics } from "node:v8";
  const alive = [];
  let most = 0;
  for (let count = 0; count < 20 * ${ALIVE}; count++) {
    alive[count % ${ALIVE}] = { count, next: [count] };
    if (count % 1000 !== 0) continue;
    const young = getHeapSpaceStatistics().find(({ space_name }) => space_name === "new_space");
    most = Math.max(most, young.physical_space_size);
  }
  console.log(most);
`;

/** On the main thread. */
const CHURN_HERE = `await import(${JSON.stringify(`data:text/javascript,${encodeURIComponent(CHURN)}`)});`;
/** In a worker as the pool starts it. */
const CHURN_IN_WORKER = `
  import { Worker } from "node:worker_threads";
  import { WORKER_YOUNG_GENERATION_MB } from ${JSON.stringify(HEAP)};
  const resourceLimits = steady ? { maxYoungGenerationSizeMb: WORKER_YOUNG_GENERATION_MB } : {};
  new Worker(${JSON.stringify(CHURN)}, { eval: true, resourceLimits });
`;

/** Runs a program that has {@link CHURN} in a process of its own, whose heaps are V8's own affair or steady. Gives bytes. */
async function churn(where: string, steady: boolean): Promise<number> {
  const program = `
    import { steadyHeaps } from ${JSON.stringify(HEAP)};
    const steady = ${steady};
    if (steady) steadyHeaps();
    ${where}
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program]);
  return Number(stdout);
}

describe("platform/heap", function () {
  this.timeout(60_000);

  it("keeps a worker's young objects in two thirds of what it is given, which V8 itself goes beyond", async () => {
    const bound = ((WORKER_YOUNG_GENERATION_MB * 2) / 3) * MEBIBYTE;
    expect(await churn(CHURN_IN_WORKER, true)).to.be.within(1, bound);
    expect(await churn(CHURN_IN_WORKER, false)).to.be.greaterThan(bound);
  });

  it("keeps the main thread's young objects in what it has at its start, which V8 itself goes beyond", async () => {
    const bound = 4 * MEBIBYTE;
    expect(await churn(CHURN_HERE, true)).to.be.within(1, bound);
    expect(await churn(CHURN_HERE, false)).to.be.greaterThan(bound);
  });
});
