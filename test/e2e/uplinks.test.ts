import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { askDaemon, followDaemon } from "@hybrid-access/core/services/admin";
import type { LoggedEvent } from "@hybrid-access/hcpe/event-log";
import type { QuotaStatus } from "@hybrid-access/hcpe/quota-keeper";
import type { ConnectionView } from "@hybrid-access/hcpe/views";
import { expect } from "chai";
import { ADDRESS, access, hybridTopology } from "../lab/hybrid.ts";
import { HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { connectFrom, reset, StreamServer } from "../lab/stream.ts";
import { until } from "../lab/until.ts";

const PORT = 8080;
const ROUTE = "route add default via 10.1.1.1 dev dsl metric 10";
const NOTICE_MS = 10_000;

/** Mbit/s. Half of what other tests use: a busy host must not make a link look bad that the test did not touch. */
const DSL_RATE = 10;
const LTE_RATE = 15;
const TOPOLOGY = hybridTopology({
  dsl: { down: access(DSL_RATE, 10), up: access(3, 10) },
  lte: { down: access(LTE_RATE, 25), up: access(5, 25) },
});

interface UplinkView {
  readonly name: string;
  readonly state: string;
  readonly reason: string | null;
  readonly addresses: readonly string[];
  readonly quota: QuotaStatus | null;
}

/** A connection whose server sends without end. */
interface Download {
  readonly near: Socket;
  readonly far: Socket;
  received: number;
}

describe("the HCPE knows its uplinks and connections", function () {
  this.timeout(60_000);
  let pair: Pair;
  let server: StreamServer;
  const open: Download[] = [];

  before(async () => {
    pair = await Pair.up({ topology: TOPOLOGY });
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  afterEach(async () => {
    for (const { near, far } of open.splice(0)) for (const end of [near, far]) end.destroy();
    await until(async () => (await connections()).total === 0, { what: "no connection is left", limitMs: NOTICE_MS });
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  const socket = () => pair.file("hcpe/admin.sock");
  const connections = async () =>
    (await askDaemon(socket(), "/connections")) as { total: number; connections: ConnectionView[] };
  const uplink = async (wanted: string) => {
    const { uplinks } = (await askDaemon(socket(), "/paths")) as { uplinks: UplinkView[] };
    return uplinks.find(({ name }) => name === wanted) ?? expect.fail(`no uplink ${wanted}`);
  };
  const events = async () => ((await askDaemon(socket(), "/events")) as { events: LoggedEvent[] }).events;

  async function startDownload(host: string = ADDRESS.server): Promise<Download> {
    const near = connectFrom(pair.lab, "lan", host, PORT);
    const far = await server.accept();
    const download = { near, far, received: 0 };
    open.push(download);
    near.on("data", (chunk: Buffer) => {
      download.received += chunk.length;
    });
    const chunk = Buffer.alloc(64 * 1024);
    const pump = () => {
      while (!far.destroyed && far.write(chunk));
    };
    far.on("drain", pump);
    pump();
    return download;
  }

  async function carriedByBoth(): Promise<boolean> {
    const subflows = (await connections()).connections[0]?.subflows ?? [];
    return subflows.filter(({ state }) => state === "ESTABLISHED").length === 2;
  }

  /** A connection with a subflow over each uplink, from its first byte to its end. */
  async function runConnection(): Promise<void> {
    const { near, far } = await startDownload();
    await until(carriedByBoth, { what: "both uplinks carry it", limitMs: NOTICE_MS });
    far.destroy();
    near.destroy();
    await until(async () => (await connections()).total === 0, { what: "the connection goes", limitMs: NOTICE_MS });
  }

  it("lists a connection: whose it is, where it goes, and what it and its subflows have carried", async () => {
    const bytes = 3_000_000;
    const near = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
    const far = await server.accept();
    let received = 0;
    near.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    near.write(Buffer.alloc(1000));
    far.write(Buffer.alloc(bytes));
    await until(() => received === bytes, { what: "everything arrives", limitMs: NOTICE_MS });

    const { total, connections: listed } = await connections();
    expect(total).to.equal(1);
    const [connection = expect.fail()] = listed;
    expect(connection).to.include({
      client: `${near.localAddress}:${near.localPort}`,
      destination: `${ADDRESS.server}:${PORT}`,
      way: "multipath",
      gateway: `${ADDRESS.gateway}:5124`,
      policy: "aggregate",
    });
    // The Convert messages of both sides are part of the connection.
    expect(connection.bytesDown).to.be.within(bytes, bytes + 1020);
    expect(connection.bytesUp).to.be.within(1000, 1000 + 1020);
    expect(connection.subflows.map((subflow) => subflow.uplink)).to.have.members(["dsl", "lte"]);
    const carried = connection.subflows.reduce((sum, { bytesDown }) => sum + bytesDown, 0);
    // What was sent over both, to be safe, counts twice.
    expect(carried).to.be.within(bytes, 1.2 * bytes);
    for (const subflow of connection.subflows) {
      expect(subflow).to.include({ state: "ESTABLISHED", backup: false });
      expect(subflow.rttMs).to.be.greaterThan(subflow.uplink === "dsl" ? 19 : 49);
    }
    open.push({ near, far, received });
  });

  it("forgets a connection that its peer has aborted, of whose end the kernel tells nobody", async () => {
    const paths = async () => (await pair.status("hcpe")).paths;
    const { near, far } = await startDownload();
    await until(carriedByBoth, { what: "both uplinks carry it", limitMs: NOTICE_MS });
    const [{ token } = expect.fail()] = (await connections()).connections;
    reset(far);
    await until(() => near.destroyed || near.readableEnded, { what: "the client sees it", limitMs: NOTICE_MS });
    await until(async () => (await paths()).connections === 0, { what: "it is forgotten", limitMs: NOTICE_MS });
    expect(await paths()).to.include({ connections: 0, subflows: 0 });
    const closed = (await events()).filter((entry) => entry.event === "connectionClosed" && entry.token === token);
    expect(closed).to.have.length(1);
  });

  it("shows the same as text, says when a list is cut, and refuses a limit that makes no sense", async () => {
    await startDownload();
    await startDownload(ADDRESS.server6);
    const hcpe = (...args: string[]) =>
      pair.lab.run("hcpe", pair.commandOf("hcpe", ...args, "--config", pair.file("hcpe.yaml")));
    expect(await hcpe("connections")).to.match(/^2 connections\n192\.168\.1\.2:\d+ -> 10\.3\.3\.2:8080 {2}multipath, /);
    expect(await hcpe("connections", "--limit", "1")).to.match(/^2 connections, 1 shown\n/);
    expect(await hcpe("paths")).to.match(/^uplink +state .*\ndsl +up .*\nlte +up /);
    const refused = await hcpe("connections", "--limit", "0").catch(({ stderr, code }) => ({ stderr, code }));
    expect(refused).to.deep.equal({
      stderr: "hcpe: the daemon refused: limit must be a whole number from 1 to 1000\n",
      code: 1,
    });
  });

  it("follows events as they happen, numbered without a gap", async () => {
    const command = pair.commandOf("hcpe", "events", "--follow", "--json", "--config", pair.file("hcpe.yaml"));
    const follower = pair.lab.spawn("hcpe", command, { stdio: ["ignore", "pipe", "inherit"] });
    const seen: LoggedEvent[] = [];
    createInterface({ input: follower.stdout ?? expect.fail() }).on("line", (line) => seen.push(JSON.parse(line)));
    // The command takes a moment to start: connections are made until one is seen.
    await until(
      async () => {
        await runConnection();
        return seen.length > 0;
      },
      { what: "an event is seen", limitMs: NOTICE_MS },
    );
    const before = seen.length;
    const { near, far } = await startDownload();
    await until(() => seen.slice(before).some(({ event }) => event === "subflowEstablished"), {
      what: "a second subflow is told of",
      limitMs: NOTICE_MS,
    });
    far.destroy();
    near.destroy();
    await until(() => seen.at(-1)?.event === "connectionClosed", { what: "the last event", limitMs: NOTICE_MS });
    follower.kill("SIGTERM");
    const first = seen[0]?.sequence ?? 0;
    expect(seen.map(({ sequence }) => sequence)).to.deep.equal(seen.map((_, index) => first + index));
    expect(seen.map(({ event }) => event)).to.include.members(["connectionEstablished", "subflowEstablished"]);
    expect(await events()).to.deep.include.members(seen);
  });

  it("lets eight follow at once, and ends a follower whose reader has gone", async () => {
    const command = pair.commandOf("hcpe", "events", "--follow", "--config", pair.file("hcpe.yaml")).join(" ");
    let ended = false;
    const first = pair.lab.run("hcpe", ["sh", "-c", `${command} | head -n 1`]).finally(() => {
      ended = true;
    });
    await until(
      async () => {
        await runConnection();
        return ended;
      },
      { what: "the follower ends", limitMs: NOTICE_MS },
    );
    expect(await first).to.match(/^\d+ {2}2\d{3}-.*\n$/);

    const stop = new AbortController();
    const streams = Array.from({ length: 9 }, () => followDaemon(socket(), "/events/follow", stop.signal).next());
    const refused = await Promise.race(streams).catch(({ message }: Error) => message);
    expect(refused).to.equal("the daemon refused: 8 others follow already");
    stop.abort();
    await Promise.allSettled(streams);
  });

  it("finds an uplink that its provider throttles, uses it only as backup, and tries it again", async () => {
    const download = await startDownload();
    await until(() => download.received > 4_000_000, { what: "both links are full", limitMs: NOTICE_MS });
    await pair.lab.configureLink("lte", "backward", access(LTE_RATE / 30, 25));
    const lteIsBackup = async () => {
      const [connection] = (await connections()).connections;
      return connection?.subflows.some((subflow) => subflow.uplink === "lte" && subflow.backup);
    };
    try {
      await until(async () => (await uplink("lte")).state === "degraded", {
        what: "lte is degraded",
        limitMs: NOTICE_MS,
      });
      expect((await uplink("lte")).reason).to.match(/^a round trip takes|^\d+ % of the segments arrive out of order$/);
      await until(lteIsBackup, { what: "its subflow is backup", limitMs: 5000 });

      const startBytes = download.received;
      const startMs = performance.now();
      await until(() => performance.now() - startMs > 3000, { what: "3 s pass", limitMs: 4000 });
      const megabits = ((download.received - startBytes) * 8) / (performance.now() - startMs) / 1000;
      expect(megabits).to.be.greaterThan(0.85 * DSL_RATE);
    } finally {
      await pair.lab.configureLink("lte", "backward", access(LTE_RATE, 25));
    }
    await until(async () => (await uplink("lte")).state === "up", { what: "lte is good again", limitMs: 20_000 });
    await until(async () => !(await lteIsBackup()), { what: "its subflow is used again", limitMs: 5000 });
  });

  for (const [family, host, before, after] of [
    ["IPv4", ADDRESS.server, "10.1.1.2/24", "10.1.1.77/24"],
    ["IPv4", ADDRESS.server, "10.1.1.77/24", "10.1.1.2/24"],
  ] as const) {
    it(`follows a ${family} address that changes from ${before} to ${after}, and connections live on`, async () => {
      const download = await startDownload(host);
      const uplinksOf = async () => (await connections()).connections[0]?.subflows ?? [];
      await until(carriedByBoth, { what: "both uplinks carry it", limitMs: NOTICE_MS });
      const last = (await events()).at(-1)?.sequence ?? 0;
      const [address = ""] = after.split("/");
      // As a DHCP client does it. With its last address the interface loses its routes.
      const commands = [`addr del ${before} dev dsl`, `addr add ${after} dev dsl`, ROUTE];
      await pair.lab.run("hcpe", ["ip", "-batch", "-"], { input: commands.join("\n") });
      await until(
        async () => {
          const dsl = (await uplinksOf()).filter((subflow) => subflow.uplink === "dsl");
          return dsl.some(({ local, state }) => local.startsWith(`${address}:`) && state === "ESTABLISHED");
        },
        { what: "dsl has one subflow, from the new address", limitMs: NOTICE_MS },
      );
      const changes = (await events()).filter(({ sequence, event }) => sequence > last && event === "uplinks");
      // By the kernel's word (22 to 28 ms on an idle host), not by a look every half second.
      for (const { reactionMs } of changes) expect(reactionMs).to.be.within(0, 249);
      const bytes = download.received;
      await until(() => download.received > bytes + 2_000_000, { what: "bytes go on", limitMs: NOTICE_MS });
      const old = (await uplinksOf()).filter(({ local }) => before.startsWith(local.replace(/:\d+$/, "/")));
      expect(old.map(({ state }) => state)).not.to.include("ESTABLISHED");
    });
  }

  it("follows an IPv6 address that a router's advertisements change, and connections live on", async () => {
    await pair.daemon("hcpe").end("SIGTERM");
    await pair.start("hcpe", HCPE_CONFIG.replace(ADDRESS.gateway, `"${ADDRESS.gateway6}"`));
    const download = await startDownload(ADDRESS.server6);
    await until(carriedByBoth, { what: "both uplinks carry it", limitMs: NOTICE_MS });
    const ofDsl = async () =>
      ((await connections()).connections[0]?.subflows ?? []).filter(({ uplink: name }) => name === "dsl");
    const established = async (address: string) =>
      (await ofDsl()).some(({ local, state }) => local.startsWith(`[${address}]:`) && state === "ESTABLISHED");
    // The new one is there before the old one is deprecated, and goes a moment later: as with a renumbered prefix.
    await pair.lab.run("hcpe", ["ip", "addr", "add", "fd11::77/64", "dev", "dsl", "nodad"]);
    const deprecate = ["ip", "addr", "change", "fd11::2/64", "dev", "dsl", "preferred_lft", "0", "valid_lft", "600"];
    await pair.lab.run("hcpe", deprecate);
    await until(() => established("fd11::77"), { what: "a subflow leaves from the new address", limitMs: NOTICE_MS });
    await pair.lab.run("hcpe", ["ip", "addr", "del", "fd11::2/64", "dev", "dsl"]);
    await until(async () => !(await established("fd11::2")), { what: "the old one's is gone", limitMs: NOTICE_MS });
    const bytes = download.received;
    await until(() => download.received > bytes + 2_000_000, { what: "bytes go on", limitMs: NOTICE_MS });

    // And without an overlap: the address is deleted, another one comes.
    const commands = ["addr del fd11::77/64 dev dsl", "addr add fd11::2/64 dev dsl nodad"];
    await pair.lab.run("hcpe", ["ip", "-batch", "-"], { input: commands.join("\n") });
    await until(() => established("fd11::2"), { what: "a subflow leaves from the first address", limitMs: NOTICE_MS });
    const later = download.received;
    await until(() => download.received > later + 2_000_000, { what: "bytes go on", limitMs: NOTICE_MS });
    expect(download.near.destroyed).to.equal(false);
    for (const end of [download.near, download.far]) end.destroy();
    await pair.daemon("hcpe").end("SIGTERM");
    await pair.start("hcpe", HCPE_CONFIG);
  });

  it("puts its routes back when the kernel dropped them with the link", async () => {
    const routes = async () => (await pair.lab.run("hcpe", ["ip", "route", "show", "table", "5131"])).trim();
    const present = await routes();
    expect(present).to.match(/^default via 10\.1\.2\.1 dev lte/);
    await pair.lab.run("hcpe", ["ip", "link", "set", "lte", "down"]);
    await until(async () => (await uplink("lte")).state === "down", { what: "lte is down", limitMs: NOTICE_MS });
    expect(await routes()).to.equal("");
    await pair.lab.run("hcpe", ["ip", "link", "set", "lte", "up"]);
    await until(async () => (await uplink("lte")).state === "up", { what: "lte is up", limitMs: NOTICE_MS });
    expect(await routes()).to.equal(present);
    const download = await startDownload();
    await until(carriedByBoth, { what: "lte carries again", limitMs: NOTICE_MS });
    expect(download.near.destroyed).to.equal(false);
    // The host's own default route is for its DHCP client to put back.
    await pair.lab.run("hcpe", ["ip", "route", "add", "default", "via", "10.1.2.1", "dev", "lte", "metric", "20"]);
  });

  it("puts back routes and rules of its own that somebody has removed", async () => {
    const listing = async () => {
      const shown = [];
      for (const family of ["-4", "-6"]) {
        for (const what of [
          ["rule", "show"],
          ["route", "show", "table", "5130"],
          ["route", "show", "table", "5131"],
          ["route", "show", "table", "5124"],
        ]) {
          shown.push(await pair.lab.run("hcpe", ["ip", family, ...what]));
        }
      }
      return shown
        .flatMap((text) => text.split("\n"))
        .toSorted()
        .join("\n");
    };
    const before = await listing();
    const commands = ["-4", "-6"].flatMap((family) => [
      [family, "rule", "del", "priority", "5124"],
      [family, "rule", "del", "table", "5130"],
      [family, "route", "flush", "table", "5131"],
      [family, "route", "flush", "table", "5124"],
    ]);
    for (const command of commands) {
      await pair.lab.run("hcpe", ["ip", ...command]);
      await until(async () => (await listing()) === before, {
        what: `what "ip ${command.join(" ")}" removed is back`,
        limitMs: NOTICE_MS,
      });
    }
  });

  it("takes an uplink out of use when its quota is used up, and still knows that after a restart", async () => {
    const quota = "{ bytes: 4MB, direction: down, resetDay: 31, timeZone: Europe/Berlin, whenUsed: off }";
    const config = `${HCPE_CONFIG.replace("cost: 10", `cost: 10, quota: ${quota}`)}
stateDirectory: ${pair.file("state")}
`;
    const restart = async () => {
      await pair.daemon("hcpe").end("SIGTERM");
      return await pair.start("hcpe", config);
    };
    const daemon = await restart();
    const download = await startDownload();
    await until(carriedByBoth, { what: "both uplinks carry it", limitMs: NOTICE_MS });
    const onlyDsl = async () => {
      const subflows = (await connections()).connections[0]?.subflows ?? [];
      return subflows.length === 1 && subflows[0]?.uplink === "dsl";
    };
    await until(onlyDsl, { what: "only dsl carries it", limitMs: NOTICE_MS });
    const used = (await uplink("lte")).quota ?? expect.fail("lte has no quota");
    expect(used).to.include({ bytes: 4_000_000, used: true, whenUsed: "off" });
    // It is looked at twice a second: 15 Mbit/s carry 1 MB meanwhile.
    expect(used.usedBytes).to.be.within(4_000_000, 8_000_000);
    await until(() => /"percent":80[\s\S]*"percent":95[\s\S]*quota used up/.test(daemon.log()), {
      what: "all of it is said",
      limitMs: NOTICE_MS,
    });
    const bytes = download.received;
    await until(() => download.received > bytes + 1_000_000, { what: "bytes go on", limitMs: NOTICE_MS });

    for (const end of [download.near, download.far]) end.destroy();
    await restart();
    expect((await uplink("lte")).quota?.usedBytes).to.be.within(used.usedBytes, used.usedBytes + 3_000_000);
    const next = await startDownload();
    await until(() => next.received > 1_000_000, { what: "bytes arrive", limitMs: NOTICE_MS });
    expect(await onlyDsl()).to.equal(true);
  });
});
