import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { ERRNO, SystemError } from "@hybrid-access/core/platform/errno";
import type { PathSamples } from "@hybrid-access/core/policy/path-manager/samples";
import { StalledSubflows } from "@hybrid-access/hag/stalled-subflows";
import { expect } from "chai";
import { pino } from "pino";
import { eventually } from "../../support/eventually.ts";

const ENDS = {
  local: { address: ipAddress("10.9.9.9"), port: 5124 },
  remote: { address: ipAddress("10.1.2.2"), port: 40_000 },
};
const OTHER_ENDS = { ...ENDS, remote: { address: ipAddress("10.1.1.2"), port: 40_000 } };
/** All that one subflow has in flight has arrived over the other one. */
const STALLED: PathSamples = {
  subflows: [
    { token: 7, ...ENDS, inFlightSegments: 5, acknowledgedBytes: 1000, rtoMs: 10 },
    { token: 7, ...OTHER_ENDS, inFlightSegments: 0, acknowledgedBytes: 89_000, rtoMs: 10 },
  ],
  connections: [{ token: 7, sentBytes: 90_000, acknowledgedBytes: 90_000, receivedBytes: 0 }],
};

describe("the gateway's stalled subflows", () => {
  /** Watches a gateway with one stalled subflow, of which `resetSubflow` gets hold. */
  function watched(resetSubflow: (ends: typeof ENDS) => boolean) {
    const lines: { level: number; msg: string }[] = [];
    const log = pino({}, { write: (line: string) => lines.push(JSON.parse(line)) });
    const paths = { samples: async () => STALLED, resetSubflow };
    const counts: number[] = [];
    const stalled = new StalledSubflows({
      paths,
      connections: () => 1,
      onCount: (subflows) => counts.push(subflows),
      awaitsRoom: () => false,
      log,
    });
    stalled.watch();
    return { stalled, lines, counts };
  }

  it("are reset, and counted when they were there", async () => {
    const asked: object[] = [];
    const { stalled, counts } = watched((ends) => asked.push(ends) < 2);
    await eventually(10_000, () => expect(asked).to.have.length(2));
    stalled.stop();
    expect(asked[0]).to.deep.equal(ENDS);
    expect(stalled.reset).to.equal(1);
    expect(new Set(counts), "subflows that were counted").to.deep.equal(new Set([2]));
  });

  it("stay where the host cannot reset them, which is said once", async () => {
    let asked = 0;
    const { stalled, lines } = watched(() => {
      asked += 1;
      throw new SystemError(ERRNO.EOPNOTSUPP, "end a socket");
    });
    await eventually(10_000, () => expect(asked).to.equal(2));
    stalled.stop();
    expect(stalled.reset).to.equal(0);
    expect(lines.map(({ msg }) => msg)).to.deep.equal(["a subflow cannot be reset"]);
  });
});
