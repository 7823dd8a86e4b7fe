import type { CookieKeys } from "@hybrid-access/core/services/registry/cookie-keys";
import { MemoryRegistry } from "@hybrid-access/core/services/registry/memory";
import { inOrderOfUse, SharedCookieKeys } from "@hybrid-access/hag/farm/shared-cookie-keys";
import { expect } from "chai";

const LIFE_MS = 3_600_000;
const SPREADING_MS = 15_000;

/** Does not answer while it is away. */
class AwayRegistry extends MemoryRegistry {
  away = false;

  override async cookieKeys(...args: Parameters<MemoryRegistry["cookieKeys"]>): Promise<CookieKeys> {
    if (this.away) throw new Error("away");
    return await super.cookieKeys(...args);
  }
}

describe("hag/farm/shared-cookie-keys", () => {
  let nowMs: number;
  let registry: AwayRegistry;
  let changes: number;
  let nodes: SharedCookieKeys[];

  beforeEach(() => {
    nowMs = 1000;
    registry = new AwayRegistry(() => nowMs);
    changes = 0;
    nodes = [];
  });
  afterEach(() => {
    for (const node of nodes) node.stop();
  });

  function node(): SharedCookieKeys {
    const onKeys = () => {
      changes += 1;
    };
    const one = new SharedCookieKeys({ registry, lifeMs: LIFE_MS, onKeys });
    nodes.push(one);
    return one;
  }

  it("all nodes have the key of the first one, which goes on with it", async () => {
    const [first, second] = [node(), node()];
    const own = first.keys[0];
    await first.ask();
    await second.ask();
    expect(first.keys).to.deep.equal([own]);
    expect(second.keys).to.deep.equal([own]);
    expect(changes).to.equal(1);
  });

  it("a new key is accepted at once, makes cookies when all nodes know it, and the old one is accepted on", async () => {
    const one = node();
    await one.ask();
    const [old] = one.keys;
    nowMs += LIFE_MS;
    await one.ask();
    expect(one.keys).to.have.lengthOf(2);
    expect(one.keys[0]).to.deep.equal(old);
    const [, next] = one.keys;
    nowMs += SPREADING_MS - 1;
    await one.ask();
    expect(one.keys[0]).to.deep.equal(old);
    nowMs += 1;
    await one.ask();
    expect(one.keys).to.deep.equal([next, old]);
  });

  it("a key is refused when two others have come after its successor", async () => {
    const one = node();
    await one.ask();
    const [old = new Uint8Array()] = one.keys;
    for (let lives = 0; lives < 3; lives++) {
      nowMs += LIFE_MS;
      await one.ask();
    }
    expect(one.keys).to.have.lengthOf(3);
    expect(one.keys.map(String)).not.to.include(String(old));
  });

  it("without the registry a node keeps what it knows, and a new one has a key of its own until it answers", async () => {
    const [first, second] = [node(), node()];
    await first.ask();
    const known = first.keys;
    registry.away = true;
    await first.ask();
    await second.ask();
    expect(first.keys).to.deep.equal(known);
    expect(second.keys).to.have.lengthOf(1);
    expect(second.keys).not.to.deep.equal(known);
    expect(second.status()).to.deep.equal({ mode: "own", keys: 1 });
    registry.away = false;
    await second.ask();
    expect(second.keys).to.deep.equal(known);
    expect(second.status()).to.deep.equal({ mode: "shared", keys: 1 });
  });

  it("of keys that are all new, the oldest makes cookies", () => {
    const keys = [3, 2, 1].map((number) => ({ createdMs: number * 1000, key: Uint8Array.of(number) }));
    expect(inOrderOfUse({ nowMs: 4000, keys }).map(([number]) => number)).to.deep.equal([1, 3, 2]);
  });
});
