import { expect } from "chai";
import { ADDRESS, cableTopology } from "../lab/hybrid.ts";
import { NameServer } from "../lab/name-server.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { connectFrom, pattern, receive, StreamServer } from "../lab/stream.ts";
import { TcpMeter } from "../lab/tcp-meter.ts";
import { PeerServer, visit } from "../lab/visit.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
const STREAM_PORT = 7001;
const DNS_PORT = 5353;
const FIRST = "10.9.9.9";
const SECOND = "10.9.9.8";
/** What the server sees of a connection that went direct. */
const DIRECT = ADDRESS.dsl;

const at = (address: string) => HAG_CONFIG.replace('"::"', address);
const withGateways = (gateways: string) =>
  HCPE_CONFIG.replace(/^gateways: .*$/m, `gateways: [ ${gateways} ]\ntimeouts: { check: 200ms }`);
const BOTH = withGateways(`{ address: ${FIRST} }, { address: ${SECOND} }`);
const NAMED = `${withGateways("{ address: hag.example.net }")}
resolvers: [ { address: 127.0.0.1, port: ${DNS_PORT} } ]
`;

/** The first gateway's address refuses connections. */
const REFUSAL = `table inet refusal { chain input {
  type filter hook prerouting priority mangle; ip daddr ${FIRST} tcp dport 5124 reject with tcp reset;
}; }`;

/** The first gateway's address is as if its host were off. */
const SILENCE = REFUSAL.replace("refusal", "silence").replace("reject with tcp reset", "drop");

