import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { ClientSlots } from "@hybrid-access/hag/client-slots";
import { ClientTable } from "@hybrid-access/hag/client-table";
import { expect } from "chai";

const CLIENT = ipAddress("10.1.1.2");
const LIMITS = { pending: 2, open: 3, newPerSecond: 1000 };
const CAPACITY = 8;

describe("hag/client-slots", () => {
  let table: ClientTable;
  let memory: SharedArrayBuffer;

  beforeEach(() => {
    table = new ClientTable(ClientTable.createMemory(), LIMITS);
    memory = ClientSlots.createMemory(CAPACITY, 2);
  });

  function admit(slots: ClientSlots, slot: number): void {
    const entry = table.admit(CLIENT, 0);
    if (typeof entry === "string") throw new Error(entry);
    slots.take(slot, entry);
  }

  it("gives back what a dead worker's connections held, settled or not, and nothing of another worker's", () => {
    const dead = new ClientSlots(memory, CAPACITY, 0);
    const other = new ClientSlots(memory, CAPACITY, 1);
    admit(dead, 0);
    dead.settle(0, table);
    admit(dead, CAPACITY - 1);
    admit(other, 0);
    expect(table.admit(CLIENT, 0)).to.equal("pending");
    new ClientSlots(memory, CAPACITY, 0).leaveAll(table);
    other.settle(0, table);
    admit(dead, 1);
    dead.settle(1, table);
    admit(dead, 2);
    expect(table.admit(CLIENT, 0)).to.equal("open");
  });

  it("gives each connection back once", () => {
    const slots = new ClientSlots(memory, CAPACITY, 0);
    admit(slots, 0);
    slots.leave(0, table);
    slots.leave(0, table);
    slots.leaveAll(table);
    for (let slot = 0; slot < LIMITS.pending; slot++) admit(slots, slot);
    expect(table.admit(CLIENT, 0)).to.equal("pending");
  });
});
