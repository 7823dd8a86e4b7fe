import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { OwnerCache } from "@hybrid-access/core/policy/steering/owner-cache";
import { PathLearner } from "@hybrid-access/core/policy/steering/path-learner";
import { choose } from "@hybrid-access/core/policy/steering/rendezvous";
import {
  type OwnerKey,
  Steering,
  type SteeringLimits,
  type SteeringNode,
} from "@hybrid-access/core/policy/steering/steering";
import { flowId, type PacketKind, type SteeredPacket } from "@hybrid-access/core/wire/steered-packet";
import { expect } from "chai";
import fc from "fast-check";

const LIMITS: SteeringLimits = {
  holdMs: 20,
  heldPackets: 100,
  lookupsPerSecond: 1000,
  cachedOwners: 100,
  learntTokens: 100,
  joinsWithoutRegistry: "drop",
};
const NODES: readonly SteeringNode[] = ["a", "b", "c"].map((name) => ({ name, weight: 100, accepting: true }));
const TOKEN = 0x12345678;
const KEY: OwnerKey = { type: "token", token: TOKEN };

function packet(kind: PacketKind, port = 40_000): SteeredPacket {
  return { client: { address: ipAddress("10.1.1.2"), port }, port: 5124, kind };
}

const JOIN = packet({ type: "join", token: TOKEN });
const DATA = packet({ type: "data", multipath: true });

function steering(limits: Partial<SteeringLimits> = {}, nodes = NODES): Steering<number> {
  const made = new Steering<number>({ ...LIMITS, ...limits });
  made.setNodes(nodes);
  return made;
}

describe("policy/steering/rendezvous", () => {
  const flows = Array.from({ length: 20_000 }, (_, index) => `flow${index}`);

  it("gives each node its weight's share", () => {
    const nodes = [
      { name: "a", weight: 100 },
      { name: "b", weight: 200 },
      { name: "c", weight: 100 },
    ];
    const chosen = flows.map((flow) => choose(nodes, flow)?.name);
    for (const { name, weight } of nodes) {
      expect(chosen.filter((one) => one === name).length / flows.length).to.be.closeTo(weight / 400, 0.015);
    }
  });

  it("moves only the flows of the node that goes", () => {
    const rest = NODES.filter(({ name }) => name !== "b");
    for (const flow of flows) {
      const before = choose(NODES, flow)?.name;
      const after = choose(rest, flow)?.name;
      if (before !== "b") expect(after).to.equal(before);
    }
  });

  it("does not depend on the order of the nodes", () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...NODES], { minLength: 3 }), fc.string(), (nodes, flow) => {
        expect(choose(nodes, flow)?.name).to.equal(choose(NODES, flow)?.name);
      }),
    );
  });

  it("has no choice without nodes", () => expect(choose([], "flow")).to.equal(undefined));
});

describe("policy/steering/owner-cache", () => {
  it("keeps no more than its bound, and lets the oldest go", () => {
    const cache = new OwnerCache(3);
    for (const key of ["1", "2", "3", "4"]) cache.learn(key, "a", 0);
    expect(cache.size).to.equal(3);
    expect(cache.find("1", 1)).to.equal(undefined);
    expect(cache.find("4", 1)).to.equal("a");
  });

  it("forgets that nobody had a token before a client repeats its SYN", () => {
    const cache = new OwnerCache(3);
    cache.learn("1", undefined, 0);
    expect(cache.find("1", 199)).to.equal(null);
    expect(cache.find("1", 1000)).to.equal(undefined);
  });
});

