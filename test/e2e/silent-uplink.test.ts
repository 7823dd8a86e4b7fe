import { expect } from "chai";
import { ADDRESS, DEFAULT_ACCESS } from "../lab/hybrid.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { PeerServer, visit } from "../lab/visit.ts";
import { eventually } from "../support/eventually.ts";

/** What one worker learns, the other one knows: the kernel spreads the connections over both. */
const TWO_WORKERS = HCPE_CONFIG.replace("workers: 1", "workers: 2");

/** Behind the DSL line: loses the first SYN to the gateway, and no other. */
const LOSE_ONE_SYN = `table inet loss {
  chain forward {
    type filter hook forward priority filter;
    tcp dport 5124 tcp flags & (syn|ack) == syn numgen inc mod 1000000 == 0 drop
  }
}
`;

const PORT = 7000;
const GATEWAY = "10.3.3.1";
const LTE6 = "fd12::2";

const FIRST_LIMIT_MS = 1500;
const FOLLOWING_LIMIT_MS = 200;
/** The longest pause between two probes, and one probe. */
const RETURN_LIMIT_MS = 11_000;

describe("an uplink that is up and passes nothing", function () {
  this.timeout(40_000);
  let pair: Pair;
  let server: PeerServer;

  before(async () => {
    pair = await Pair.up({ hcpe: TWO_WORKERS });
    server = new PeerServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  async function silenceDsl(): Promise<void> {
    await pair.lab.configureLink("dsl", "forward", { ...DEFAULT_ACCESS.dsl.up, loss: 1 });
    await pair.lab.configureLink("dsl", "backward", { ...DEFAULT_ACCESS.dsl.down, loss: 1 });
  }

  async function healDsl(): Promise<void> {
    await pair.lab.configureLink("dsl", "forward", DEFAULT_ACCESS.dsl.up);
    await pair.lab.configureLink("dsl", "backward", DEFAULT_ACCESS.dsl.down);
  }

  const silentFamilies = async () => (await pair.status("hcpe")).uplinks.map(({ silent }) => silent);

  async function expectQuickFailover(host: string, peer: string): Promise<void> {
    const normal = await visit(pair.lab, host, PORT);
    await silenceDsl();
    const first = await visit(pair.lab, host, PORT);
    expect(first.peer).to.equal(peer);
    expect(first.firstByteMs).to.be.below(FIRST_LIMIT_MS);
    for (let count = 0; count < 5; count++) {
      const following = await visit(pair.lab, host, PORT);
      expect(following.peer).to.equal(peer);
      expect(following.firstByteMs).to.be.below(normal.firstByteMs + FOLLOWING_LIMIT_MS);
    }
  }

  async function expectReturn(): Promise<void> {
    await healDsl();
    await eventually(RETURN_LIMIT_MS, async () => expect(await silentFamilies()).to.deep.equal([[], []]));
  }

  it("costs the first connection to a gateway 1.5 s at most and the following nothing; a probe brings it back", async () => {
    await expectQuickFailover(ADDRESS.server, GATEWAY);
    expect(await silentFamilies()).to.deep.equal([["ipv4"], []]);
    const { gateways, counters } = await pair.status("hcpe");
    expect(gateways[0]).to.include({ gateway: "10.9.9.9:5124", up: true, reason: null });
    expect(counters).to.include({ gatewayFailures: 0, connectionsDirect: 0, uplinkFailures: 1 });
    await expectReturn();
  });

  it("is not avoided for long because of a single lost SYN: a probe absolves it at once", async () => {
    const counted = (await pair.status("hcpe")).counters.uplinkFailures ?? 0;
    await pair.lab.run("rdsl", ["nft", "-f", "-"], { input: LOSE_ONE_SYN });
    const { peer, firstByteMs } = await visit(pair.lab, ADDRESS.server, PORT);
    await pair.lab.run("rdsl", ["nft", "delete", "table", "inet", "loss"]);
    expect(peer).to.equal(GATEWAY);
    expect(firstByteMs).to.be.below(FIRST_LIMIT_MS);
    expect((await pair.status("hcpe")).counters.uplinkFailures).to.equal(counted + 1);
    await eventually(500, async () => expect(await silentFamilies()).to.deep.equal([[], []]));
  });

  it("is not blamed for a gateway that no uplink reaches", async () => {
    await pair.daemon("hag").end("SIGKILL");
    await visit(pair.lab, ADDRESS.server, PORT);
    expect(await silentFamilies()).to.deep.equal([[], []]);
  });

  for (const [family, host, peer] of [
    ["IPv4", ADDRESS.server, ADDRESS.lte],
    ["IPv6", ADDRESS.server6, LTE6],
  ] as const) {
    it(`does the same to direct connections, ${family}`, async () => {
      await expectQuickFailover(host, peer);
      await expectReturn();
    });
  }

  it("passes again as soon as a connection comes through it, when the others fail", async () => {
    await pair.start("hag", HAG_CONFIG);
    await eventually(5000, async () => expect((await pair.status("hcpe")).gateways[0]?.up).to.equal(true));
    await expectQuickFailover(ADDRESS.server, GATEWAY);
    await healDsl();
    await pair.lab.setCarrier("lte", false);
    expect((await visit(pair.lab, ADDRESS.server, PORT)).peer).to.equal(GATEWAY);
    expect(await silentFamilies()).to.deep.equal([[], []]);
  });
});
