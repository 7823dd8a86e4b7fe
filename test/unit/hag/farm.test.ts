import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type { PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import { createLogger } from "@hybrid-access/core/services/log";
import { MemoryRegistry } from "@hybrid-access/core/services/registry/memory";
import type { Member, Registry } from "@hybrid-access/core/services/registry/registry";
import { flowId } from "@hybrid-access/core/wire/steered-packet";
import { loadHagConfig } from "@hybrid-access/hag/config";
import type { FarmConfig } from "@hybrid-access/hag/farm/config";
import { type KnownNode, Membership } from "@hybrid-access/hag/farm/membership";
import { Publisher } from "@hybrid-access/hag/farm/publisher";
import { expect } from "chai";
import { eventually } from "../../support/eventually.ts";

const LOG = createLogger("test", "silent" as "error");
const TOKEN = 0xcafe0001;
const LOCAL = { address: ipAddress("10.9.9.9"), port: 5124 };
const FIRST = { address: ipAddress("10.1.1.2"), port: 40_000 };
const SECOND = { address: ipAddress("10.1.2.2"), port: 40_001 };

/** Registry calls that wait until the event loop has come round. */
async function settled(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** Refuses what is said of tokens while it fails. */
class FlakyRegistry extends MemoryRegistry {
  failing = false;
  searches = 0;

  override async tokensOf(node: string): Promise<readonly number[]> {
    this.searches += 1;
    return await super.tokensOf(node);
  }

  override async claimToken(...args: Parameters<Registry["claimToken"]>): Promise<string | undefined> {
    if (this.failing) throw new Error("away");
    return await super.claimToken(...args);
  }

  override async releaseToken(...args: Parameters<Registry["releaseToken"]>): Promise<void> {
    if (this.failing) throw new Error("away");
    await super.releaseToken(...args);
  }
}

describe("hag/farm/publisher", () => {
  let registry: FlakyRegistry;
  let publisher: Publisher;
  let isMember: boolean;
  const owned: string[] = [];

  beforeEach(() => {
    isMember = true;
    registry = new FlakyRegistry(() => performance.now());
    owned.length = 0;
    publisher = new Publisher({
      registry,
      node: "a",
      tokenLifeMs: 60_000,
      isAlive: (node) => node === "living",
      isMember: () => isMember,
      onOwned: (key) => owned.push(key.type),
      log: LOG,
    });
  });
  afterEach(() => publisher.close());

  function created(remote = FIRST, token = TOKEN): PathEvent {
    const path = { localId: 0, remoteId: 0, local: LOCAL, remote };
    return { type: "connectionCreated", token, ...path, serverSide: true, denyJoinInitial: false };
  }

  function subflow(type: "subflowEstablished" | "subflowClosed"): PathEvent {
    const path = { token: TOKEN, localId: 0, remoteId: 2, local: LOCAL, remote: SECOND };
    return type === "subflowEstablished"
      ? { type, ...path, backup: false }
      : { type, ...path, error: 0, resetReason: undefined };
  }

  it("publishes a connection's token and its subflows, and takes them back one by one", async () => {
    publisher.onEvent(created());
    publisher.onEvent(subflow("subflowEstablished"));
    await settled();
    expect(await registry.ownerOfToken(TOKEN)).to.equal("a");
    expect(await registry.ownerOfFlow(flowId(FIRST, 5124))).to.equal("a");
    expect(await registry.ownerOfFlow(flowId(SECOND, 5124))).to.equal("a");
    expect(owned).to.deep.equal(["token", "flow", "flow"]);
    publisher.onEvent(subflow("subflowClosed"));
    await settled();
    expect(await registry.ownerOfFlow(flowId(SECOND, 5124))).to.equal(undefined);
    publisher.onEvent({ type: "connectionClosed", token: TOKEN });
    await settled();
    expect(await registry.ownerOfToken(TOKEN)).to.equal(undefined);
    expect(await registry.ownerOfFlow(flowId(FIRST, 5124))).to.equal(undefined);
    expect(publisher.tokens).to.equal(0);
  });

  it("publishes nothing of connections that this host opened", async () => {
    publisher.onEvent({ ...created(), serverSide: false } as PathEvent);
    await settled();
    expect(await registry.ownerOfToken(TOKEN)).to.equal(undefined);
  });

  it("counts a token that another living node has, leaves it there, and does not take it back at the end", async () => {
    await registry.claimToken(TOKEN, "living", 60_000);
    publisher.onEvent(created());
    await settled();
    expect(publisher.counters.collisions).to.equal(1);
    publisher.onEvent({ type: "connectionClosed", token: TOKEN });
    await settled();
    expect(await registry.ownerOfToken(TOKEN)).to.equal("living");
  });

  it("counts a collision once, however often the claim is renewed, and another one of the same token again", async () => {
    await registry.claimToken(TOKEN, "living", 60_000);
    publisher.onEvent(created());
    await settled();
    for (const owner of ["living", undefined, "living"]) {
      if (owner === undefined) await registry.releaseToken(TOKEN, "living");
      else await registry.claimToken(TOKEN, owner, 60_000, true);
      const before = publisher.counters.published;
      publisher.publishAgain();
      await eventually(5000, () => expect(publisher.counters.published).to.equal(before + 1));
      await settled();
      expect(await registry.ownerOfToken(TOKEN)).to.equal(owner ?? "a");
    }
    expect(publisher.counters.collisions).to.equal(2);
  });

  it("takes a token that a dead node left behind", async () => {
    await registry.claimToken(TOKEN, "dead", 60_000);
    publisher.onEvent(created());
    await settled();
    expect(await registry.ownerOfToken(TOKEN)).to.equal("a");
    expect(publisher.counters.collisions).to.equal(0);
  });

  it("publishes everything again when the registry has forgotten", async () => {
    publisher.onEvent(created());
    await settled();
    await registry.releaseToken(TOKEN, "a");
    await registry.releaseFlow(flowId(FIRST, 5124), "a");
    publisher.publishAgain();
    await eventually(5000, async () => {
      expect(await registry.ownerOfToken(TOKEN)).to.equal("a");
      expect(await registry.ownerOfFlow(flowId(FIRST, 5124))).to.equal("a");
    });
  });

  it("publishes again what the registry did not take", async () => {
    registry.failing = true;
    publisher.onEvent(created());
    await settled();
    expect(publisher.counters.failed).to.equal(1);
    registry.failing = false;
    await eventually(5000, async () => expect(await registry.ownerOfToken(TOKEN)).to.equal("a"));
  });

  it("takes back what the registry did not hear of, and nothing else, as soon as it hears again", async () => {
    const other = TOKEN + 1;
    publisher.onEvent(created());
    publisher.onEvent(created(SECOND, other));
    await registry.claimToken(1, "living", 60_000);
    // The first search has found nothing; what follows is another one's work, long before the tokens expire.
    await eventually(5000, () => expect(registry.searches).to.equal(1));
    registry.failing = true;
    publisher.onEvent({ type: "connectionClosed", token: TOKEN });
    await settled();
    registry.failing = false;
    expect(await registry.tokensOf("a")).to.include(TOKEN);
    await eventually(8000, async () => expect(await registry.tokensOf("a")).to.deep.equal([other]));
    expect(await registry.tokensOf("living")).to.deep.equal([1]);
  });

  it("takes back what an earlier life has left, but nothing while another node may have its name", async () => {
    isMember = false;
    await registry.claimToken(1, "a", 60_000);
    publisher.onEvent(created());
    await settled();
    await registry.releaseToken(TOKEN, "a");
    publisher.publishAgain();
    // The tick that has published again has let the other token be.
    await eventually(5000, async () => expect(await registry.ownerOfToken(TOKEN)).to.equal("a"));
    await settled();
    expect(await registry.ownerOfToken(1)).to.equal("a");
    isMember = true;
    await eventually(5000, async () => expect(await registry.tokensOf("a")).to.deep.equal([TOKEN]));
  });
});

const FARM = `
clients: []
farm:
  steering: steer
  node: a
  virtualAddresses: [ 10.9.9.9 ]
  addresses: [ 10.8.0.11 ]
  network: [ 10.8.0.0/24 ]
`;

function load(yaml: string): FarmConfig {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-farm-"));
  try {
    const config = join(directory, "hag.yaml");
    writeFileSync(config, yaml);
    return loadHagConfig({ config, set: [] }).farm;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

describe("hag/farm/config", () => {
  it("takes a farm that makes sense", () => expect(load(FARM).node).to.equal("a"));

  for (const [what, from, to, message] of [
    ["a name that could not be a key", "node: a", "node: A/b", /\d+:\d+: farm\.node: expected a name/],
    [
      "a farm's name that could not be a key",
      "node: a",
      'node: a\n  name: "{farm}"',
      /\d+:\d+: farm\.name: expected a name/,
    ],
    ["no virtual address", "[ 10.9.9.9 ]", "[]", /farm\.virtualAddresses: a farm needs/],
    [
      "two virtual addresses of a family",
      "[ 10.9.9.9 ]",
      "[ 10.9.9.9, 10.9.9.8 ]",
      /virtualAddresses: there can be one/,
    ],
    ["no own address of the family", "[ 10.9.9.9 ]", '[ "fd99::9" ]', /farm\.addresses: there is none of the family/],
    ["an own address outside the farm's network", "10.8.0.11", "10.7.0.11", /farm\.network: 10\.7\.0\.11 lies outside/],
    ["a weight of nothing", "node: a", "node: a\n  weight: 0", /\d+:\d+: farm\.weight/],
    ["a lease too short to keep", "node: a", "node: a\n  lease: 50ms", /\d+:\d+: farm\.lease/],
    ["a hold longer than a client waits", "node: a", "node: a\n  hold: 2s", /\d+:\d+: farm\.hold/],
    ["a life of tokens too short to renew them", "node: a", "node: a\n  tokenLife: 1s", /\d+:\d+: farm\.tokenLife/],
  ] as const) {
    it(`refuses ${what}`, () => expect(() => load(FARM.replace(from, to))).to.throw(message));
  }
});

describe("hag/farm/membership", () => {
  let nowMs: number;
  let registry: MemoryRegistry;
  let views: (readonly KnownNode[])[];
  let forgotten: number;
  let membership: Membership;

  beforeEach(() => {
    nowMs = 0;
    registry = new MemoryRegistry(() => nowMs);
    views = [];
    forgotten = 0;
    const config = load(FARM.replace("node: a", "node: a\n  lease: 200ms"));
    membership = new Membership(
      registry,
      config,
      () => 7,
      {
        change: (nodes) => views.push(nodes),
        forgotten() {
          forgotten += 1;
        },
      },
      LOG,
    );
  });
  afterEach(() => membership.stop());

  function other(name: string, address: string): Member {
    return { name, addresses: [ipAddress(address)], state: "up", weight: 1, load: 0 };
  }

  const settings = JSON.stringify({ steering: "steer", virtualAddresses: ["10.9.9.9"] });

  it("sees itself and the others, and keeps one whose lease has run out, as lost", async () => {
    await registry.renew(other("b", "10.8.0.12"), settings, 1000);
    await membership.join();
    expect(membership.nodes().map(({ member, alive }) => [member.name, alive])).to.deep.equal([
      ["b", true],
      ["a", true],
    ]);
    nowMs = 2000;
    await eventually(2000, () => expect(membership.isAlive("b")).to.equal(false));
    expect(membership.nodes().map(({ member }) => member.name)).to.include("b");
    expect(views.length).to.be.greaterThan(1);
  });

  it("does not take nodes for lost that a registry has forgotten together with this one, until they had time to return", async () => {
    const b = other("b", "10.8.0.12");
    const c = other("c", "10.8.0.13");
    for (const node of [b, c]) await registry.renew(node, settings, 60_000);
    await membership.join();
    const forgottenMs = performance.now();
    await Promise.all([b, c, other("a", "10.8.0.11")].map((node) => registry.leave(node)));
    await eventually(2000, async () => expect((await registry.members()).length).to.equal(1));
    expect(forgotten).to.equal(1);
    await registry.renew(b, settings, 60_000);
    await eventually(5000, () => expect(membership.isAlive("c")).to.equal(false));
    expect(performance.now() - forgottenMs).to.be.greaterThan(1200);
    expect(views.flat().filter(({ member, alive }) => member.name === "b" && !alive)).to.deep.equal([]);
  });

  it("sees lost ones too when it was started again so soon that the registry still knew it", async () => {
    const b = other("b", "10.8.0.12");
    await registry.renew(b, settings, 60_000);
    await registry.renew(other("a", "10.8.0.11"), settings, 60_000);
    await membership.join();
    await registry.leave(b);
    await eventually(5000, () => expect(membership.isAlive("b")).to.equal(false));
  });

  it("ignores and counts a node outside the farm's network", async () => {
    await registry.renew(other("b", "192.0.2.1"), settings, 1000);
    await membership.join();
    expect(membership.nodes().map(({ member }) => member.name)).to.deep.equal(["a"]);
    expect(membership.foreign).to.equal(1);
  });

  it("does not join a farm that has its name twice, or that is configured otherwise", async () => {
    await registry.renew(other("a", "10.8.0.99"), settings, 1000);
    expect(await refusal()).to.equal("FARM_NAME_TAKEN");
    await registry.leave(other("a", "10.8.0.99"));
    await registry.renew(other("b", "10.8.0.12"), "other settings", 1000);
    expect(await refusal()).to.equal("FARM_SETTINGS");
  });

  async function refusal(): Promise<string> {
    return await membership.join().then(
      () => "joined",
      (error: { code: string }) => error.code,
    );
  }
});
