import { readFileSync } from "node:fs";
import { expect } from "chai";
import { kernelOnly } from "../lab/engine-under-test.ts";
import { Forger, MP_CAPABLE, PLAIN_OPTIONS } from "../lab/forged-syn.ts";
import { ADDRESS, hybridTopology } from "../lab/hybrid.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { connectFrom, hashOf, pattern, receive, StreamServer } from "../lab/stream.ts";
import { until } from "../lab/until.ts";

const PORT = 7000;
const CONNECTIONS = 5;
const BYTES = 50_000;
/** Half-open connections that the gateway's listener keeps. */
const BACKLOG = 128;

/** Answers to forged SYNs go nowhere, and nobody says so. */
const SILENCE = `table inet silence {
  chain forward {
    type filter hook forward priority filter;
    ip daddr 10.1.1.128/25 drop
  }
}
`;

/** RFC 8041 section 3.11: both keys come back in the third ACK, so a gateway without state finds its connection again. */
describe("a gateway that answers with SYN cookies", function () {
  this.timeout(40_000);
  let pair: Pair;
  let server: StreamServer;

  before(async function () {
    kernelOnly(
      this,
      "the kernel's cookies and what it counts of them; the userspace transport's are tested as pure code",
    );
    pair = await Pair.lab(hybridTopology());
    await pair.lab.run("hag", ["sysctl", "-qw", `net.core.somaxconn=${BACKLOG}`]);
    await pair.lab.run("rdsl", ["nft", "-f", "-"], { input: SILENCE });
    await pair.start("hag", HAG_CONFIG);
    await pair.start("hcpe", HCPE_CONFIG);
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  /** What the gateway's kernel counts of TCP (TcpExt of /proc/net/netstat). */
  function counted(name: string): number {
    const lines = pair.lab.inside("hag", () => readFileSync("/proc/self/net/netstat", "utf8")).split("\n");
    const [names = [], values = []] = lines.filter((line) => line.startsWith("TcpExt:")).map((line) => line.split(" "));
    return Number(values[names.indexOf(name)]);
  }

  async function multipath(): Promise<{ connectionsMultipath: number; connectionsPlain: number }> {
    const { counters } = await pair.status("hag");
    return {
      connectionsMultipath: counters.connectionsMultipath ?? 0,
      connectionsPlain: counters.connectionsPlain ?? 0,
    };
  }

  /** Both streams of a connection arrive whole; it had so many subflows. */
  async function exchange(subflows: number): Promise<void> {
    const near = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
    near.write("x");
    const far = await server.accept();
    if (subflows > 1) {
      const all = async () => (await pair.status("hcpe")).paths.subflows === subflows;
      await until(all, { what: `it has ${subflows} subflows`, limitMs: 10_000 });
    }
    const received = [receive(far), receive(near)] as const;
    const sent = [pattern(BYTES, 1), pattern(BYTES, 2)] as const;
    far.resume();
    near.end(sent[0]);
    far.end(sent[1]);
    const up = hashOf(Buffer.concat([Buffer.from("x"), sent[0]]));
    expect(await received[0]).to.deep.equal({ bytes: BYTES + 1, hash: up, end: "end" });
    expect(await received[1]).to.deep.equal({ bytes: BYTES, hash: hashOf(sent[1]), end: "end" });
    await until(async () => (await pair.status("hcpe")).paths.connections === 0, { what: "it is over", limitMs: 5000 });
  }

  it("to every SYN: one with data costs its connection Multipath TCP, the next ones come without and have two subflows", async () => {
    await pair.lab.run("hag", ["sysctl", "-qw", "net.ipv4.tcp_syncookies=2"]);
    await exchange(1);
    expect(await multipath()).to.deep.equal({ connectionsMultipath: 0, connectionsPlain: 1 });
    for (let count = 0; count < CONNECTIONS; count++) await exchange(2);
    expect(await multipath()).to.deep.equal({ connectionsMultipath: CONNECTIONS, connectionsPlain: 1 });
    expect(counted("SyncookiesRecv")).to.equal(1 + 2 * CONNECTIONS);
  });

  it("in a flood of forged SYNs with MP_CAPABLE: connections are Multipath TCP and get their second subflow", async () => {
    await pair.lab.run("hag", ["sysctl", "-qw", "net.ipv4.tcp_syncookies=1"]);
    const before = await multipath();
    const sentBefore = counted("SyncookiesSent");
    const receivedBefore = counted("SyncookiesRecv");
    const forger = new Forger(pair.lab, "rdsl");
    let sent = 0;
    const flood = setInterval(() => {
      for (let count = 0; count < 20; count++, sent++) {
        forger.send({
          from: `10.1.1.${128 + (sent % 100)}`,
          fromPort: 1024 + (sent % 60_000),
          to: ADDRESS.gateway,
          toPort: 5124,
          sequence: sent,
          options: [...PLAIN_OPTIONS, MP_CAPABLE],
          payload: new Uint8Array(),
        });
      }
    }, 5);
    try {
      await until(() => counted("SyncookiesSent") > sentBefore, { what: "the queue is full", limitMs: 5000 });
      for (let count = 0; count < CONNECTIONS; count++) await exchange(2);
    } finally {
      clearInterval(flood);
      forger.close();
    }
    const { connectionsMultipath, connectionsPlain } = await multipath();
    expect(connectionsMultipath).to.equal(before.connectionsMultipath + CONNECTIONS);
    expect(connectionsPlain).to.equal(before.connectionsPlain);
    expect(counted("SyncookiesRecv") - receivedBefore).to.be.at.least(CONNECTIONS);
    expect((await pair.status("hcpe")).counters).to.include({ connectionsDirect: 0 });
  });
});
