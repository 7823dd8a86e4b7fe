import { StallDetector, type SubflowSample } from "@hybrid-access/core/policy/path-manager/stall";
import { expect } from "chai";
import { DSL, GATEWAY, Home, LTE, settings } from "./fixture.ts";

const RTO_MS = 300;
const STEP_MS = 100;

function sample(local: Uint8Array, acknowledgedBytes: number, inFlightBytes: number): SubflowSample {
  const address = local as typeof DSL.address;
  const end = { address, port: 1 };
  return { token: 1, local: end, remote: GATEWAY, acknowledgedBytes, inFlightBytes, rtoMs: RTO_MS };
}

/** Plays both subflows' [acknowledged, in flight]; gives when LTE was first found standing still. */
function play(steps: number, dsl: (step: number) => [number, number], lte: (step: number) => [number, number]) {
  const detector = new StallDetector();
  for (let step = 0; step < steps; step++) {
    const samples = [sample(DSL.address, ...dsl(step)), sample(LTE.address, ...lte(step))];
    const stalled = detector.update(samples, step * STEP_MS);
    expect(stalled.every(({ local }) => local.address === LTE.address)).to.equal(true);
    if (stalled.length > 0) return step * STEP_MS;
  }
  return undefined;
}

describe("stalled subflows", () => {
  it("are found after four timeouts without an acknowledgement, while another one moves", () => {
    const stalledMs = play(
      40,
      (step) => [1000 * step, 5000],
      (step) => [step < 10 ? 1000 * step : 9000, 5000],
    );
    expect(stalledMs).to.be.within(900 + 4 * RTO_MS, 900 + 4 * RTO_MS + 2 * STEP_MS);
  });

  it("are none where nothing is in flight, or where nothing moves at all", () => {
    const moving = (step: number): [number, number] => [1000 * step, 5000];
    expect(play(100, moving, () => [9000, 0])).to.equal(undefined);
    const still = (): [number, number] => [9000, 5000];
    expect(play(100, still, still)).to.equal(undefined);
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
