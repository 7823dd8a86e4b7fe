import { once } from "node:events";
import { expect } from "chai";
import { differences, type HostState, hostState } from "../lab/host-state.ts";
import { ADDRESS } from "../lab/hybrid.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { connectFrom, receive } from "../lab/stream.ts";
import { PeerServer, visit } from "../lab/visit.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
const BYPASSED_PORT = 7001;
/** More addresses of the server's, which the configuration exempts. */
const BYPASSED = "10.3.3.3";
const BYPASSED6 = "fd33::3";
const EXPEDITED = 46;

const CONFIG = `${HCPE_CONFIG}
bypass:
  destinations: [ ${BYPASSED}, "${BYPASSED6}" ]
  ports: [ ${BYPASSED_PORT} ]
  dscp: [ ${EXPEDITED} ]
`;

/** What the server sees: of carried connections the gateway; of others the home, IPv4 behind its NAT. */
const FAMILIES = [
  { family: "IPv4", host: ADDRESS.server, exempt: BYPASSED, carried: "10.3.3.1", plain: ADDRESS.dsl },
  { family: "IPv6", host: ADDRESS.server6, exempt: BYPASSED6, carried: "fd33::1", plain: ADDRESS.lanHost6 },
] as const;

/** Routes to the userspace engine's devices, and settings of those, go with a daemon that is killed. */
function withoutDevices(state: HostState): HostState {
  const kept = (text: string) => text.split("\n").filter((line) => !line.includes("hcpetun"));
  return { ...state, routes: kept(state.routes).join("\n"), sysctls: kept(state.sysctls).join("\n") };
}

describe("interception of the LAN's connections", function () {
  this.timeout(30_000);
  let pair: Pair;
  let server: PeerServer;
  let other: PeerServer;
  let untouched: HostState;

  before(async () => {
    pair = await Pair.lab();
    await pair.start("hag", HAG_CONFIG);
    await pair.lab.run("srv", ["ip", "addr", "add", `${BYPASSED}/24`, "dev", "eth0"]);
    await pair.lab.run("srv", ["ip", "addr", "add", `${BYPASSED6}/64`, "dev", "eth0", "nodad"]);
    server = new PeerServer(pair.lab, "srv", PORT);
    other = new PeerServer(pair.lab, "srv", BYPASSED_PORT);
    untouched = await hostState(pair.lab, "hcpe");
  });
  after(async () => {
    await server?.close();
    await other?.close();
    await pair?.down();
  });

  const peerOf = async (host: string, port = PORT, dscp = 0) => (await visit(pair.lab, host, port, { dscp })).peer;
  const accepted = async () => (await pair.status("hcpe")).counters.connectionsAccepted;

  async function expectUntouchedTraffic(): Promise<void> {
    for (const { host, plain } of FAMILIES) expect(await peerOf(host)).to.equal(plain);
  }

  it("does not exist without the daemon: traffic flows direct", expectUntouchedTraffic);

  it("leaves connections alone that existed before the daemon", async () => {
    const old = await Promise.all(
      FAMILIES.map(async ({ host, plain }) => {
        const socket = connectFrom(pair.lab, "lan", host, PORT);
        socket.write("?");
        const [answer] = (await once(socket, "data")) as [Buffer];
        expect(answer.toString()).to.equal(plain);
        return socket;
      }),
    );
    await pair.start("hcpe", CONFIG);
    const counted = await accepted();
    for (const socket of old) {
      const received = receive(socket);
      socket.end("more");
      expect((await received).end).to.equal("end");
    }
    expect(await accepted()).to.equal(counted);
  });

  for (const { family, host, exempt, carried, plain } of FAMILIES) {
    it(`${family}: connections reach the server through the gateway`, async () => {
      expect(await peerOf(host)).to.equal(carried);
    });

    it(`${family}: not those to a bypassed prefix, a bypassed port, or with a bypassed DSCP`, async () => {
      const counted = await accepted();
      expect(await peerOf(exempt)).to.equal(plain);
      expect(await peerOf(host, BYPASSED_PORT)).to.equal(plain);
      expect(await peerOf(host, PORT, EXPEDITED)).to.equal(plain);
      expect(await accepted()).to.equal(counted);
      expect(await peerOf(host, PORT, 10)).to.equal(carried);
    });
  }

  it("a program of the HCPE's own that connects to the transparent listener is refused, once", async () => {
    const table = await pair.lab.run("hcpe", ["nft", "list", "ruleset"]);
    const counted = (await accepted()) ?? 0;
    for (const [host, place] of [
      ["127.0.0.1", /127\.0\.0\.1:(\d+)/],
      ["::1", /\[::1\]:(\d+)/],
    ] as const) {
      const port = Number(place.exec(table)?.[1]);
      const socket = connectFrom(pair.lab, "hcpe", host, port);
      expect((await receive(socket)).end).to.equal("ECONNRESET");
    }
    expect(await accepted()).to.equal(counted + 2);
    await eventually(2000, async () => expect((await pair.status("hcpe")).counters.connectionsActive).to.equal(0));
  });

  it("ends with the daemon: after kill -9 the next connections flow direct, at once", async () => {
    await pair.daemon("hcpe").end("SIGKILL");
    for (const { host, plain } of FAMILIES) {
      const { peer, firstByteMs } = await visit(pair.lab, host, PORT);
      expect(peer).to.equal(plain);
      expect(firstByteMs).to.be.below(500);
    }
  });

  it("the next start finds what a killed daemon left, and takes its place", async () => {
    const left = withoutDevices(await hostState(pair.lab, "hcpe"));
    expect(left.rules).to.contain("5124");
    expect(left.nftables).to.contain("hybrid_access_hcpe");
    await pair.start("hcpe", CONFIG);
    const now = withoutDevices(await hostState(pair.lab, "hcpe"));
    const withoutPort = (rules: string) => rules.replace(/(127\.0\.0\.1|\[::1\]):\d+/g, "$1");
    expect({ ...now, nftables: withoutPort(now.nftables) }).to.deep.equal({
      ...left,
      nftables: withoutPort(left.nftables),
    });
    expect(await peerOf(ADDRESS.server)).to.equal("10.3.3.1");
  });

  it("leaves the host exactly as it was after SIGTERM, although it had been killed before", async () => {
    expect(await pair.daemon("hcpe").end("SIGTERM")).to.equal(0);
    expect(differences(untouched, await hostState(pair.lab, "hcpe"))).to.deep.equal([]);
    await expectUntouchedTraffic();
  });
});
