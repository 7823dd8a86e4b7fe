import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { createLogger } from "@hybrid-access/core/services/log";
import type { CookieKeys } from "@hybrid-access/core/services/registry/cookie-keys";
import { MemoryRegistry } from "@hybrid-access/core/services/registry/memory";
import { RedisRegistry, type RedisSettings } from "@hybrid-access/core/services/registry/redis";
import type { Member, Registry } from "@hybrid-access/core/services/registry/registry";
import { Publisher } from "@hybrid-access/hag/farm/publisher";
import { expect } from "chai";
import { RedisFleet } from "../lab/redis.ts";
import { until } from "../lab/until.ts";
import { eventually } from "../support/eventually.ts";

const LEASE_MS = 60_000;
const SHORT_MS = 150;
const FLOW = "0a010102c0011404";

function member(name: string, address: string, rest: Partial<Member> = {}): Member {
  return { name, addresses: [ipAddress(address)], state: "up", weight: 100, load: 0, ...rest };
}

const A = member("a", "10.8.1.1");
const B = member("b", "10.8.2.1", { state: "draining", weight: 7, load: 12 });

function open(farm: string, settings: RedisSettings): RedisRegistry {
  return new RedisRegistry(farm, settings, () => {});
}

async function ready(registry: RedisRegistry): Promise<void> {
  await eventually(10_000, () => registry.members());
}

/** A store to run the suite against. */
interface Store {
  readonly name: string;
  /** Takes some seconds to come up. */
  start(): Promise<RedisFleet | undefined>;
}

const STORES: readonly Store[] = [
  { name: "in-process", start: async () => undefined },
  { name: "single Redis", start: () => RedisFleet.single() },
  { name: "Redis with an access control list", start: () => RedisFleet.single("secret") },
  { name: "Redis with TLS", start: () => RedisFleet.tls() },
  { name: "Sentinel", start: () => RedisFleet.sentinel() },
  { name: "Cluster", start: () => RedisFleet.cluster() },
];

