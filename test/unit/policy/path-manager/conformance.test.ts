/** What every path manager must keep, whatever happens: run over all of them with random events. */
import type { UplinkAddress } from "@hybrid-access/core/policy/path-manager/path-manager";
import { POLICY_NAMES } from "@hybrid-access/core/policy/path-manager/policies";
import { guarded } from "@hybrid-access/hcpe/policy-module";
import { expect } from "chai";
import fc from "fast-check";
import { loadExamplePolicy } from "../../../support/example-policy.ts";
import { DSL, DSL6, GATEWAY, Home, LTE, POLICIES, SECOND, settings } from "./fixture.ts";
import type { ModelConnection } from "./kernel-model.ts";

/** The operator's own, guarded as the HCPE does it: an error of its would show, because nothing takes its place. */
const MODULE = guarded(await loadExamplePolicy(), { name: "none", wanted: () => [] }, (error) => {
  throw error;
});
const ALL = [...POLICIES, MODULE];
const LIMITS = { perConnection: 3, perPair: 2, perGateway: 12, total: 12 };
const MOST_CONNECTIONS = 6;

type Standing = "absent" | "good" | "degraded" | "used up";

/** One thing that happens; `pick` chooses what it happens to. */
type Step =
  | { readonly what: "connect"; readonly from: number; readonly serverSide: boolean; readonly denyJoinInitial: boolean }
  | { readonly what: "answer"; readonly pick: number; readonly error: number }
  | { readonly what: "lose"; readonly pick: number; readonly which: number }
  | { readonly what: "close" | "announce" | "withdraw" | "stall" | "unknown"; readonly pick: number }
  | { readonly what: "uplinks"; readonly standings: readonly Standing[] }
  | { readonly what: "load"; readonly megabits: number }
  | { readonly what: "pass"; readonly ms: number };

const pick = fc.nat(MOST_CONNECTIONS);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    what: fc.constant("connect" as const),
    from: fc.nat(1),
    serverSide: fc.boolean(),
    denyJoinInitial: fc.boolean(),
  }),
  fc.record({ what: fc.constant("answer" as const), pick, error: fc.constantFrom(0, 0, 0, 110, 111) }),
  fc.record({ what: fc.constant("lose" as const), pick, which: fc.nat(3) }),
  fc.record({ what: fc.constantFrom("close", "announce", "withdraw", "stall", "unknown"), pick }),
  fc.record({
    what: fc.constant("uplinks" as const),
    standings: fc.array(fc.constantFrom<Standing[]>("absent", "absent", "good", "good", "degraded", "used up"), {
      minLength: 3,
      maxLength: 3,
    }),
  }),
  fc.record({ what: fc.constant("load" as const), megabits: fc.constantFrom(0, 12, 20) }),
  fc.record({ what: fc.constant("pass" as const), ms: fc.nat(40_000) }),
);

const UPLINKS = [DSL, LTE, DSL6];

/** Plays the steps; gives everything that was commanded. */
function play(policy: string, steps: readonly Step[]): Home {
  const home = new Home(settings(policy, { policies: ALL, limits: LIMITS, settleMs: 100 }));
  home.silent = true;
  home.endsEmpty = true;
  for (const one of steps) {
    const before = home.commands.length;
    const connections = home.kernel.connections.size;
    take(home, one);
    expectWithinLimits(home);
    // Work is bounded: what one event causes is no more than what every connection may have, closed and opened once.
    expect(home.commands.length - before).to.be.at.most(3 * LIMITS.perConnection * Math.max(1, connections + 1) * 10);
  }
  return home;
}

function take(home: Home, one: Step): void {
  const connections = Array.from(home.kernel.connections.values());
  const connection = "pick" in one ? connections[one.pick % Math.max(1, connections.length)] : undefined;
  switch (one.what) {
    case "connect":
      if (connections.length < MOST_CONNECTIONS) home.connect(one.from === 0 ? DSL.address : LTE.address, one);
      return;
    case "uplinks":
      return home.uplinks(
        UPLINKS.flatMap((uplink, index): UplinkAddress[] => {
          const standing = one.standings[index] ?? "absent";
          if (standing === "absent") return [];
          const quality = standing === "degraded" ? standing : "good";
          return [{ ...uplink, quality, quotaUsed: standing === "used up" }];
        }),
      );
    case "load":
      return home.load(300, [one.megabits, 0]);
    case "pass":
      return home.pass(one.ms);
    case "unknown":
      return home.event({ type: "subflowEstablished", token: 999, ...somePath(), backup: false });
    default:
      if (connection !== undefined) happenTo(home, connection, one);
  }
}

