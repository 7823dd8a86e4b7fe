import { expect } from "chai";
import { idleMemory, MOST_IDLE_BYTES } from "../../bench/idle-memory.ts";

const CONNECTIONS = 5000;

describe("stack: memory of idle connections", () => {
  it("is at most 4 kB of a Multipath TCP connection with one subflow, opened or accepted", async function () {
    this.timeout(60_000);
    const { opened, accepted } = await idleMemory("mptcp", CONNECTIONS);
    // Less than this no connection can have, whose keys, numbers and timers must be somewhere.
    expect(opened).to.be.within(1000, MOST_IDLE_BYTES);
    expect(accepted).to.be.within(1000, MOST_IDLE_BYTES);
  });
});
