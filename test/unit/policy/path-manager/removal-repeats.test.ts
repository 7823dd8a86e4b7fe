import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type { PathCommand, PathDecision } from "@hybrid-access/core/policy/path-manager/path-manager";
import { RemovalRepeats } from "@hybrid-access/core/policy/path-manager/removal-repeats";
import { expect } from "chai";
import { DSL, LTE } from "./fixture.ts";

const TOKEN = 7;
const REMOVE: PathCommand = { type: "remove", token: TOKEN, localId: LTE.localId };
const AGAIN: readonly PathDecision[] = [
  { type: "announce", token: TOKEN, localId: LTE.localId, local: { address: LTE.address, port: 0 }, reason: "again" },
  { ...REMOVE, reason: "again" },
];

/** Runs the timer until nothing is left, or `endMs`; gives the times and what was said. */
function run(repeats: RemovalRepeats, endMs = Number.POSITIVE_INFINITY): [number, PathCommand[]][] {
  const said: [number, PathCommand[]][] = [];
  for (let nowMs = repeats.nextTimerMs; nowMs !== undefined && nowMs <= endMs; nowMs = repeats.nextTimerMs) {
    said.push([nowMs, repeats.onTimer(nowMs)]);
  }
  return said;
}

describe("a removed address", () => {
  let repeats: RemovalRepeats;

  beforeEach(() => {
    repeats = new RemovalRepeats();
    repeats.onUplinks([DSL, LTE]);
    repeats.onUplinks([DSL]);
  });

  it("is said again three times, each after a longer pause", () => {
    repeats.onCommand(REMOVE, 1000);
    expect(run(repeats)).to.deep.equal([
      [1500, AGAIN],
      [2500, AGAIN],
      [4500, AGAIN],
    ]);
    expect(repeats.pending).to.equal(0);
  });

  it("is not said again once it is there again", () => {
    repeats.onCommand(REMOVE, 0);
    expect(run(repeats, 500)).to.have.length(1);
    repeats.onUplinks([DSL, LTE]);
    expect(run(repeats)).to.deep.equal([]);
    expect(repeats.pending).to.equal(0);
  });

  it("is not said again once a subflow of its identifier is asked for, or its connection is closed", () => {
    const { localId, address, interfaceIndex } = LTE;
    const remote = { address: ipAddress("10.9.9.9"), port: 5124 };
    const create = { type: "createSubflow", localId, local: address, interfaceIndex, remote, backup: false } as const;
    repeats.onCommand(REMOVE, 0);
    repeats.onCommand({ ...create, token: TOKEN + 1 }, 100);
    expect(repeats.pending).to.equal(1);
    repeats.onCommand({ ...create, token: TOKEN }, 100);
    expect(run(repeats)).to.deep.equal([]);
    repeats.onCommand(REMOVE, 200);
    repeats.onEvent({ type: "connectionClosed", token: TOKEN });
    expect(run(repeats)).to.deep.equal([]);
  });

  it("of the initial subflow is said once: Linux cannot announce it", () => {
    repeats.onCommand({ type: "remove", token: TOKEN, localId: 0 }, 0);
    expect(run(repeats)).to.deep.equal([]);
  });

  it("of thousands of connections is repeated 50 in 100 ms, and of no more than 4096", () => {
    for (let token = 1; token <= 5000; token++) repeats.onCommand({ ...REMOVE, token }, 0);
    expect(repeats.pending).to.equal(4096);
    let lastMs = Number.NEGATIVE_INFINITY;
    let said = 0;
    for (const [nowMs, commands] of run(repeats)) {
      expect(commands.length).to.be.within(2, 100);
      expect(nowMs - lastMs).to.be.at.least(100);
      lastMs = nowMs;
      said += commands.length;
    }
    expect(said).to.equal(2 * 3 * 4096);
  });
});