describe("policy/steering/steering", () => {
  it("sends a new connection to an accepting node, and lets the kernel decide when there is none", () => {
    const subject = steering({}, [
      { name: "a", weight: 100, accepting: false },
      { name: "b", weight: 100, accepting: true },
    ]);
    for (let port = 1; port < 100; port++) {
      expect(subject.decide(packet({ type: "connect" }, port), 0, 0)).to.deep.equal({ type: "forward", node: "b" });
    }
    subject.setNodes([]);
    expect(subject.decide(packet({ type: "connect" }), 0, 0)).to.deep.equal({ type: "pass" });
  });

  it("holds a join until the registry knows the owner, and needs no second look-up", () => {
    const subject = steering();
    expect(subject.decide(JOIN, 1, 0)).to.equal(undefined);
    expect(subject.decide(JOIN, 2, 1)).to.equal(undefined);
    expect(subject.takeLookups()).to.deep.equal([KEY]);
    const verdict = { type: "forward", node: "b" };
    expect(subject.onAnswer(KEY, { owner: "b" }, 2)).to.deep.equal([
      { handle: 1, verdict },
      { handle: 2, verdict },
    ]);
    expect(subject.decide(JOIN, 3, 3)).to.deep.equal(verdict);
    expect(subject.takeLookups()).to.deep.equal([]);
    expect(subject.heldPackets).to.equal(0);
  });

  it("asks again for a token that is still on its way", () => {
    const subject = steering();
    subject.decide(JOIN, 1, 0);
    subject.takeLookups();
    expect(subject.onAnswer(KEY, { owner: undefined }, 1)).to.deep.equal([]);
    expect(subject.nextTimerMs).to.equal(2);
    expect(subject.onTimer(2)).to.deep.equal([]);
    expect(subject.takeLookups()).to.deep.equal([KEY]);
    expect(subject.onAnswer(KEY, { owner: "c" }, 3)).to.deep.equal([
      { handle: 1, verdict: { type: "forward", node: "c" } },
    ]);
  });

  it("drops a join that nobody owns when the hold time is over, and its repetition is looked up again", () => {
    const subject = steering();
    subject.decide(JOIN, 1, 0);
    subject.takeLookups();
    subject.onAnswer(KEY, { owner: undefined }, 19);
    expect(subject.onTimer(20)).to.deep.equal([{ handle: 1, verdict: { type: "drop" } }]);
    expect(subject.decide(JOIN, 2, 100)).to.deep.equal({ type: "drop" });
    expect(subject.decide(JOIN, 3, 1020)).to.equal(undefined);
    expect(subject.takeLookups()).to.deep.equal([KEY]);
    expect(subject.counters.unknown).to.equal(2);
  });

  it("does not take a late answer for none: the repetition is looked up again, however soon", () => {
    const subject = steering();
    subject.decide(JOIN, 1, 0);
    subject.takeLookups();
    expect(subject.onTimer(20)).to.deep.equal([{ handle: 1, verdict: { type: "drop" } }]);
    expect(subject.counters.unanswered).to.equal(1);
    expect(subject.decide(JOIN, 2, 21)).to.equal(undefined);
  });

  it("waits for a third ACK as long as it may when the registry does not answer, and then drops", () => {
    const subject = steering();
    subject.decide(JOIN, 1, 0);
    expect(subject.onAnswer(KEY, "unanswered", 5)).to.deep.equal([]);
    expect(subject.nextTimerMs).to.equal(20);
    expect(subject.onTimer(20)).to.deep.equal([{ handle: 1, verdict: { type: "drop" } }]);
    expect(subject.counters.unanswered).to.equal(1);
    subject.decide(JOIN, 2, 1000);
    expect(subject.onAnswer(KEY, "unanswered", 1001)).to.deep.equal([]);
    expect(subject.learnOnPath(TOKEN, "c")).to.deep.equal([{ handle: 2, verdict: { type: "forward", node: "c" } }]);
  });

  it("drops a packet of an unknown flow at once when the registry does not answer: nothing else tells of it", () => {
    const subject = steering();
    const data = packet({ type: "data", multipath: true });
    subject.decide(data, 1, 0);
    const [key = KEY] = subject.takeLookups();
    expect(subject.onAnswer(key, "unanswered", 5)).to.deep.equal([{ handle: 1, verdict: { type: "drop" } }]);
  });

  it("goes by what it saw on the path when the registry names nobody, or does not answer, and not before", () => {
    for (const answer of [{ owner: undefined }, "unanswered"] as const) {
      const subject = steering();
      expect(subject.learnOnPath(TOKEN, "b")).to.deep.equal([]);
      expect(subject.decide(JOIN, 1, 0)).to.equal(undefined);
      expect(subject.onAnswer(KEY, answer, 1)).to.deep.equal([{ handle: 1, verdict: { type: "forward", node: "b" } }]);
      expect(subject.counters).to.include({ learnt: 1, fromPath: 1 });
    }
  });

  it("goes by it at the end of the hold time when the registry is slow", () => {
    const subject = steering();
    subject.learnOnPath(TOKEN, "b");
    subject.decide(JOIN, 1, 0);
    expect(subject.onTimer(20)).to.deep.equal([{ handle: 1, verdict: { type: "forward", node: "b" } }]);
  });

  it("lets a join go that was waiting for a token seen only now", () => {
    const subject = steering();
    subject.decide(JOIN, 1, 0);
    expect(subject.learnOnPath(1, "a")).to.deep.equal([]);
    subject.onAnswer(KEY, { owner: undefined }, 1);
    expect(subject.learnOnPath(TOKEN, "c")).to.deep.equal([{ handle: 1, verdict: { type: "forward", node: "c" } }]);
  });

  it("believes the registry and not a forged third ACK, nor a second one", () => {
    const subject = steering();
    subject.learnOnPath(TOKEN, "a");
    subject.learnOnPath(TOKEN, "b");
    subject.decide(JOIN, 1, 0);
    expect(subject.onAnswer(KEY, { owner: "c" }, 1)[0]?.verdict).to.deep.equal({ type: "forward", node: "c" });
    subject.learnOnPath(TOKEN, "b");
    expect(subject.decide(JOIN, 2, 2)).to.deep.equal({ type: "forward", node: "c" });
    // The registry is away, and what it said has expired: still before what was seen on the path.
    subject.decide(JOIN, 3, 60_000);
    expect(subject.onAnswer(KEY, "unanswered", 60_001)[0]?.verdict).to.deep.equal({ type: "forward", node: "c" });
    const other = steering();
    other.learnOnPath(TOKEN, "a");
    other.learnOnPath(TOKEN, "b");
    other.decide(JOIN, 1, 0);
    expect(other.onAnswer(KEY, "unanswered", 1)[0]?.verdict).to.deep.equal({ type: "forward", node: "a" });
  });

  it("keeps no more tokens seen on the path than its bound", () => {
    const learner = new PathLearner(100);
    for (let token = 0; token < 1000; token++) learner.learn(token, "a");
    expect(learner.size).to.equal(100);
    expect(learner.find(899)).to.equal(undefined);
    expect(learner.find(900)).to.equal("a");
  });

  it("sends a join to some node, if told so, when the registry does not answer and nothing is known", () => {
    const subject = steering({ joinsWithoutRegistry: "hash" });
    subject.decide(JOIN, 1, 0);
    subject.onAnswer(KEY, "unanswered", 1);
    expect(subject.onTimer(20)[0]?.verdict.type).to.equal("forward");
    expect(subject.counters.byChance).to.equal(1);
    subject.decide(packet({ type: "join", token: 7 }), 2, 22);
    subject.onAnswer({ type: "token", token: 7 }, { owner: undefined }, 23);
    expect(subject.onTimer(42)[0]?.verdict.type).to.equal("drop");
  });

  it("releases what waits when a node says itself that it owns the token", () => {
    const subject = steering();
    subject.decide(JOIN, 1, 0);
    expect(subject.learn(KEY, "a", 1)).to.deep.equal([{ handle: 1, verdict: { type: "forward", node: "a" } }]);
  });

  it("does not believe in an owner that is no node of the farm", () => {
    const subject = steering();
    subject.decide(JOIN, 1, 0);
    expect(subject.onAnswer(KEY, { owner: "stranger" }, 1)).to.deep.equal([{ handle: 1, verdict: { type: "drop" } }]);
    expect(subject.counters.ownerGone).to.equal(1);
  });

  it("sends joins to a node that takes no new connections", () => {
    const subject = steering({}, [{ name: "a", weight: 100, accepting: false }]);
    subject.decide(JOIN, 1, 0);
    expect(subject.onAnswer(KEY, { owner: "a" }, 1)).to.deep.equal([
      { handle: 1, verdict: { type: "forward", node: "a" } },
    ]);
  });

  it("finds the owner of a subflow it has not seen before, and hashes a plain one as it was hashed first", () => {
    const subject = steering();
    expect(subject.decide(DATA, 1, 0)).to.equal(undefined);
    const flow: OwnerKey = { type: "flow", flow: flowId(DATA.client, 5124) };
    expect(subject.takeLookups()).to.deep.equal([flow]);
    expect(subject.onAnswer(flow, { owner: "c" }, 1)).to.deep.equal([
      { handle: 1, verdict: { type: "forward", node: "c" } },
    ]);
    const plain = packet({ type: "data", multipath: false }, 7);
    expect(subject.decide(plain, 2, 2)).to.deep.equal(subject.decide(packet({ type: "connect" }, 7), 3, 2));
  });

  it("looks a flow up anew when its ports are used again", () => {
    const subject = steering();
    const flow: OwnerKey = { type: "flow", flow: flowId(DATA.client, 5124) };
    subject.learn(flow, "c", 0);
    expect(subject.decide(DATA, 1, 1)).to.deep.equal({ type: "forward", node: "c" });
    subject.decide(packet({ type: "connect" }), 2, 2);
    expect(subject.decide(DATA, 3, 3)).to.equal(undefined);
  });

  it("holds no more packets and asks no more often than its limits say", () => {
    const full = steering({ heldPackets: 10 });
    for (let index = 0; index < 20; index++) full.decide(JOIN, index, 0);
    expect(full.heldPackets).to.equal(10);
    expect(full.counters.overLimit).to.equal(10);
    const busy = steering({ lookupsPerSecond: 10, heldPackets: 1000 });
    const ask = (from: number, nowMs: number) => {
      for (let token = from; token < from + 50; token++) busy.decide(packet({ type: "join", token }), token, nowMs);
      return busy.takeLookups().length;
    };
    expect(ask(0, 0)).to.equal(10);
    expect(ask(100, 500)).to.equal(5);
  });

  it("gives exactly one verdict on every packet, by the hold time", () => {
    const event = fc.oneof(
      fc.record({ type: fc.constant("packet" as const), token: fc.nat(5) }),
      fc.record({
        type: fc.constant("answer" as const),
        owner: fc.constantFrom("a", "stranger", undefined, "silence"),
      }),
      fc.record({ type: fc.constant("time" as const), ms: fc.nat(15) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const subject = steering({ heldPackets: 8, lookupsPerSecond: 200 });
        const open = new Map<number, number>();
        const asked: OwnerKey[] = [];
        let nowMs = 0;
        const close = (handles: readonly { handle: number }[]) => {
          for (const { handle } of handles) expect(open.delete(handle)).to.equal(true);
        };
        events.forEach((step, index) => {
          if (step.type === "packet") {
            const verdict = subject.decide(packet({ type: "join", token: step.token }), index, nowMs);
            if (verdict === undefined) open.set(index, nowMs + 20);
          } else if (step.type === "answer") {
            const key = asked.shift();
            if (key === undefined) return;
            close(subject.onAnswer(key, step.owner === "silence" ? "unanswered" : { owner: step.owner }, nowMs));
          } else {
            nowMs += step.ms;
            close(subject.onTimer(nowMs));
            for (const deadlineMs of open.values()) expect(deadlineMs).to.be.greaterThan(nowMs);
          }
          asked.push(...subject.takeLookups());
          expect(subject.heldPackets).to.equal(open.size);
        });
        close(subject.onTimer(nowMs + 20));
        expect(open.size).to.equal(0);
        expect(subject.nextTimerMs).to.equal(undefined);
      }),
    );
  });
});