describe("a choice of gateways", function () {
  this.timeout(40_000);
  let pair: Pair;
  let peers: PeerServer;
  let streams: StreamServer;

  before(async () => {
    pair = await Pair.lab(cableTopology());
    await pair.lab.run("hag", ["ip", "address", "add", `${SECOND}/32`, "dev", "lo"]);
    await pair.start("hag", at(FIRST));
    await pair.start("hag", at(SECOND), { instance: "hag2" });
    peers = new PeerServer(pair.lab, "srv", PORT);
    streams = new StreamServer(pair.lab, "srv", STREAM_PORT);
  });
  after(async () => {
    await peers?.close();
    await streams?.close();
    await pair?.down();
  });
  afterEach(() => pair.daemon("hcpe").end("SIGTERM"));

  /** Makes a connection and says who carried it. */
  async function carrier(): Promise<"first" | "second" | "direct"> {
    const carried = async (instance: string) => (await pair.status("hag", instance)).counters.connectionsMultipath ?? 0;
    const before = await carried("hag");
    const { peer } = await visit(pair.lab, ADDRESS.server, PORT);
    if (peer === DIRECT) return "direct";
    return (await carried("hag")) > before ? "first" : "second";
  }

  async function expectCarrier(expected: string): Promise<void> {
    await eventually(10_000, async () => expect(await carrier()).to.equal(expected));
  }

  const gateways = async () => (await pair.status("hcpe")).gateways;
  const failures = async () => (await pair.status("hcpe")).counters.gatewayFailures;

  it("by name: new connections follow the name's addresses, open ones stay, and a silent name server changes nothing", async () => {
    const names = new NameServer(pair.lab, "hcpe", DNS_PORT, 1);
    try {
      await pair.start("hcpe", NAMED);
      expect(await carrier()).to.equal("direct");
      names.addresses = [FIRST, "127.0.0.1", "0.0.0.0", "224.0.0.1"];
      await expectCarrier("first");
      expect((await gateways()).map(({ gateway }) => gateway)).to.deep.equal([`${FIRST}:5124`]);
      const client = connectFrom(pair.lab, "lan", ADDRESS.server, STREAM_PORT);
      client.write("x");
      const peer = await streams.accept();
      names.addresses = [SECOND];
      await expectCarrier("second");
      const arrived = receive(client);
      peer.resume().end(pattern(100_000, 3));
      expect(await arrived).to.include({ end: "end", bytes: 100_000 });
      client.end();
      names.addresses = undefined;
      const asked = names.questions;
      await eventually(10_000, () => expect(names.questions).to.be.above(asked + 2));
      expect(await carrier()).to.equal("second");
      names.addresses = [FIRST, SECOND];
      await eventually(15_000, async () => expect((await gateways()).filter(({ up }) => up)).to.have.length(2));
    } finally {
      names.close();
    }
  });

  it("asks a name no more often than once a second, whatever its answers' life", async () => {
    const names = new NameServer(pair.lab, "hcpe", DNS_PORT, 0);
    names.addresses = [FIRST];
    try {
      const startMs = performance.now();
      await pair.start("hcpe", NAMED);
      await eventually(10_000, () => expect(names.questions).to.be.at.least(6));
      // Both families, at once and after each second; those of the first may have gone before `start` resolved.
      expect(names.questions).to.be.at.most(2 * (2 + (performance.now() - startMs) / 1000));
    } finally {
      names.close();
    }
  });

  it("by load: a gateway that is nearly full is left alone until it has room again, and used when no other is left", async () => {
    await pair.daemon("hag").end("SIGTERM");
    await pair.start("hag", `${at(FIRST)}\nmaxConnections: 20`);
    await pair.start("hcpe", BOTH);
    const open = [];
    for (let count = 0; count < 18; count++) {
      const client = connectFrom(pair.lab, "lan", ADDRESS.server, STREAM_PORT);
      client.write("x");
      open.push({ client, peer: await streams.accept() });
    }
    await eventually(5000, async () => expect((await gateways())[0]).to.include({ up: true, busy: true }));
    for (let count = 0; count < 5; count++) expect(await carrier()).to.equal("second");
    await pair.daemon("hag2").end("SIGKILL");
    expect(await carrier()).to.equal("first");
    await pair.start("hag", at(SECOND), { instance: "hag2" });
    await expectCarrier("second");
    for (const { client, peer } of open) {
      client.destroy();
      peer.destroy();
    }
    await expectCarrier("first");
    expect((await gateways())[0]).to.include({ busy: false });
  });

  it("that flaps: the first return is at once, the next ones after a trial; no connection fails meanwhile", async () => {
    const refuse = () => pair.lab.run("hag", ["nft", "-f", "-"], { input: REFUSAL });
    const serve = () => pair.lab.run("hag", ["nft", "delete", "table", "inet", "refusal"]);
    const first = async () => (await gateways())[0];
    await pair.start("hcpe", BOTH);
    await refuse();
    await expectCarrier("second");
    await serve();
    await eventually(3000, async () => expect(await first()).to.include({ up: true }));
    expect(await carrier()).to.equal("first");
    await refuse();
    await expectCarrier("second");
    await serve();
    await eventually(3000, async () => expect((await first())?.reason).to.match(/not for long enough/));
    const before = await failures();
    // A failure during the trial begins it anew.
    await refuse();
    await eventually(3000, async () => expect((await first())?.reason).to.match(/ECONNREFUSED/));
    await serve();
    const startMs = performance.now();
    const carriers: string[] = [];
    await eventually(6000, async () => expect(carriers[carriers.push(await carrier()) - 1]).to.equal("first"));
    expect(performance.now() - startMs).to.be.above(1500);
    expect(carriers.slice(0, -1)).to.satisfy((others: string[]) => others.every((one) => one === "second"));
    expect(await carrier()).to.equal("first");
    expect(await failures()).to.equal(before);
  });

  it("is asked over the preferred uplink alone while that works, also when one is silent: not a packet on LTE", async () => {
    await pair.start("hcpe", BOTH.replace("policy: aggregate", "policy: single-path"));
    const meter = await TcpMeter.on(pair.lab, "rlte");
    const up = async () => (await gateways()).map((gateway) => gateway.up);
    const first = await TcpMeter.on(pair.lab, "rdsl");
    await eventually(5000, async () => expect((await first.read()).syns).to.be.at.least(10));
    try {
      await pair.lab.run("hag", ["nft", "-f", "-"], { input: SILENCE });
      await eventually(10_000, async () => expect(await up()).to.deep.equal([false, true]));
      const asked = (await first.read()).syns;
      await eventually(10_000, async () => expect((await first.read()).syns).to.be.at.least(asked + 10));
    } finally {
      await pair.lab.run("hag", ["nft", "delete", "table", "inet", "silence"]);
    }
    await eventually(10_000, async () => expect(await up()).to.deep.equal([true, true]));
    expect((await meter.read()).packets).to.equal(0);
  });

  it("both killed: direct at once, and back to the first one when it answers", async () => {
    await pair.start("hcpe", BOTH);
    expect(await carrier()).to.equal("first");
    await Promise.all(["hag", "hag2"].map((instance) => pair.daemon(instance).end("SIGKILL")));
    for (let count = 0; count < 5; count++) {
      const { peer, firstByteMs } = await visit(pair.lab, ADDRESS.server, PORT);
      expect(peer).to.equal(DIRECT);
      expect(firstByteMs).to.be.below(1500);
    }
    await pair.start("hag", at(FIRST));
    await pair.start("hag", at(SECOND), { instance: "hag2" });
    await expectCarrier("first");
  });
});