for (const { name, start } of STORES) {
  describe(`registry: ${name}`, function () {
    this.timeout(30_000);
    let fleet: RedisFleet | undefined;
    let registry: Registry;
    let farms = 0;

    before(async () => {
      fleet = await start();
    });
    beforeEach(async () => {
      // Each test has a farm of its own.
      farms += 1;
      if (fleet === undefined) {
        registry = new MemoryRegistry(() => performance.now());
        return;
      }
      const redis = open(`farm${farms}`, fleet.settings);
      registry = redis;
      await ready(redis);
    });
    afterEach(() => registry?.close());
    after(() => fleet?.close());

    it("lists the nodes whose lease holds, as they described themselves", async () => {
      expect(await registry.renew(A, "settings", LEASE_MS)).to.equal("joined");
      expect(await registry.renew(B, "settings", LEASE_MS)).to.equal("joined");
      const members = await registry.members();
      expect(members.toSorted((left, right) => left.name.localeCompare(right.name))).to.deep.equal([A, B]);
    });

    it("forgets a node whose lease has run out, and one that has left", async () => {
      await registry.renew(A, "settings", LEASE_MS);
      expect(await registry.renew(A, "settings", SHORT_MS)).to.equal("renewed");
      await registry.renew(B, "settings", LEASE_MS);
      await until(async () => (await registry.members()).length === 1, { what: "the lease ends", limitMs: 2000 });
      await registry.leave(B);
      expect(await registry.members()).to.deep.equal([]);
    });

    it("refuses a name that a living node of another address has, and gives it back to the same address", async () => {
      await registry.renew(A, "settings", LEASE_MS);
      const impostor = member("a", "10.8.9.1");
      expect(await registry.renew(impostor, "settings", LEASE_MS)).to.equal("nameTaken");
      await registry.leave(impostor);
      expect(await registry.renew({ ...A, load: 3 }, "settings", LEASE_MS)).to.equal("renewed");
      expect(await registry.members()).to.deep.equal([{ ...A, load: 3 }]);
    });

    it("refuses a node with other settings while others live, and takes them when it is alone", async () => {
      await registry.renew(A, "settings", LEASE_MS);
      expect(await registry.renew(B, "other settings", LEASE_MS)).to.equal("otherSettings");
      await registry.leave(A);
      expect(await registry.renew(B, "other settings", LEASE_MS)).to.equal("joined");
      expect(await registry.renew(A, "settings", LEASE_MS)).to.equal("otherSettings");
    });

    it("gives a token to the first that claims it, and tells the second who has it", async () => {
      expect(await registry.claimToken(0xfffffff0, "a", LEASE_MS)).to.equal(undefined);
      expect(await registry.claimToken(0xfffffff0, "a", LEASE_MS)).to.equal(undefined);
      expect(await registry.claimToken(0xfffffff0, "b", LEASE_MS)).to.equal("a");
      expect(await registry.ownerOfToken(0xfffffff0)).to.equal("a");
      expect(await registry.ownerOfToken(5)).to.equal(undefined);
      expect(await registry.claimToken(0xfffffff0, "b", LEASE_MS, true)).to.equal(undefined);
      expect(await registry.ownerOfToken(0xfffffff0)).to.equal("b");
    });

    it("keeps how many connections clients have at a node, as it said last, for as long as it said", async () => {
      expect(await registry.clientsOf("a")).to.deep.equal(new Map());
      await registry.shareClients("a", new Map([["0a01010200000000", 3]]), LEASE_MS);
      const counts = new Map([
        ["0a01010200000000", 16_000],
        ["fd11000000000000", 2],
      ]);
      await registry.shareClients("a", counts, LEASE_MS);
      expect(await registry.clientsOf("a")).to.deep.equal(counts);
      expect(await registry.clientsOf("b")).to.deep.equal(new Map());
      await registry.shareClients("b", counts, SHORT_MS);
      await until(async () => (await registry.clientsOf("b")).size === 0, { what: "it expires", limitMs: 2000 });
    });

    it("draws a first cookie key, a second one when that is old, and forgets the first one in the end", async () => {
      const fresh = (number: number) => new Uint8Array(32).fill(number);
      const numbers = ({ keys }: CookieKeys) => keys.map(({ key: [number] }) => number);
      expect(numbers(await registry.cookieKeys([], fresh(1), LEASE_MS))).to.deep.equal([1]);
      const asked = await registry.cookieKeys([], fresh(2), LEASE_MS);
      expect(numbers(asked)).to.deep.equal([1]);
      expect(asked.nowMs - (asked.keys[0]?.createdMs ?? 0)).to.be.within(0, 5000);
      await until(async () => numbers(await registry.cookieKeys([], fresh(3), SHORT_MS))[0] === 3, {
        what: "there is another key",
        limitMs: 2000,
      });
      expect(numbers(await registry.cookieKeys([], fresh(4), LEASE_MS))).to.deep.equal([3, 1]);
      for (const number of [5, 6]) {
        await until(async () => numbers(await registry.cookieKeys([], fresh(number), SHORT_MS))[0] === number, {
          what: "there is another key",
          limitMs: 2000,
        });
      }
      expect(numbers(await registry.cookieKeys([], fresh(7), LEASE_MS))).to.deep.equal([6, 5, 3]);
    });

    it("takes back from a node the cookie keys that it has lost", async () => {
      const known = [2, 1].map((number) => ({ createdMs: 1000, key: new Uint8Array(32).fill(number) }));
      const lifeMs = Number.MAX_SAFE_INTEGER / 4;
      const { keys } = await registry.cookieKeys(known, new Uint8Array(32).fill(9), lifeMs);
      expect(keys).to.deep.equal(known);
      expect((await registry.cookieKeys([], new Uint8Array(32).fill(9), lifeMs)).keys).to.deep.equal(known);
      // Another node came first that did not know them: both count.
      const older = [{ createdMs: 500, key: new Uint8Array(32).fill(3) }];
      const all = (await registry.cookieKeys(older, new Uint8Array(32).fill(9), lifeMs)).keys;
      expect(all).to.deep.equal([...known, ...older]);
      const forgotten = [{ createdMs: 400, key: new Uint8Array(32).fill(4) }];
      expect((await registry.cookieKeys(forgotten, new Uint8Array(32).fill(9), lifeMs)).keys).to.deep.equal(all);
    });

    it("takes a token back from its owner only", async () => {
      await registry.claimToken(7, "a", LEASE_MS);
      await registry.releaseToken(7, "b");
      expect(await registry.ownerOfToken(7)).to.equal("a");
      await registry.releaseToken(7, "a");
      expect(await registry.ownerOfToken(7)).to.equal(undefined);
    });

    it("lists the tokens of a node", async () => {
      const tokens = Array.from({ length: 300 }, (_, index) => (index * 0x0101_0101) >>> 0);
      await Promise.all(tokens.map((token) => registry.claimToken(token, "a", LEASE_MS)));
      await registry.claimToken(9, "b", LEASE_MS);
      await registry.releaseToken(tokens[1] ?? 0, "a");
      const expected = tokens.filter((_, index) => index !== 1);
      const found = await registry.tokensOf("a");
      expect(found.toSorted((left, right) => left - right)).to.deep.equal(
        expected.toSorted((left, right) => left - right),
      );
    });

    it("is left with the tokens that a node owns, though releases were lost and the node goes on claiming", async () => {
      const publisher = new Publisher({
        registry,
        node: "a",
        tokenLifeMs: 1500,
        isAlive: () => false,
        isMember: () => true,
        onOwned: () => {},
        log: createLogger("test", "silent" as "error"),
      });
      try {
        const path = { localId: 0, remoteId: 0, local: { address: ipAddress("10.9.9.9"), port: 5124 } };
        const owned = [1, 2, 3];
        for (const token of owned) {
          const remote = { address: ipAddress("10.1.1.2"), port: token };
          publisher.onEvent({
            type: "connectionEstablished",
            token,
            ...path,
            remote,
            serverSide: true,
            denyJoinInitial: false,
          });
        }
        // The node has claimed them, and its releases did not arrive; they are of the same shard.
        const lost = [5, 6];
        await Promise.all(lost.map((token) => registry.claimToken(token, "a", 1500)));
        await registry.claimToken(7, "b", LEASE_MS);
        expect((await registry.tokensOf("a")).toSorted()).to.deep.equal([...owned, ...lost]);
        const listed = async () => String((await registry.tokensOf("a")).toSorted());
        await until(async () => (await listed()) === String(owned), { what: "only what it owns", limitMs: 8000 });
        expect(await registry.tokensOf("b")).to.deep.equal([7]);
      } finally {
        publisher.close();
      }
    });

    it("lets tokens and flows expire, and leaves nothing of them behind", async () => {
      await registry.claimToken(7, "a", SHORT_MS);
      await registry.claimFlow(FLOW, "a", SHORT_MS);
      const left = async () =>
        (await registry.ownerOfToken(7)) ?? (await registry.ownerOfFlow(FLOW)) ?? (await registry.tokensOf("a"))[0];
      await until(async () => (await left()) === undefined, { what: "the claims end", limitMs: 2000 });
    });

    it("believes the last one that claims a flow, and lets only that one release it", async () => {
      await registry.claimFlow(FLOW, "a", LEASE_MS);
      await registry.claimFlow(FLOW, "b", LEASE_MS);
      await registry.releaseFlow(FLOW, "a");
      expect(await registry.ownerOfFlow(FLOW)).to.equal("b");
      await registry.releaseFlow(FLOW, "b");
      expect(await registry.ownerOfFlow(FLOW)).to.equal(undefined);
    });
  });
}