function happenTo(home: Home, connection: ModelConnection, one: Step & { readonly pick: number }): void {
  const { token, subflows } = connection;
  switch (one.what) {
    case "answer":
      for (const event of home.kernel.answer(connection, one.error)) home.event(event);
      return;
    case "lose": {
      const lost = subflows[one.which % Math.max(1, subflows.length)];
      if (lost !== undefined) home.event(home.kernel.end(connection, lost, 104));
      return;
    }
    case "stall": {
      const stalled = subflows[0];
      if (stalled !== undefined) home.run(home.reconciler.onStalled(token, stalled, home.nowMs));
      return;
    }
    case "announce":
      return home.event({ type: "addressAnnounced", token, remoteId: 5, remote: SECOND });
    case "withdraw":
      return home.event({ type: "addressRemoved", token, remoteId: 5 });
    default:
      return home.event(home.kernel.close(connection));
  }
}

function somePath() {
  return { localId: 1, remoteId: 0, local: { address: DSL.address, port: 1 }, remote: GATEWAY };
}

function expectWithinLimits({ kernel }: Home): void {
  for (const { serverSide, subflows, opening } of kernel.connections.values()) {
    const all = [...subflows, ...opening];
    if (serverSide) expect(all).to.have.lengthOf.at.most(1);
    expect(all).to.have.lengthOf.at.most(LIMITS.perConnection);
    const keys = new Set(all.map(({ local, remote }) => `${local.address} ${local.port} ${remote.address}`));
    expect(keys.size, "the same subflow twice").to.equal(all.length);
  }
}

/** Answers everything, lets waits end, and looks at what has come of it. */
function settle(home: Home, uplinks: readonly UplinkAddress[]): void {
  home.silent = false;
  home.uplinks(uplinks);
  home.pass(120_000);
}

describe("path manager conformance", function () {
  this.timeout(30_000);

  it("is asked of every policy that the configuration knows", () => {
    expect(ALL.map(({ name }) => name)).to.have.members(Array.from(POLICY_NAMES));
  });

  for (const { name } of ALL) {
    describe(name, () => {
      it("never goes beyond the limits, nor touches what is not its own, whatever happens", () => {
        fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => void play(name, steps)));
      });

      it("does the same for the same events", () => {
        fc.assert(
          fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
            expect(play(name, steps).commands).to.deep.equal(play(name, steps).commands);
          }),
          { numRuns: 30 },
        );
      });

      it("forgets a connection that has closed, and everything counted for it", () => {
        fc.assert(
          fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
            const home = play(name, steps);
            for (const connection of home.kernel.connections.values()) home.event(home.kernel.close(connection));
            expect(home.reconciler.connections).to.equal(0);
            expect(home.reconciler.subflows).to.equal(0);
            expect(home.reconciler.nextTimerMs).to.equal(undefined);
          }),
        );
      });

      it("comes to rest once nothing happens any more, with every connection served", () => {
        fc.assert(
          fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
            // A peer that forbids the initial address and announces no other cannot be reached once that subflow is lost.
            const home = play(
              name,
              steps.map((one) => ({ ...one, denyJoinInitial: false })),
            );
            settle(home, [DSL, LTE]);
            const before = home.commands.length;
            home.pass(600_000);
            expect(home.commands.length).to.equal(before);
            // One that had no subflow for a minute is given up, as the kernel does.
            const living = Array.from(home.kernel.connections.values()).filter(
              ({ serverSide, subflows }) => !serverSide && subflows.length > 0,
            );
            expect(home.reconciler.connections).to.equal(living.length);
            for (const { subflows } of living) expect(subflows.some(({ backup }) => !backup)).to.equal(true);
          }),
          { numRuns: 60 },
        );
      });
    });
  }
});
