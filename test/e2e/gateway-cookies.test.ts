import { ERROR_CODE } from "@hybrid-access/core/wire/convert/codes";
import { findTlv } from "@hybrid-access/core/wire/convert/message";
import { expect } from "chai";
import { ask, connectTo, errorCode } from "../lab/convert-client.ts";
import { Forger, PLAIN_OPTIONS } from "../lab/forged-syn.ts";
import { countSyns, GATEWAY, gatewayConfig, gatewayUp, resetSyns } from "../lab/gateway.ts";
import { ADDRESS, hybridTopology } from "../lab/hybrid.ts";
import { HAG_CONFIG, Pair } from "../lab/pair.ts";
import { connectFrom, receive, StreamServer } from "../lab/stream.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
const OLD_KEY = "00112233445566778899aabbccddeeff";
const NEW_KEY = "ffeeddccbbaa99887766554433221100";

function keys(...list: string[]): string {
  return `cookies: { keys: [${list.map((key) => `"${key}"`).join(", ")}] }`;
}

/** Gives the HAG another configuration and waits until it says that it has taken it. */
async function reload(pair: Pair, config: string): Promise<void> {
  const reloads = () => pair.daemon("hag").log().split('"msg":"reloaded"').length;
  const before = reloads();
  pair.writeConfig("hag", config);
  pair.daemon("hag").process.kill("SIGHUP");
  await eventually(3000, () => expect(reloads()).to.equal(before + 1));
}

describe("cookies of the gateway (RFC 8803 section 6.2.7)", function () {
  this.timeout(20_000);
  let pair: Pair;
  let server: StreamServer;

  before(async () => {
    pair = await gatewayUp(gatewayConfig(keys(OLD_KEY)));
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  /** Asks without a cookie and gives the one from the answer. */
  async function obtain(from: string): Promise<Uint8Array> {
    const outcome = await ask(pair.lab, connectTo(GATEWAY.server, PORT), { from });
    expect(errorCode(outcome)).to.equal(ERROR_CODE.missingCookie);
    // The value begins with a byte of zero, for alignment.
    return findTlv(outcome.message ?? [], "error")?.value.slice(1) ?? new Uint8Array();
  }

  async function show(cookie: Uint8Array, from: string): Promise<number | undefined> {
    const code = errorCode(await ask(pair.lab, connectTo(GATEWAY.server, PORT, { type: "cookie", cookie }), { from }));
    if (code === undefined) (await server.accept()).destroy();
    return code;
  }

  for (const [family, client, thief] of [
    ["IPv4", GATEWAY.client, GATEWAY.neighbour],
    ["IPv6", GATEWAY.client6, GATEWAY.neighbour6],
  ] as const) {
    it(`${family}: no SYN leaves before a cookie was shown; with it the client is served`, async () => {
      await resetSyns(pair);
      const cookie = await obtain(client);
      expect(await countSyns(pair)).to.equal(0);
      expect(await show(cookie, client)).to.equal(undefined);
      expect(await countSyns(pair)).to.equal(1);
    });

    it(`${family}: a stolen cookie is refused from another address, as are changed and cut ones`, async () => {
      const cookie = await obtain(client);
      await resetSyns(pair);
      expect(await show(cookie, thief)).to.equal(ERROR_CODE.notAuthorized);
      expect(
        await show(
          cookie.map((byte, at) => (at === 15 ? byte ^ 1 : byte)),
          client,
        ),
      ).to.equal(ERROR_CODE.notAuthorized);
      expect(await show(cookie.slice(0, 12), client)).to.equal(ERROR_CODE.notAuthorized);
      expect(await countSyns(pair)).to.equal(0);
      expect(await show(cookie, client)).to.equal(undefined);
    });
  }

  it("forged SYNs with a Connect in them open nothing", async () => {
    await resetSyns(pair);
    const forger = new Forger(pair.lab, "cli");
    for (let index = 0; index < 100; index++) {
      forger.send({
        from: `${GATEWAY.forged}${1 + index}`,
        fromPort: 1024,
        to: GATEWAY.gateway,
        toPort: GATEWAY.port,
        sequence: index,
        options: PLAIN_OPTIONS,
        payload: connectTo(GATEWAY.server, PORT),
      });
    }
    forger.close();
    await eventually(3000, async () => {
      expect((await pair.status("hag")).counters.convertErrors).to.be.at.least(100);
    });
    expect(await countSyns(pair)).to.equal(0);
  });

  it("keys rotate: the new one makes cookies, the old ones' are accepted until it is removed", async () => {
    const old = await obtain(GATEWAY.client);
    await reload(pair, gatewayConfig(keys(NEW_KEY, OLD_KEY)));
    const fresh = await obtain(GATEWAY.client);
    expect(Buffer.compare(old, fresh)).to.not.equal(0);
    expect(await show(old, GATEWAY.client)).to.equal(undefined);
    expect(await show(fresh, GATEWAY.client)).to.equal(undefined);
    await reload(pair, gatewayConfig(keys(NEW_KEY)));
    expect(await show(old, GATEWAY.client)).to.equal(ERROR_CODE.notAuthorized);
    expect(await show(fresh, GATEWAY.client)).to.equal(undefined);
  });
});

describe("cookies through the pair", function () {
  this.timeout(30_000);
  let pair: Pair;
  let server: StreamServer;

  before(async () => {
    const topology = hybridTopology({ dsl: { down: {}, up: {} }, lte: { down: {}, up: {} } });
    pair = await Pair.up({ topology, hag: `${HAG_CONFIG}\n${keys(OLD_KEY)}` });
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  /** One exchange; gives the address that the server saw. */
  async function exchange(): Promise<string> {
    const near = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
    near.end("request");
    const received = receive(near);
    const far = await server.accept();
    const peer = far.remoteAddress ?? "";
    far.resume().end("answer");
    expect(await received).to.include({ bytes: 6, end: "end" });
    return peer.replace(/^::ffff:/, "");
  }

  it("a new key while connections come: every one is served, and through the gateway", async () => {
    let rotated = false;
    const rotation = (async () => {
      await reload(pair, `${HAG_CONFIG}\n${keys(NEW_KEY, OLD_KEY)}`);
      await reload(pair, `${HAG_CONFIG}\n${keys(NEW_KEY, OLD_KEY)}`);
      rotated = true;
    })();
    for (let count = 0; count < 100 || !rotated; count++) expect(await exchange()).to.equal("10.3.3.1");
    await rotation;
    const { counters } = await pair.status("hag");
    expect(counters.cookiesRefused).to.equal(0);
    expect((await pair.status("hcpe")).counters).to.include({ connectionsDirect: 0, connectionsReset: 0 });
  });

  it("a removed key: connections are served on, and through the gateway again after the first one", async () => {
    await reload(pair, `${HAG_CONFIG}\n${keys(OLD_KEY)}`);
    await exchange();
    await reload(pair, `${HAG_CONFIG}\n${keys(NEW_KEY)}`);
    await exchange();
    for (let count = 0; count < 20; count++) expect(await exchange()).to.equal("10.3.3.1");
    expect((await pair.status("hcpe")).counters.connectionsReset).to.equal(0);
  });
});
