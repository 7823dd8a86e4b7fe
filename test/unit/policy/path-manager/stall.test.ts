import { StallDetector } from "@hybrid-access/core/policy/path-manager/stall";
import { expect } from "chai";
import { DSL, GATEWAY, Home, LTE, settings } from "./fixture.ts";

const RTO_MS = 300;
const STEP_MS = 100;
const SEGMENT = 1000;

/** At one step: [acknowledged on the subflow, segments in flight]. */
type Play = (step: number) => readonly [number, number];

/** Plays both subflows and the connection's [sent, acknowledged by DATA_ACK]; gives when LTE was first found. */
function play(steps: number, connection: Play, dsl: Play, lte: Play): number | undefined {
  const detector = new StallDetector();
  const sample = (address: typeof DSL.address, [acknowledgedBytes, inFlightSegments]: readonly [number, number]) => {
    return {
      token: 1,
      local: { address, port: 1 },
      remote: GATEWAY,
      acknowledgedBytes,
      inFlightSegments,
      rtoMs: RTO_MS,
    };
  };
  for (let step = 0; step < steps; step++) {
    const [sentBytes, acknowledgedBytes] = connection(step);
    const stalled = detector.update(
      {
        subflows: [sample(DSL.address, dsl(step)), sample(LTE.address, lte(step))],
        connections: [{ token: 1, sentBytes, acknowledgedBytes, receivedBytes: 0 }],
      },
      step * STEP_MS,
    );
    expect(stalled.every(({ local }) => local.address === LTE.address)).to.equal(true);
    if (stalled.length > 0) return step * STEP_MS;
  }
  return undefined;
}

const moving: Play = (step) => [SEGMENT * step, 5];
const stuck: Play = (step) => [SEGMENT * Math.min(step, 9), 5];

describe("stalled subflows", () => {
  it("are found after four timeouts, when all that was in flight was acknowledged over another one", () => {
    const stalledMs = play(60, (step) => [2 * SEGMENT * (step + 5), 2 * SEGMENT * step], moving, stuck);
    expect(stalledMs).to.be.within(900 + 4 * RTO_MS, 900 + 4 * RTO_MS + 2 * STEP_MS);
  });

  it("are none while the peer still lacks what they have in flight", () => {
    const waitsForIt: Play = (step) => [2 * SEGMENT * (step + 5), 2 * SEGMENT * Math.min(step, 10)];
    expect(play(100, waitsForIt, moving, stuck)).to.equal(undefined);
  });

  it("are none where nothing is in flight, or where the kernel does not count a connection's bytes", () => {
    const connection: Play = (step) => [2 * SEGMENT * (step + 5), 2 * SEGMENT * step];
    expect(play(100, connection, moving, () => [9000, 0])).to.equal(undefined);
    expect(play(100, () => [0, 0], moving, stuck)).to.equal(undefined);
  });

  it("are none where no other one moves", () => {
    const connection: Play = (step) => [2 * SEGMENT * (step + 5), 2 * SEGMENT * step];
    expect(play(100, connection, stuck, stuck)).to.equal(undefined);
  });

  it("count from when something was sent, not from when nothing was", () => {
    const connection: Play = (step) => [SEGMENT * step, SEGMENT * step];
    const late: Play = (step) => [9000, step < 50 ? 0 : 1];
    expect(play(200, connection, moving, late)).to.be.within(5000 + 4 * RTO_MS, 5000 + 4 * RTO_MS + 2 * STEP_MS);
  });

  it("are replaced: a fresh one is opened, and the old one closed once that is open", () => {
    const home = new Home(settings("aggregate"));
    const connection = home.connect();
    const old = connection.subflows.find(({ local }) => local.address === LTE.address);
    if (old === undefined) throw new Error("no subflow over LTE");
    home.commands.length = 0;
    home.run(home.reconciler.onStalled(connection.token, old, home.nowMs));
    expect(home.commands.map(({ type }) => type)).to.deep.equal(["createSubflow", "destroySubflow"]);
    expect(connection.subflows).to.have.lengthOf(2).and.not.include(old);
  });
});