describe("registry: what others wrote into Redis", () => {
  let fleet: RedisFleet;
  let registry: RedisRegistry;

  before(async () => {
    fleet = await RedisFleet.single();
    registry = open("farm", fleet.settings);
    await ready(registry);
  });
  after(async () => {
    registry?.close();
    await fleet?.close();
  });

  it("is counted and ignored when it is no member", async () => {
    await registry.renew(A, "settings", LEASE_MS);
    const later = Date.now() + LEASE_MS;
    const foreign: Record<string, string> = {
      noise: "{\u00ff",
      c: `${later} 10.8.3.1 {}`,
      d: `${later} 10.8.3.1 {"addresses":["nowhere"],"state":"up","weight":1,"load":0}`,
      e: `${later} 10.8.3.1 {"addresses":["10.8.3.1"],"state":"up","weight":1e9,"load":0}`,
      "Not A Name": `${later} 10.8.3.1 {"addresses":["10.8.3.1"],"state":"up","weight":1,"load":0}`,
    };
    for (const [name, value] of Object.entries(foreign))
      await fleet.command(0, "hset", "ha:{farm}:members", name, value);
    const before = registry.health.corrupt;
    expect(await registry.members()).to.deep.equal([A]);
    expect(registry.health.corrupt - before).to.equal(Object.keys(foreign).length);
  });

  it("is counted and ignored when it is no node's name, or a value of another type", async () => {
    await fleet.command(0, "set", "ha:{farm:0}:t:00000001", "../../etc");
    await fleet.command(0, "rpush", "ha:{farm:0}:t:00000002", "a");
    await fleet.command(0, "sadd", "ha:{farm:0}:n:a", "-1", "x", "3");
    const before = registry.health.corrupt;
    expect(await registry.ownerOfToken(1)).to.equal(undefined);
    expect(await registry.ownerOfToken(2)).to.equal(undefined);
    expect(await registry.tokensOf("a")).to.deep.equal([3]);
    expect(registry.health.corrupt - before).to.equal(4);
  });

  it("is counted and replaced when it stands where cookie keys belong", async () => {
    const known = [{ createdMs: Date.now(), key: new Uint8Array(32).fill(7) }];
    const strangers = [
      ["set", "noise"],
      ["set", `${Date.now()} 00 ${Date.now()} ${"00".repeat(32)}`],
      ["rpush", "a"],
    ];
    for (const [command = "", value = ""] of strangers) {
      await fleet.command(0, "del", "ha:{farm}:cookies");
      await fleet.command(0, command, "ha:{farm}:cookies", value);
      const before = registry.health.corrupt;
      expect((await registry.cookieKeys(known, new Uint8Array(32), LEASE_MS)).keys).to.deep.equal(known);
      expect(registry.health.corrupt - before).to.equal(1);
    }
  });

  it("does not keep a node from claiming", async () => {
    await fleet.command(0, "rpush", "ha:{farm:0}:t:00000004", "a");
    expect(await registry.claimToken(4, "a", LEASE_MS)).to.equal(undefined);
    expect(await registry.ownerOfToken(4)).to.equal("a");
  });
});

