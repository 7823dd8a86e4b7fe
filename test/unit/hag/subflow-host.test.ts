import type { AcceptedPaths } from "@hybrid-access/core/engine/engine";
import { SubflowHost } from "@hybrid-access/hag/subflow-host";
import { expect } from "chai";
import { pino } from "pino";

/** A kernel whose own limit is 2, and that writes down what it is told. */
class Paths implements AcceptedPaths {
  readonly told: number[] = [];
  refuses = false;

  get furtherSubflows(): number {
    return this.told.at(-1) ?? 2;
  }
  set furtherSubflows(subflows: number) {
    if (this.refuses) throw new Error("refused");
    this.told.push(subflows);
  }
  denyInitialJoins(): void {}
  announce(): void {}
  withdraw(): void {}
  async samples() {
    return { connections: [], subflows: [] };
  }
  resetSubflow(): boolean {
    return false;
  }
  close(): void {}
}

describe("the gateway's limits on subflows", () => {
  function host() {
    const lines: string[] = [];
    const paths = new Paths();
    const log = pino({}, { write: (line: string) => lines.push((JSON.parse(line) as { msg: string }).msg) });
    return { paths, lines, host: new SubflowHost(paths, log) };
  }

  it("of one connection are the kernel's, told once, and its own come back at the end", async () => {
    const { paths, host: subflows } = host();
    subflows.limit({ perConnection: 4, total: 100 });
    subflows.count(50);
    subflows.count(99);
    expect(paths.told).to.deep.equal([3]);
    subflows.limit({ perConnection: 6, total: 100 });
    expect(paths.told).to.deep.equal([3, 5]);
    await subflows.close(() => {});
    expect(paths.told).to.deep.equal([3, 5, 2]);
  });

  it("of all connections: no further ones are taken at the total, until there is room to spare", () => {
    const { paths, lines, host: subflows } = host();
    subflows.limit({ perConnection: 4, total: 100 });
    subflows.count(100);
    expect(subflows.isFull).to.equal(true);
    for (const open of [250, 99, 91]) subflows.count(open);
    expect(paths.told).to.deep.equal([3, 0]);
    subflows.count(90);
    expect(subflows.isFull).to.equal(false);
    subflows.count(99);
    expect(paths.told).to.deep.equal([3, 0, 3]);
    expect(lines).to.deep.equal(["too many subflows, no further ones are taken", "subflows are taken again"]);
  });

  it("of all connections count at once when they are changed", () => {
    const { paths, host: subflows } = host();
    subflows.limit({ perConnection: 4, total: 100 });
    subflows.count(60);
    subflows.limit({ perConnection: 4, total: 50 });
    subflows.limit({ perConnection: 8, total: 50 });
    expect(paths.told).to.deep.equal([3, 0]);
    subflows.limit({ perConnection: 8, total: 100 });
    expect(paths.told).to.deep.equal([3, 0, 7]);
  });

  it("are told again where the kernel has refused them", () => {
    const { paths, lines, host: subflows } = host();
    subflows.limit({ perConnection: 4, total: 100 });
    paths.refuses = true;
    for (let looks = 0; looks < 3; looks++) subflows.count(100);
    expect(lines).to.deep.equal(["too many subflows, no further ones are taken", "subflows cannot be limited"]);
    paths.refuses = false;
    subflows.count(100);
    expect(paths.told).to.deep.equal([3, 0]);
    paths.refuses = true;
    expect(() => subflows.limit({ perConnection: 4, total: 1000 })).to.throw("refused");
  });
});
