import { expect } from "chai";
import { Home, LTE, settings, shape } from "./fixture.ts";

const ONE = ["dsl>9:5124"];
const BOTH = ["dsl>9:5124", "lte>9:5124"];

/** A home that holds connections back, and one connection of it. */
function held(ms: number, bytes: number) {
  const home = new Home(settings("aggregate", { hold: { ms, bytes } }));
  const connection = home.connect();
  const { token } = connection;
  const carry = (sent: number, received: number) => {
    const sample = { token, sentBytes: sent, acknowledgedBytes: sent, receivedBytes: received };
    home.run(home.reconciler.onSubflowSamples({ subflows: [], connections: [sample] }, home.nowMs));
  };
  return { home, connection, carry };
}

describe("connections that may be short", () => {
  it("get a second subflow when they are old enough", () => {
    const { home, connection } = held(500, 0);
    home.pass(499);
    expect(shape(connection)).to.deep.equal(ONE);
    expect(home.reconciler.waitsForBytes).to.equal(false);
    home.pass(1);
    expect(shape(connection)).to.deep.equal(BOTH);
  });

  it("get it when they have carried enough, both directions together, however old they are", () => {
    const { home, connection, carry } = held(0, 100_000);
    home.pass(3_600_000);
    carry(49_999, 50_000);
    expect(shape(connection)).to.deep.equal(ONE);
    expect(home.reconciler.waitsForBytes).to.equal(true);
    carry(50_000, 50_000);
    expect(shape(connection)).to.deep.equal(BOTH);
    expect(home.reconciler.waitsForBytes).to.equal(false);
  });

  it("get it at the earlier of both", () => {
    const early = held(500, 100_000);
    early.carry(0, 100_000);
    expect(shape(early.connection)).to.deep.equal(BOTH);
    const late = held(500, 100_000);
    late.home.pass(500);
    expect(shape(late.connection)).to.deep.equal(BOTH);
  });

  it("get another one at once when the only one was lost, and nothing is waited for when they have gone", () => {
    const { home, connection } = held(0, 100_000);
    home.uplinks([LTE]);
    expect(shape(connection)).to.deep.equal(["lte>9:5124"]);
    home.event(home.kernel.close(connection));
    expect(home.reconciler.waitsForBytes).to.equal(false);
  });
});
