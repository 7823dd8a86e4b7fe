import { ConnectionSweep } from "@hybrid-access/hcpe/connection-sweep";
import { expect } from "chai";

describe("hcpe/connection-sweep", () => {
  const gone: number[] = [];
  const failures: unknown[] = [];
  let asked = 0;

  function sweepOf(known: number[], kernel: number[] | Error): ConnectionSweep {
    return new ConnectionSweep({
      known: () => known,
      inKernel: () => {
        asked += 1;
        if (kernel instanceof Error) throw kernel;
        return new Set(kernel);
      },
      onGone: (token) => gone.push(token),
      onFailure: (error) => failures.push(error),
    });
  }

  beforeEach(() => {
    gone.length = 0;
    failures.length = 0;
    asked = 0;
  });

  it("tells of connections that the kernel does not have, and of no others", async () => {
    await sweepOf([1, 2, 3], [2, 4]).sweep();
    expect(gone).to.deep.equal([1, 3]);
  });

  it("does not ask the kernel while no connection is known", async () => {
    await sweepOf([], [1]).sweep();
    expect(asked).to.equal(0);
  });

  it("takes no connection for gone when the kernel does not answer, and says so once", async () => {
    const sweep = sweepOf([1], new Error("ENOBUFS"));
    await sweep.sweep();
    await sweep.sweep();
    expect({ gone, failures: failures.length, asked }).to.deep.equal({ gone: [], failures: 1, asked: 2 });
  });
});
