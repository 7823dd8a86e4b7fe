import type { UplinkAddress } from "@hybrid-access/core/policy/path-manager/path-manager";
import { expect } from "chai";
import { DSL, DSL6, GATEWAY, Home, LTE, SECOND, settings, shape } from "./fixture.ts";

const TO_GATEWAY = "9:5124";
const ERROR = 110;

function announced(token: number) {
  return { type: "addressAnnounced", token, remoteId: 5, remote: SECOND } as const;
}

describe("path managers", () => {
  describe("aggregate", () => {
    it("has one subflow over each uplink of the gateway's family", () => {
      const home = new Home(settings("aggregate"), [DSL, DSL6, LTE]);
      expect(shape(home.connect())).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY}`]);
    });

    it("goes to an announced address when the peer forbids the initial one", () => {
      const home = new Home(settings("aggregate"));
      const connection = home.connect(DSL.address, { denyJoinInitial: true });
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`]);
      home.event(announced(connection.token));
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, "lte>8:5124"]);
    });
  });

  describe("aggregate, where uplinks are not as they should be", () => {
    const degraded = (uplink: UplinkAddress): UplinkAddress => ({ ...uplink, quality: "degraded" });

    it("makes an uplink that has used its quota backup, and takes it back", () => {
      const home = new Home(settings("aggregate"));
      const connection = home.connect();
      home.commands.length = 0;
      home.uplinks([DSL, { ...LTE, quotaUsed: true }]);
      home.uplinks([DSL, { ...LTE, quotaUsed: true }]);
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY} backup`]);
      home.uplinks([DSL, LTE]);
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY}`]);
      expect(home.commands.map(({ type }) => type)).to.deep.equal(["setPriority", "setPriority"]);
    });

    it("closes the subflow of an uplink that becomes degraded, and opens a fresh one as backup", () => {
      const home = new Home(settings("aggregate"));
      const connection = home.connect();
      home.commands.length = 0;
      home.uplinks([DSL, degraded(LTE)]);
      expect(home.commands.map(({ type }) => type)).to.include.members(["createSubflow", "destroySubflow"]);
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY} backup`]);
    });

    it("changes nothing while every uplink is degraded, and demotes the rest when one recovers", () => {
      const home = new Home(settings("aggregate"));
      const connection = home.connect();
      home.commands.length = 0;
      home.uplinks([degraded(DSL), degraded(LTE)]);
      expect(home.commands).to.deep.equal([]);
      home.uplinks([DSL, degraded(LTE)]);
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY} backup`]);
      expect(home.commands.map(({ type }) => type)).to.deep.equal(["setPriority"]);
    });
  });

  describe("aggregate, on a connection that has only the uplink that fails", () => {
    it("closes nothing before another one carries it", () => {
      const home = new Home(settings("aggregate"), [LTE]);
      home.connect(LTE.address);
      home.commands.length = 0;
      home.uplinks([DSL, { ...LTE, quality: "degraded" }]);
      expect(home.commands.map(({ type }) => type)).to.have.members(["createSubflow", "setPriority"]);
    });
  });

  describe("backup", () => {
    it("opens the dearer uplink as backup at once", () => {
      const home = new Home(settings("backup"));
      expect(shape(home.connect())).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY} backup`]);
      expect(home.commands.map(({ type }) => type)).to.deep.equal(["createSubflow"]);
    });

    it("promotes it when the cheaper one goes, tells the peer which address is gone, and takes it back", () => {
      const home = new Home(settings("backup"));
      const connection = home.connect();
      home.commands.length = 0;
      home.uplinks([LTE]);
      expect(shape(connection)).to.deep.equal([`lte>${TO_GATEWAY}`]);
      expect(home.commands.map(({ type }) => type)).to.deep.equal(["setPriority", "remove", "destroySubflow"]);
      home.uplinks([DSL, LTE]);
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY} backup`]);
    });

    it("demotes the initial subflow when it began on the dearer uplink", () => {
      const home = new Home(settings("backup"));
      expect(shape(home.connect(LTE.address))).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY} backup`]);
    });
  });

  describe("single-path", () => {
    it("says nothing while the cheapest uplink serves", () => {
      const home = new Home(settings("single-path"));
      home.connect();
      expect(home.commands).to.deep.equal([]);
    });

    it("breaks before it makes when the uplink goes, and makes before it breaks when it is back", () => {
      const home = new Home(settings("single-path"));
      const connection = home.connect();
      home.uplinks([LTE]);
      expect(shape(connection)).to.deep.equal([`lte>${TO_GATEWAY}`]);
      home.commands.length = 0;
      home.silent = true;
      home.uplinks([DSL, LTE]);
      expect(shape(connection)).to.deep.equal([`lte>${TO_GATEWAY}`]);
      for (const event of home.kernel.answer(connection, 0)) home.event(event);
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`]);
      expect(home.commands.map(({ type }) => type)).to.deep.equal(["createSubflow", "destroySubflow"]);
    });

    it("keeps what it has when no uplink is left, and replaces it when one is back", () => {
      const home = new Home(settings("single-path"));
      const connection = home.connect();
      const [initial] = connection.subflows;
      home.uplinks([]);
      expect(connection.subflows).to.deep.equal([initial]);
      home.uplinks([DSL]);
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`]);
      expect(connection.subflows).not.to.include(initial);
    });
  });

  describe("overflow", () => {
    const cheap = [`dsl>${TO_GATEWAY}`];
    const both = [`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY}`];

    for (const [direction, most, part] of [
      ["download", [20, 0.3], [12, 0.2]],
      ["upload", [0.2, 5], [0.1, 3]],
    ] as const) {
      it(`leaves the dearer uplink alone at 60 % ${direction}, and takes it within 1 s once the cheaper one is full`, () => {
        const home = new Home(settings("overflow"));
        const connection = home.connect();
        home.load(30_000, part);
        expect(shape(connection)).to.deep.equal(cheap);
        home.load(900, most);
        expect(shape(connection)).to.deep.equal(both);
      });

      it(`leaves it within 5 s when the ${direction} would fit into the cheaper one again, and not before`, () => {
        const home = new Home(settings("overflow"));
        const connection = home.connect();
        home.load(1000, most);
        home.load(20_000, part, part);
        expect(shape(connection), "the sum does not fit").to.deep.equal(both);
        home.load(4900, part);
        expect(shape(connection)).to.deep.equal(cheap);
      });
    }

    it("has no opinion on an uplink whose rate it does not know", () => {
      const home = new Home(settings("overflow", { rates: new Map() }));
      const connection = home.connect();
      home.load(5000, [1000, 1000]);
      expect(shape(connection)).to.deep.equal(cheap);
    });
  });

  describe("fullmesh", () => {
    it("joins every uplink with every announced address, and lets go of a removed one", () => {
      const home = new Home(settings("fullmesh"));
      const connection = home.connect();
      home.event(announced(connection.token));
      const mesh = ["dsl>8:5124", `dsl>${TO_GATEWAY}`, "lte>8:5124", `lte>${TO_GATEWAY}`];
      expect(shape(connection)).to.deep.equal(mesh);
      home.event({ type: "addressRemoved", token: connection.token, remoteId: 5 });
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY}`]);
    });
  });

  describe("ndiffports", () => {
    it("has N subflows between one pair of addresses, under one identifier", () => {
      const home = new Home(settings("ndiffports"));
      expect(shape(home.connect())).to.deep.equal(Array(3).fill(`dsl>${TO_GATEWAY}`));
      const ids = home.commands.map((command) => "localId" in command && command.localId);
      expect(ids).to.deep.equal([DSL.localId, DSL.localId]);
    });
  });

  describe("pairs", () => {
    it("opens the pairs that the operator has listed and no other (RFC 8041 figure 3)", () => {
      const home = new Home(settings("pairs"));
      const connection = home.connect();
      home.event(announced(connection.token));
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, "lte>8:5124"]);
    });

    it("does what a pair says when it fails: any uplink, or none", () => {
      const home = new Home(settings("pairs"));
      const connection = home.connect();
      home.event(announced(connection.token));
      home.uplinks([LTE]);
      expect(shape(connection)).to.deep.equal(["lte>8:5124", `lte>${TO_GATEWAY}`]);
      home.uplinks([DSL]);
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`]);
    });
  });

  it("send joins to another port where a choice says so and the peer announces it", () => {
    const home = new Home(settings("aggregate", { choose: () => ({ policy: "aggregate", joinPort: 443 }) }));
    const connection = home.connect();
    expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY}`]);
    const remote = { ...GATEWAY, port: 443 };
    home.event({ type: "addressAnnounced", token: connection.token, remoteId: 6, remote });
    expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, "lte>9:443"]);
  });

  it("change over on a reload without leaving a connection without a subflow", () => {
    const home = new Home(settings("aggregate"));
    const connection = home.connect();
    const expected: Readonly<Record<string, readonly string[]>> = {
      backup: [`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY} backup`],
      "single-path": [`dsl>${TO_GATEWAY}`],
      fullmesh: [`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY}`],
      ndiffports: Array(3).fill(`dsl>${TO_GATEWAY}`),
      overflow: [`dsl>${TO_GATEWAY}`],
      aggregate: [`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY}`],
    };
    for (const [policy, subflows] of Object.entries(expected)) {
      home.run(home.reconciler.configure(settings(policy), home.nowMs));
      expect(shape(connection), policy).to.deep.equal(subflows);
    }
  });

  describe("with subflows that settle before they carry anything", () => {
    const SETTLE_MS = 100;
    const both = [`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY}`];
    const lteBackup = [`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY} backup`];

    function settling(policy: string): Home {
      return new Home(settings(policy, { settleMs: SETTLE_MS }));
    }

    it("open them as backup, and take that back once they have settled, said twice", () => {
      const home = settling("aggregate");
      const connection = home.connect();
      expect(home.commands).to.have.lengthOf(1);
      expect(home.commands[0]).to.include({ type: "createSubflow", backup: true });
      home.pass(SETTLE_MS - 1);
      expect(shape(connection)).to.deep.equal(lteBackup);
      home.pass(1);
      expect(shape(connection)).to.deep.equal(both);
      home.pass(999);
      expect(home.commands).to.have.lengthOf(2);
      home.pass(60_000);
      expect(home.commands).to.have.lengthOf(3);
      for (const command of home.commands.slice(1)) {
        expect(command).to.include({ type: "setPriority", localId: LTE.localId, backup: false });
      }
    });

    it("take a little more than a round trip to settle, where that is longer", () => {
      const home = settling("aggregate");
      home.silent = true;
      const connection = home.connect();
      home.pass(200);
      for (const event of home.kernel.answer(connection, 0)) home.event(event);
      home.pass(299);
      expect(shape(connection)).to.deep.equal(lteBackup);
      home.pass(1);
      expect(shape(connection)).to.deep.equal(both);
    });

    it("settle soon where the join took long because its SYN was lost", () => {
      const home = settling("aggregate");
      home.silent = true;
      const connection = home.connect();
      home.pass(63_000);
      for (const event of home.kernel.answer(connection, 0)) home.event(event);
      home.pass(2999);
      expect(shape(connection)).to.deep.equal(lteBackup);
      home.pass(1);
      expect(shape(connection)).to.deep.equal(both);
    });

    it("are told their priority again where the kernel still waits for the end of their handshake", () => {
      const home = settling("aggregate");
      home.refusesPriorities = true;
      const connection = home.connect();
      home.pass(350);
      expect(shape(connection)).to.deep.equal(lteBackup);
      expect(home.commands.filter(({ type }) => type === "createSubflow")).to.have.lengthOf(1);
      home.refusesPriorities = false;
      home.pass(50);
      expect(shape(connection)).to.deep.equal(both);
    });

    it("are given up, and opened again, where the kernel has refused their priority for ten seconds", () => {
      const home = settling("aggregate");
      home.refusesPriorities = true;
      home.connect();
      const created = () => home.commands.filter(({ type }) => type === "createSubflow").length;
      home.pass(10_000);
      expect(created()).to.equal(1);
      expect(home.commands).to.have.lengthOf.at.most(10);
      home.pass(5000);
      expect(created()).to.equal(2);
    });

    it("wait for nothing when one that is not wanted any more would have been said again", () => {
      const home = new Home(settings("ndiffports", { settleMs: SETTLE_MS }));
      const connection = home.connect(DSL.address, { denyJoinInitial: true });
      home.pass(SETTLE_MS);
      const [initial] = connection.subflows;
      if (initial === undefined) throw new Error("no subflow");
      // Without the initial subflow nothing may go to the initial address and port.
      home.event(home.kernel.end(connection, initial, ERROR));
      home.pass(1000);
      expect(home.reconciler.nextTimerMs ?? Number.POSITIVE_INFINITY).to.be.above(home.nowMs);
    });

    it("leave them as they are where the policy wants backup", () => {
      const home = settling("backup");
      expect(shape(home.connect())).to.deep.equal(lteBackup);
      home.pass(60_000);
      expect(home.commands.map(({ type }) => type)).to.deep.equal(["createSubflow"]);
    });

    it("say only the last word twice when a priority changes in between", () => {
      const home = settling("aggregate");
      home.connect();
      home.pass(SETTLE_MS + 500);
      home.uplinks([DSL, { ...LTE, quotaUsed: true }]);
      home.pass(60_000);
      const said = home.commands.flatMap((command) => (command.type === "setPriority" ? [command.backup] : []));
      expect(said).to.deep.equal([false, true, true]);
    });

    it("close the one that they replace only then", () => {
      const home = settling("single-path");
      const connection = home.connect(LTE.address);
      home.pass(SETTLE_MS - 1);
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY} backup`, `lte>${TO_GATEWAY}`]);
      home.pass(1);
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`]);
    });

    it("wait for nothing when the uplink of the one that they replace is gone", () => {
      const home = settling("single-path");
      const connection = home.connect();
      home.uplinks([LTE]);
      expect(shape(connection)).to.deep.equal([`lte>${TO_GATEWAY} backup`]);
      home.pass(SETTLE_MS);
      expect(shape(connection)).to.deep.equal([`lte>${TO_GATEWAY}`]);
    });
  });

  it("give a connection up that has had no subflow for a minute, as the kernel does", () => {
    const home = new Home(settings("aggregate"), [DSL]);
    const connection = home.connect();
    home.outcome = ERROR;
    const [initial] = connection.subflows;
    if (initial === undefined) throw new Error("no initial subflow");
    home.event(home.kernel.end(connection, initial, ERROR));
    home.pass(59_000);
    expect(home.reconciler.connections).to.equal(1);
    home.pass(2000);
    expect(home.reconciler.connections).to.equal(0);
  });

  it("keep no timers of connections that have ended", () => {
    const home = new Home(settings("aggregate", { settleMs: 100 }));
    const living = Array.from({ length: 10 }, () => home.connect());
    for (let count = 0; count < 2000; count++) {
      home.event(home.kernel.close(home.connect()));
      home.pass(1);
    }
    expect(home.reconciler.timers).to.be.at.most(2 * (living.length + 1) + 64);
    for (const connection of living)
      expect(shape(connection)).to.deep.equal([`dsl>${TO_GATEWAY}`, `lte>${TO_GATEWAY}`]);
  });

  it("forget a connection whose end was not told when its port is used again", () => {
    const home = new Home(settings("aggregate"));
    const event = home.kernel.connect(DSL.address, GATEWAY);
    home.event(event);
    home.kernel.connections.delete(event.token);
    const next = { ...home.kernel.connect(DSL.address, GATEWAY), local: event.local };
    home.event(next);
    expect(home.reconciler.connections).to.equal(1);
    expect(home.reconciler.subflows).to.equal(2);
  });

  it("open a failed subflow again with doubling waits and jitter", () => {
    const home = new Home(settings("aggregate"));
    home.outcome = ERROR;
    home.connect();
    const waits: number[] = [];
    for (let last = 0; waits.length < 7; ) {
      const next = home.reconciler.nextTimerMs ?? Number.NaN;
      waits.push(next - last);
      last = next;
      home.pass(next - home.nowMs);
    }
    for (const [index, wait] of waits.entries()) {
      const full = Math.min(1000 * 2 ** index, 30_000);
      expect(wait, `wait ${index}`).to.be.within(0.75 * full, full);
    }
    home.outcome = 0;
    home.pass(30_000);
    expect(home.kernel.connections.get(1)?.subflows.length).to.equal(2);
  });
});
