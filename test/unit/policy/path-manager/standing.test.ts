/** Every built-in policy where an uplink is degraded or has used its quota up. */
import type { UplinkAddress } from "@hybrid-access/core/policy/path-manager/path-manager";
import { expect } from "chai";
import { DSL, DSL6, Home, LTE, POLICIES, SECOND, settings, shape } from "./fixture.ts";

const G = "9:5124";
const S = "8:5124";
/** Mbit/s down and up: more than DSL's rate. */
const FULL = [20, 0.3] as const;

const degraded = (uplink: UplinkAddress): UplinkAddress => ({ ...uplink, quality: "degraded" });
const used = (uplink: UplinkAddress): UplinkAddress => ({ ...uplink, quotaUsed: true });

interface Expected {
  /** Both are fine, and DSL is full. */
  readonly fine: readonly string[];
  /** LTE is bad, in either way. */
  readonly badLte: readonly string[];
  /** DSL is bad, in either way. */
  readonly badDsl: readonly string[];
}

const EXPECTED: Readonly<Record<string, Expected>> = {
  aggregate: {
    fine: [`dsl>${G}`, `lte>${G}`],
    badLte: [`dsl>${G}`, `lte>${G} backup`],
    badDsl: [`dsl>${G} backup`, `lte>${G}`],
  },
  backup: {
    fine: [`dsl>${G}`, `lte>${G} backup`],
    badLte: [`dsl>${G}`, `lte>${G} backup`],
    badDsl: [`dsl>${G} backup`, `lte>${G}`],
  },
  "single-path": { fine: [`dsl>${G}`], badLte: [`dsl>${G}`], badDsl: [`lte>${G}`] },
  overflow: { fine: [`dsl>${G}`, `lte>${G}`], badLte: [`dsl>${G}`], badDsl: [`lte>${G}`] },
  fullmesh: {
    fine: [`dsl>${S}`, `dsl>${G}`, `lte>${S}`, `lte>${G}`],
    badLte: [`dsl>${S}`, `dsl>${G}`, `lte>${S} backup`, `lte>${G} backup`],
    badDsl: [`dsl>${S} backup`, `dsl>${G} backup`, `lte>${S}`, `lte>${G}`],
  },
  ndiffports: {
    fine: Array(3).fill(`dsl>${G}`),
    badLte: Array(3).fill(`dsl>${G}`),
    badDsl: Array(3).fill(`lte>${G}`),
  },
  pairs: {
    fine: [`dsl>${G}`, `lte>${S}`],
    badLte: [`dsl>${G}`, `lte>${S} backup`],
    badDsl: [`dsl>${G} backup`, `lte>${S}`],
  },
};

describe("path managers, where uplinks are degraded or have used their quota up", () => {
  it("are all in the table", () => {
    expect(Object.keys(EXPECTED)).to.have.members(POLICIES.map(({ name }) => name));
  });

  for (const [policy, { fine, badLte, badDsl }] of Object.entries(EXPECTED)) {
    for (const [what, spoil] of [
      ["degraded", degraded],
      ["used up", used],
    ] as const) {
      it(`${policy}: one that is ${what} gives way to a fine one, and is as before when it is fine again`, () => {
        const home = new Home(settings(policy));
        const connection = home.connect();
        home.event({ type: "addressAnnounced", token: connection.token, remoteId: 5, remote: SECOND });
        const become = (uplinks: readonly UplinkAddress[], expected: readonly string[], when: string) => {
          home.uplinks(uplinks);
          expect(shape(connection), when).to.deep.equal(expected);
        };
        home.load(2000, FULL);
        become([DSL, LTE], fine, "both are fine");
        become([DSL, spoil(LTE)], badLte, "LTE");
        // DSL is full whatever carries it: what a policy does about a full uplink is not what changes here.
        home.load(5000, FULL);
        expect(shape(connection), "while DSL is full").to.deep.equal(badLte);
        become([DSL, LTE], fine, "both are fine again");
        become([spoil(DSL), LTE], badDsl, "DSL");
        home.load(5000, [0.1, 0.1], FULL);
        become([DSL, LTE], policy === "overflow" ? [`dsl>${G}`, `lte>${G}`] : fine, "both are fine once more");
      });

      it(`${policy}: a connection that begins while DSL is ${what} stays on LTE, where it began`, () => {
        const home = new Home(settings(policy), [spoil(DSL), LTE]);
        const connection = home.connect(LTE.address);
        home.event({ type: "addressAnnounced", token: connection.token, remoteId: 5, remote: SECOND });
        expect(shape(connection)).to.deep.equal(badDsl);
        const initial = home.commands.filter(({ type }) => type === "destroySubflow");
        // "pairs" has LTE reach another address than the one that connections begin at.
        expect(initial).to.have.lengthOf(policy === "pairs" ? 1 : 0);
      });

      it(`${policy}: what is ${what} carries connections alone when nothing better is left`, () => {
        const home = new Home(settings(policy));
        const connection = home.connect();
        home.event({ type: "addressAnnounced", token: connection.token, remoteId: 5, remote: SECOND });
        home.uplinks([DSL, spoil(LTE)]);
        home.uplinks([spoil(LTE)]);
        expect(shape(connection)).to.satisfy((subflows: readonly string[]) => {
          return subflows.length > 0 && subflows.every((subflow) => /^lte>\S+$/.test(subflow));
        });
      });
    }

    it(`${policy}: a degraded DSL is used rather than an LTE that costs money`, () => {
      const home = new Home(settings(policy));
      const connection = home.connect();
      home.event({ type: "addressAnnounced", token: connection.token, remoteId: 5, remote: SECOND });
      home.uplinks([degraded(DSL), used(LTE)]);
      home.load(5000, FULL);
      expect(shape(connection)).to.deep.equal(badLte);
    });
  }

  it("take one of another family for no better one", () => {
    const home = new Home(settings("aggregate"));
    const connection = home.connect();
    home.uplinks([DSL6, used(LTE)]);
    expect(shape(connection)).to.deep.equal([`lte>${G}`]);
  });

  it("drop the demoted subflows first where the peer's limit leaves no room for all", () => {
    const home = new Home(settings("aggregate"), [degraded(DSL), LTE]);
    const connection = home.connect();
    const [{ local, remote } = expect.fail()] = connection.subflows;
    home.run(home.reconciler.limit(local, remote.address, 1, home.nowMs));
    home.pass(5000);
    expect(shape(connection)).to.deep.equal([`lte>${G}`]);
  });
});
