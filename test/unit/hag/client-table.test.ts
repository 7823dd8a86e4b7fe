import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { ClientTable } from "@hybrid-access/hag/client-table";
import { expect } from "chai";
import type { AdmittingSetup } from "../../support/admitting-worker.ts";

const LIMITS = { pending: 3, open: 5, newPerSecond: 10 };
const CLIENT = ipAddress("10.1.0.2");

describe("the HAG's table of clients", () => {
  /** Two workers' views of one table. */
  function workers(limits = LIMITS): [ClientTable, ClientTable] {
    const memory = ClientTable.createMemory();
    return [new ClientTable(memory, limits), new ClientTable(memory, limits)];
  }

  it("admits as many pending connections as the limit, whichever worker asks", () => {
    const [one, two] = workers();
    const admitted = [one.admit(CLIENT, 0), two.admit(CLIENT, 0), one.admit(CLIENT, 0)];
    expect(admitted.every((entry) => typeof entry === "number")).to.equal(true);
    expect(two.admit(CLIENT, 0)).to.equal("pending");
    two.leave(admitted[0] as number, false);
    expect(one.admit(CLIENT, 0)).to.be.a("number");
  });

  it("admits as many open connections as the limit, and again when one has gone", () => {
    const [one, two] = workers();
    let entry = -1;
    for (let count = 0; count < LIMITS.open; count++) {
      entry = one.admit(CLIENT, 0) as number;
      two.settle(entry);
    }
    expect(two.admit(CLIENT, 0)).to.equal("open");
    one.leave(entry, true);
    expect(two.admit(CLIENT, 0)).to.be.a("number");
  });

  it("admits as many new connections in each second of the clock as the limit", () => {
    const [one, two] = workers();
    for (const second of [0, 1, 1_800_000_000]) {
      for (let count = 0; count < LIMITS.newPerSecond; count++) {
        const entry = (count % 2 === 0 ? one : two).admit(CLIENT, second * 1000 + count);
        one.leave(entry as number, false);
      }
      expect(one.admit(CLIENT, second * 1000 + 999)).to.equal("rate");
      expect(two.admit(CLIENT, second * 1000 + 999)).to.equal("rate");
    }
  });

  it("gives a new client one entry, although two workers ask for it at the same moment", async () => {
    const setup = {
      memory: ClientTable.createMemory(),
      turns: new SharedArrayBuffer(4),
      workers: 2,
      clients: 20_000,
    } satisfies AdmittingSetup;
    const file = new URL("../../support/admitting-worker.js", import.meta.url);
    const threads = [1, 2].map(() => new Worker(file, { workerData: setup }));
    const admitted = await Promise.all(threads.map(async (thread) => (await once(thread, "message"))[0] as number));
    expect((admitted[0] ?? 0) + (admitted[1] ?? 0)).to.equal(setup.clients);
  });

  it("knows IPv4 clients by their address, IPv6 clients by their /64", () => {
    const [table] = workers({ ...LIMITS, pending: 1 });
    for (const [first, same, other] of [
      ["10.1.0.2", "10.1.0.2", "10.1.0.3"],
      ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:3::1"],
    ] as const) {
      expect(table.admit(ipAddress(first), 0)).to.be.a("number");
      expect(table.admit(ipAddress(same), 0)).to.equal("pending");
      expect(table.admit(ipAddress(other), 0)).to.be.a("number");
    }
  });

  it("gives an idle client's entry to others, never one with connections", () => {
    const [table] = workers({ pending: 1, open: 1, newPerSecond: 1_000_000 });
    const kept = ipAddress("10.0.0.1");
    table.admit(kept, 0);
    // Twice as many clients as entries, one after the other, each gone before the next second.
    for (let index = 0; index < 131_072; index++) {
      const client = ipAddress(`10.${100 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`);
      const entry = table.admit(client, 20_000 * (1 + (index >> 12)));
      if (typeof entry === "string") expect.fail(`client ${index}: ${entry}`);
      table.leave(entry, false);
    }
    expect(table.admit(kept, 10_000_000)).to.equal("pending");
  });
});