describe("registry: what a farm leaves in Redis", () => {
  let fleet: RedisFleet;
  let registry: RedisRegistry;

  before(async () => {
    fleet = await RedisFleet.single();
    registry = open("farm", fleet.settings);
    await ready(registry);
  });
  after(async () => {
    registry?.close();
    await fleet?.close();
  });

  const left = async () =>
    (await fleet.command(0, "--scan", "--pattern", "ha:*")).split("\n").filter(Boolean).toSorted();

  it("is nothing, some leases after its last node is gone, in order or not", async () => {
    await registry.renew(A, "settings", SHORT_MS);
    await registry.renew(B, "settings", SHORT_MS);
    expect(await left()).to.deep.equal(["ha:{farm}:members", "ha:{farm}:settings"]);
    await registry.leave(A);
    await until(async () => (await left()).length === 0, { what: "nothing is left", limitMs: 10_000 });
  });

  it("does not go by the shortest lease: a node that renews seldom stays known when one that renewed often is gone", async () => {
    await registry.renew(A, "settings", LEASE_MS);
    await registry.renew(B, "settings", SHORT_MS);
    for (const key of ["members", "settings"]) {
      expect(Number(await fleet.command(0, "pttl", `ha:{farm}:${key}`))).to.be.greaterThan(LEASE_MS);
    }
  });
});

