import { askDaemon } from "@hybrid-access/core/services/admin";
import type { ConnectionView } from "@hybrid-access/hcpe/views";
import { expect } from "chai";
import { differences, type HostState, hostState } from "../lab/host-state.ts";
import { ADDRESS, access, hybridTopology } from "../lab/hybrid.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { PathTrial, policyConfig } from "../lab/path-trial.ts";
import { connectFrom, hashOf, pattern, receive, StreamServer } from "../lab/stream.ts";
import { until } from "../lab/until.ts";

const PORT = 7000;
const BYTES = 2_000_000;
const CONNECTIONS = 30;
const PIECES = 40;
const PIECE_BYTES = 1000;
/** On no interface; the access networks route it to the gateway's node as all that is not theirs. */
const SERVICE_ADDRESS = "10.9.9.7";

/** One way over LTE; and so far away that nobody takes it for the faster one. */
const LTE_MS = 5;
const FAR_MS = 40;

/** Fast links: what is tested here is not the rate. */
const FAST = hybridTopology({
  dsl: { down: access(50, 2), up: access(50, 2) },
  lte: { down: access(50, LTE_MS), up: access(50, LTE_MS) },
});

type EngineName = "kernel" | "userspace";

function withEngine(config: string, engine: EngineName): string {
  return `engine: ${engine}\n${config}`;
}

/** A stream of its own in each direction. */
async function exchange(pair: Pair, server: StreamServer, host: string): Promise<void> {
  const near = connectFrom(pair.lab, "lan", host, PORT);
  const far = await server.accept();
  const [up, down] = [pattern(BYTES, 1), pattern(BYTES, 2)];
  const received = [receive(far), receive(near)];
  far.resume();
  near.end(up);
  far.end(down);
  expect(await Promise.all(received)).to.deep.equal([
    { bytes: BYTES, hash: hashOf(up), end: "end" },
    { bytes: BYTES, hash: hashOf(down), end: "end" },
  ]);
}

