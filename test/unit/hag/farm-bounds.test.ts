/** Bounds of a farm's node: what it remembers of others, and how fast it says what it owns. In virtual time. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { prefix } from "@hybrid-access/core/base/prefix";
import type { OwnRoute, Rule } from "@hybrid-access/core/platform/netlink/route";
import { createLogger } from "@hybrid-access/core/services/log";
import { MemoryRegistry } from "@hybrid-access/core/services/registry/memory";
import type { Member, Renewal } from "@hybrid-access/core/services/registry/registry";
import type { FarmConfig } from "@hybrid-access/hag/farm/config";
import { NodeRoutes } from "@hybrid-access/hag/farm/host-rules";
import { Membership } from "@hybrid-access/hag/farm/membership";
import { Publisher } from "@hybrid-access/hag/farm/publisher";
import { expect } from "chai";
import { VirtualTime } from "../../support/virtual-time.ts";

const LOG = createLogger("test", "silent" as "error");
const LEASE_MS = 2000;
const MINUTE_MS = 60_000;
const SETTINGS = JSON.stringify({ steering: "steer", virtualAddresses: ["10.9.9.9"] });

/** Counts claims; answers nothing while it is away. */
class CountingRegistry extends MemoryRegistry {
  claims = 0;
  away = false;

  override async renew(...args: Parameters<MemoryRegistry["renew"]>): Promise<Renewal> {
    if (this.away) throw new Error("away");
    return await super.renew(...args);
  }

  override async members(): Promise<readonly Member[]> {
    if (this.away) throw new Error("away");
    return await super.members();
  }

  override async claimToken(): Promise<undefined> {
    this.claims += 1;
  }

  override async claimFlow(): Promise<void> {
    this.claims += 1;
  }
}

function member(name: string, index: number): Member {
  const address = ipAddress(`10.8.${index >> 8}.${index & 255}`);
  return { name, addresses: [address], state: "up", weight: 1, load: 0 };
}

describe("hag/farm, bounds", () => {
  let time: VirtualTime;
  let registry: CountingRegistry;

  beforeEach(() => {
    time = new VirtualTime();
    registry = new CountingRegistry(() => time.nowMs);
  });
  afterEach(() => time.end());

  describe("of a membership", () => {
    let membership: Membership;

    beforeEach(() => {
      const config = {
        name: "farm",
        node: "a",
        steering: "steer",
        role: "both",
        weight: 1,
        lease: LEASE_MS,
        virtualAddresses: [ipAddress("10.9.9.9")],
        addresses: [ipAddress("10.8.0.11")],
        network: [prefix("10.8.0.0/16")],
      } as Partial<FarmConfig> as FarmConfig;
      membership = new Membership(registry, config, () => 0, { change: () => {}, forgotten: () => {} }, LOG);
    });
    afterEach(() => membership.stop());

    const names = () => membership.nodes().map(({ member: { name } }) => name);

    /** Joins; when that was done, from now on. */
    async function joinedAfter(): Promise<number> {
      const beganMs = time.nowMs;
      let joinedMs = Number.POSITIVE_INFINITY;
      void membership.join().then(() => {
        joinedMs = time.nowMs - beganMs;
      });
      for (let tenths = 0; tenths < 100 && joinedMs > time.nowMs; tenths++) await time.pass(100);
      return joinedMs;
    }

    it("waits 3 s for a registry that does not answer, serves then, and joins when it does", async () => {
      registry.away = true;
      expect(await joinedAfter()).to.equal(3000);
      expect(names()).to.deep.equal([]);
      registry.away = false;
      await time.pass(LEASE_MS);
      expect(names()).to.deep.equal(["a"]);
    });

    it("does not wait for one that answers", async () => {
      expect(await joinedAfter()).to.equal(0);
      expect(names()).to.deep.equal(["a"]);
    });

    it("remembers a node for 10 minutes after its lease was last seen to hold, as lost", async () => {
      await registry.renew(member("b", 12), SETTINGS, LEASE_MS / 2);
      await joinedAfter();
      expect(names()).to.deep.equal(["b", "a"]);
      await time.pass(10 * MINUTE_MS - LEASE_MS);
      expect(names()).to.have.members(["a", "b"]);
      expect(membership.isAlive("b")).to.equal(false);
      await time.pass(2 * LEASE_MS);
      expect(names()).to.deep.equal(["a"]);
    });

    it("knows 250 nodes, those included whose lease has run out, and ignores further ones", async () => {
      for (let index = 1; index <= 300; index++) await registry.renew(member(`n${index}`, index), SETTINGS, MINUTE_MS);
      await joinedAfter();
      expect(names()).to.have.length(250);
      // 200 of them go, and as many others come.
      for (let index = 1; index <= 200; index++) await registry.leave(member(`n${index}`, index));
      for (let index = 301; index <= 500; index++)
        await registry.renew(member(`n${index}`, index), SETTINGS, MINUTE_MS);
      await time.pass(LEASE_MS);
      expect(names()).to.have.length(250);
      expect(membership.nodes().every(({ alive }) => alive)).to.equal(true);
    });
  });

  describe("of a publisher", () => {
    it("makes 5000 claims again in 500 ms, and the rest in the turns after", async () => {
      const options = {
        registry,
        node: "a",
        tokenLifeMs: 1e9,
        isAlive: () => true,
        isMember: () => true,
        onOwned: () => {},
        log: LOG,
      };
      const publisher = new Publisher(options);
      try {
        for (let token = 0; token < 6000; token++) {
          const remote = { address: ipAddress("10.1.1.2"), port: 1024 + token };
          const path = { localId: 0, remoteId: 0, local: { address: ipAddress("10.9.9.9"), port: 5124 }, remote };
          publisher.onEvent({ type: "connectionCreated", token, ...path, serverSide: true, denyJoinInitial: false });
        }
        expect(registry.claims).to.equal(12_000);
        publisher.publishAgain();
        const turns: number[] = [];
        for (let turn = 0; turn < 4; turn++) {
          const before = registry.claims;
          await time.pass(500);
          turns.push(registry.claims - before);
        }
        expect(turns).to.deep.equal([5000, 5000, 2000, 0]);
        expect(publisher.tokens).to.equal(6000);
      } finally {
        publisher.close();
      }
    });
  });

  describe("of the ways to other nodes", () => {
    it("leads to 1024 nodes in the life of a director, whoever is there now, and to no further one", () => {
      const marks = new Set<number>();
      const added: (OwnRoute | Rule)[] = [];
      const add = (one: OwnRoute | Rule) => void added.push(one);
      const client = { addRoute: add, addRule: add, ownLocalRoutes: () => [], ownRules: () => [] };
      const routes = new NodeRoutes(client);
      const own = [{ interfaceIndex: 2, address: ipAddress("10.8.0.11"), prefixLength: 16, usable: true }];
      const reach = (index: number) => routes.reach(`n${index}`, member(`n${index}`, index).addresses, own);
      for (let index = 1; index <= 1024; index++) marks.add(reach(index) ?? 0);
      expect(marks.size).to.equal(1024);
      expect(added).to.have.length(2 * 1024);
      expect(reach(1025)).to.equal(undefined);
      expect(reach(1)).to.equal(Math.min(...marks));
      expect(added).to.have.length(2 * 1024);
    });
  });
});