describe("registry: TLS", () => {
  it("does not speak to a Redis whose certificate it cannot believe", async () => {
    const fleet = await RedisFleet.tls();
    const errors: Error[] = [];
    const registry = new RedisRegistry("farm", { ...fleet.settings, tls: {} }, (error) => errors.push(error));
    try {
      await until(() => errors.length > 0, { what: "the connection is refused", limitMs: 5000 });
      expect(errors[0]).to.have.property("code", "DEPTH_ZERO_SELF_SIGNED_CERT");
      expect(registry.health.connected).to.equal(false);
    } finally {
      registry.close();
      await fleet.close();
    }
  });
});

describe("registry: a Redis that fails", function () {
  this.timeout(20_000);
  let fleet: RedisFleet;
  let registry: RedisRegistry;

  beforeEach(async () => {
    fleet = await RedisFleet.single();
    registry = open("farm", fleet.settings);
    await ready(registry);
  });
  afterEach(async () => {
    registry?.close();
    await fleet?.close();
  });

  async function failure(call: Promise<unknown>): Promise<{ code: string; afterMs: number }> {
    const startMs = performance.now();
    const error = await call.then(
      () => ({ code: "answered" }),
      (reason: { code: string }) => reason,
    );
    return { code: error.code, afterMs: performance.now() - startMs };
  }

  it("ends a look-up of a Redis that hangs at its deadline, and works again when Redis does", async () => {
    await registry.claimToken(1, "a", LEASE_MS);
    fleet.signal(0, "SIGSTOP");
    const { code, afterMs } = await failure(registry.ownerOfToken(1));
    expect(code).to.equal("REGISTRY_UNANSWERED");
    expect(afterMs).to.be.within(49, 500);
    fleet.signal(0, "SIGCONT");
    expect(await eventually(10_000, () => registry.ownerOfToken(1))).to.equal("a");
  });

  it("refuses calls beyond the bound on those that wait", async () => {
    fleet.signal(0, "SIGSTOP");
    const calls = Array.from({ length: 20_000 }, (_, token) => failure(registry.ownerOfToken(token)));
    const refusedAtOnce = await Promise.race(calls.slice(16_384));
    expect(refusedAtOnce.code).to.equal("REGISTRY_UNANSWERED");
    expect(new Set((await Promise.all(calls)).map(({ code }) => code))).to.deep.equal(new Set(["REGISTRY_UNANSWERED"]));
    fleet.signal(0, "SIGCONT");
    expect(await eventually(10_000, () => registry.ownerOfToken(1))).to.equal(undefined);
  });

  it("fails at once without a connection", async () => {
    fleet.signal(0, "SIGKILL");
    await until(() => !registry.health.connected, { what: "the connection is lost", limitMs: 5000 });
    const { code, afterMs } = await failure(registry.ownerOfToken(1));
    expect(code).to.equal("REGISTRY_UNANSWERED");
    expect(afterMs).to.be.below(49);
    expect(registry.health.unanswered).to.be.greaterThan(0);
  });
});

describe("registry: fail-over", function () {
  this.timeout(40_000);

  for (const { name, start } of [
    { name: "Sentinel", start: () => RedisFleet.sentinel() },
    { name: "Cluster", start: () => RedisFleet.cluster(1) },
  ]) {
    it(`goes on with ${name} after a master was killed`, async () => {
      const fleet = await start();
      const registry = open("farm", fleet.settings);
      try {
        await ready(registry);
        // Tokens of every master.
        const tokens = Array.from({ length: 64 }, (_, index) => (index << 26) >>> 0);
        for (const token of tokens) await registry.claimToken(token, "a", LEASE_MS);
        fleet.signal(0, "SIGKILL");
        for (const token of tokens) await eventually(20_000, () => registry.claimToken(token, "a", LEASE_MS));
        for (const token of tokens) expect(await registry.ownerOfToken(token)).to.equal("a");
      } finally {
        registry.close();
        await fleet.close();
      }
    });
  }
});