describe("the pair with the userspace engine", function () {
  this.timeout(60_000);

  for (const [home, gateway] of [
    ["userspace", "kernel"],
    ["kernel", "userspace"],
  ] as const) {
    it(`at one end (${home} home, ${gateway} gateway): streams arrive whole, as Multipath TCP over both uplinks`, async () => {
      const pair = await Pair.up({
        topology: FAST,
        hcpe: withEngine(HCPE_CONFIG, home),
        hag: withEngine(HAG_CONFIG, gateway),
      });
      const server = new StreamServer(pair.lab, "srv", PORT);
      try {
        for (const host of [ADDRESS.server, ADDRESS.server6]) await exchange(pair, server, host);
        const { counters, uplinks, engine } = await pair.status("hcpe");
        expect(engine).to.equal(home);
        expect(counters).to.include({ connectionsMultipath: 2, connectionsPlain: 0 });
        expect((await pair.status("hag")).counters).to.include({ connectionsMultipath: 2, connectionsPlain: 0 });
        for (const { receivedBytes } of uplinks) expect(receivedBytes).to.be.greaterThan(0.05 * 2 * BYTES);
      } finally {
        await server.close();
        await pair.down();
      }
    });
  }

  describe("at both ends", () => {
    let pair: Pair;
    let server: StreamServer;
    const untouched = new Map<string, HostState>();

    before(async () => {
      pair = await Pair.lab(FAST);
      for (const node of ["hcpe", "hag"]) untouched.set(node, await hostState(pair.lab, node));
      server = new StreamServer(pair.lab, "srv", PORT);
    });
    after(async () => {
      await server?.close();
      await pair?.down();
    });
    afterEach(async () => {
      await pair.daemon("hcpe").end("SIGTERM");
      await pair.daemon("hag").end("SIGTERM");
    });

    const delayLte = async (delayMs: number) => {
      for (const way of ["forward", "backward"] as const) await pair.lab.configureLink("lte", way, access(50, delayMs));
    };
    const connections = async () => {
      const socket = pair.file("hcpe/admin.sock");
      return ((await askDaemon(socket, "/connections")) as { connections: readonly ConnectionView[] }).connections;
    };

    it("two workers each: joins come to the thread that has their connection, whichever they arrive at", async () => {
      const two = (config: string) => withEngine(config.replace("workers: 1", "workers: 2"), "userspace");
      await Promise.all([pair.start("hag", two(HAG_CONFIG)), pair.start("hcpe", two(HCPE_CONFIG))]);
      const near = Array.from({ length: CONNECTIONS }, () => connectFrom(pair.lab, "lan", ADDRESS.server, PORT));
      for (const socket of near) socket.write("?");
      for (let count = 0; count < CONNECTIONS; count++) (await server.accept()).resume();
      const haveBoth = async () => {
        const listed = await connections();
        const uplinks = listed.map(({ subflows }) => new Set(subflows.map(({ uplink }) => uplink)).size);
        return listed.length === CONNECTIONS && uplinks.every((count) => count === 2);
      };
      await until(haveBoth, { what: "every connection has both uplinks", limitMs: 10_000 });
      for (const socket of near) socket.destroy();
      await exchange(pair, server, ADDRESS.server);
    });

    it("a reload takes another scheduler for connections that begin from then on", async () => {
      await delayLte(FAR_MS);
      const config = withEngine(HCPE_CONFIG, "userspace");
      await Promise.all([pair.start("hag", withEngine(HAG_CONFIG, "userspace")), pair.start("hcpe", config)]);
      const open = async () => {
        const near = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
        near.write("?");
        const received = { bytes: 0 };
        const far = await server.accept();
        far.on("data", ({ length }: Uint8Array) => {
          received.bytes += length;
        });
        far.resume();
        return { near, received };
      };
      const subflowsOf = async ({ near }: Awaited<ReturnType<typeof open>>) =>
        (await connections()).find(({ client }) => client.endsWith(`:${near.localPort}`))?.subflows ?? [];
      /** Of a stream of small pieces, each sent when the one before has arrived. */
      const shareOfLte = async (connection: Awaited<ReturnType<typeof open>>) => {
        const ready = async () => (await subflowsOf(connection)).filter(({ backup }) => !backup).length === 2;
        await until(ready, { what: "both uplinks are used", limitMs: 10_000 });
        const bytesUp = async () => (await subflowsOf(connection)).find(({ uplink }) => uplink === "lte")?.bytesUp ?? 0;
        const before = await bytesUp();
        for (let piece = 0; piece < PIECES; piece++) {
          connection.near.write(pattern(PIECE_BYTES, piece));
          const all = 1 + (piece + 1) * PIECE_BYTES;
          await until(() => connection.received.bytes === all, { what: "the piece has come", limitMs: 3000 });
        }
        return ((await bytesUp()) - before) / (PIECES * PIECE_BYTES);
      };
      const [first, second] = [await open(), await open()];
      expect(await shareOfLte(first)).to.be.below(0.1);
      pair.writeConfig("hcpe", `${config}\nscheduler: round-robin`);
      pair.daemon("hcpe").process.kill("SIGHUP");
      const reloaded = () => pair.daemon("hcpe").log().includes('"msg":"reloaded"');
      await until(reloaded, { what: "the configuration is loaded again", limitMs: 3000 });
      const third = await open();
      expect(await shareOfLte(second)).to.be.below(0.1);
      expect(await shareOfLte(third)).to.be.within(0.35, 0.65);
      for (const { near } of [first, second, third]) near.destroy();
      await delayLte(LTE_MS);
    });

    it("an address that no interface has is the gateway's own, without translation", async () => {
      const listening = HAG_CONFIG.replace('address: "::"', `address: ${SERVICE_ADDRESS}`);
      await Promise.all([
        pair.start("hag", withEngine(listening, "userspace")),
        pair.start("hcpe", withEngine(HCPE_CONFIG.replace("10.9.9.9", SERVICE_ADDRESS), "userspace")),
      ]);
      await exchange(pair, server, ADDRESS.server);
      expect((await pair.status("hcpe")).counters).to.include({ connectionsMultipath: 1, connectionsDirect: 0 });
      expect(await pair.lab.run("hag", ["nft", "list", "ruleset"])).not.to.contain("dnat");
    });

    it("what was added to the hosts is gone when the daemons end", async () => {
      await Promise.all([
        pair.start("hag", withEngine(HAG_CONFIG, "userspace")),
        pair.start("hcpe", withEngine(HCPE_CONFIG, "userspace")),
      ]);
      await exchange(pair, server, ADDRESS.server6);
      for (const daemon of ["hcpe", "hag"] as const) {
        expect(await pair.daemon(daemon).end("SIGTERM")).to.equal(0);
        const before = untouched.get(daemon);
        if (before === undefined) throw new Error(`the state of ${daemon} was not taken`);
        expect(differences(before, await hostState(pair.lab, daemon))).to.deep.equal([]);
      }
    });
  });

  it("policies are the same code: LTE is left alone while DSL works, and takes over within 0.3 s of DSL's link", async () => {
    const pair = await Pair.up({
      hcpe: withEngine(policyConfig("backup"), "userspace"),
      hag: withEngine(HAG_CONFIG, "userspace"),
    });
    const trial = await PathTrial.around(pair);
    try {
      const { lte, stallSeconds, whole } = await trial.failover("download", "link down", 1000);
      expect(lte.payloadBytes).to.equal(0);
      expect(stallSeconds).to.be.at.most(0.3);
      expect(whole).to.equal(true);
    } finally {
      await trial.down();
    }
  });
});
