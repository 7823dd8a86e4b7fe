import { expect } from "chai";
import { kernelOnly } from "../lab/engine-under-test.ts";
import { ADDRESS } from "../lab/hybrid.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { connectFrom, receive } from "../lab/stream.ts";
import { PeerServer, type Visit, visit } from "../lab/visit.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
/** What the server sees of connections through a gateway, and of direct ones over DSL. */
const GATEWAY = "10.3.3.1";
const DIRECT = ADDRESS.dsl;

const FIRST_LIMIT_MS = 1500;
const FOLLOWING_LIMIT_MS = 200;
const RETURN_LIMIT_MS = 5000;

const TWO_GATEWAYS = HCPE_CONFIG.replace(
  /^gateways: .*$/m,
  "gateways: [ { address: 10.9.9.9, port: 5124 }, { address: 10.9.9.9, port: 5125 } ]",
);
const SECOND_HAG = HAG_CONFIG.replace("port: 5124", "port: 5125");
const withKey = (config: string, digit: string) => `${config}\ncookies: { keys: [ "${digit.repeat(32)}" ] }\n`;

/** Packets to the gateway's port vanish: its host is silent. */
const SILENCE =
  "table inet silence { chain input { type filter hook prerouting priority raw; tcp dport 5124 drop; }; }";

describe("gateways that fail", function () {
  this.timeout(40_000);
  let pair: Pair;
  let server: PeerServer;
  /** What a connection from the HCPE itself to the server takes, without the pair. */
  let directMs: number;

  const go = (): Promise<Visit> => visit(pair.lab, ADDRESS.server, PORT);

  before(async () => {
    pair = await Pair.up();
    server = new PeerServer(pair.lab, "srv", PORT);
    directMs = (await visit(pair.lab, ADDRESS.server, PORT, { from: "hcpe" })).firstByteMs;
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  async function expectDirectFallback(): Promise<void> {
    const first = await go();
    expect(first.peer).to.equal(DIRECT);
    expect(first.firstByteMs).to.be.below(FIRST_LIMIT_MS);
    await expectDirectAtOnce();
  }

  async function expectDirectAtOnce(): Promise<void> {
    for (let count = 0; count < 5; count++) {
      const following = await go();
      expect(following.peer).to.equal(DIRECT);
      expect(following.firstByteMs).to.be.below(directMs + FOLLOWING_LIMIT_MS);
    }
  }

  async function expectReturn(): Promise<void> {
    await eventually(RETURN_LIMIT_MS, async () => expect((await go()).peer).to.equal(GATEWAY));
  }

  it("a killed one: the first connection goes direct within 1.5 s, the following at once, and it is used again", async () => {
    expect((await go()).peer).to.equal(GATEWAY);
    await pair.daemon("hag").end("SIGKILL");
    await expectDirectFallback();
    await pair.start("hag", HAG_CONFIG);
    await expectReturn();
  });

  it("one whose host is silent: the same", async () => {
    await pair.lab.run("hag", ["nft", "-f", "-"], { input: SILENCE });
    await expectDirectFallback();
    await pair.lab.run("hag", ["nft", "delete", "table", "inet", "silence"]);
    await expectReturn();
  });

  it("one that accepts and never answers is found, passed by, and used again when it answers", async function () {
    kernelOnly(this, "the transport of a process that is stopped does not accept");
    pair.daemon("hag").process.kill("SIGSTOP");
    const waiting = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
    waiting.write("may have reached the server");
    const reset = receive(waiting);
    const silentClient = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
    await eventually(4000, async () => expect((await pair.status("hcpe")).gateways[0]?.up).to.equal(false));
    await expectDirectAtOnce();
    // What may have reached the server is not sent again; who has said nothing yet goes another way.
    expect((await reset).end).to.equal("ECONNRESET");
    const answer = receive(silentClient);
    silentClient.end("?");
    expect(await answer).to.include({ end: "end", bytes: DIRECT.length });
    pair.daemon("hag").process.kill("SIGCONT");
    await expectReturn();
  });

  describe("with a second one", () => {
    before(async () => {
      await pair.daemon("hcpe").end("SIGTERM");
      await pair.start("hag", withKey(SECOND_HAG, "b"), { instance: "hag2" });
    });

    it("the second is used, and never shown the first one's cookie", async () => {
      await pair.daemon("hag").end("SIGTERM");
      await pair.start("hag", withKey(HAG_CONFIG, "a"));
      await pair.start("hcpe", TWO_GATEWAYS);
      expect((await go()).peer).to.equal(GATEWAY);
      expect((await pair.status("hag")).counters).to.include({ connectionsMultipath: 1, cookiesRefused: 0 });
      await pair.daemon("hag").end("SIGKILL");
      const first = await go();
      expect(first.peer).to.equal(GATEWAY);
      expect(first.firstByteMs).to.be.below(FIRST_LIMIT_MS);
      expect((await go()).firstByteMs).to.be.below(directMs + FOLLOWING_LIMIT_MS);
      expect((await pair.status("hag", "hag2")).counters).to.include({ connectionsMultipath: 2, cookiesRefused: 0 });
      expect((await pair.status("hcpe")).counters).to.include({ connectionsDirect: 0 });
    });

    it("the first is preferred again once it answers", async () => {
      await pair.start("hag", withKey(HAG_CONFIG, "a"));
      await eventually(RETURN_LIMIT_MS, async () => {
        await go();
        expect((await pair.status("hag")).counters.connectionsMultipath).to.be.above(0);
      });
    });

    it("a cookie under a removed key is given up, and the bytes behind it arrive all the same", async () => {
      const before = (await pair.status("hag")).counters;
      pair.writeConfig("hag", withKey(HAG_CONFIG, "c"));
      pair.daemon("hag").process.kill("SIGHUP");
      await eventually(2000, () => expect(pair.daemon("hag").log()).to.contain('"msg":"reloaded"'));
      for (let count = 0; count < 3; count++) expect((await go()).peer).to.equal(GATEWAY);
      const { counters } = await pair.status("hag");
      expect(counters.cookiesRefused).to.equal((before.cookiesRefused ?? 0) + 1);
      expect((await pair.status("hcpe")).counters).to.include({ connectionsDirect: 0 });
    });
  });
});
