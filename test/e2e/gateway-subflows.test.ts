import type { Socket } from "node:net";
import { askDaemon } from "@hybrid-access/core/services/admin";
import type { LoggedEvent } from "@hybrid-access/hcpe/event-log";
import type { ConnectionView } from "@hybrid-access/hcpe/views";
import { expect } from "chai";
import { kernelOnly } from "../lab/engine-under-test.ts";
import { type DaemonName, Pair } from "../lab/pair.ts";
import { connectFrom, StreamServer } from "../lab/stream.ts";
import { until } from "../lab/until.ts";
import { WIDE, WIDE_HAG_CONFIG, WIDE_HCPE_CONFIG, wideTopology } from "../lab/wide-home.ts";

const PORT = 8080;
const JOIN_PORT = 7443;
const NOTICE_MS = 10_000;
/** Five times of what a shaper lets pass in the time. */
const SHAPED_BYTES = 3_000_000;
const SHAPED_MS = 3000;
/** Nothing is awaited that would come later than a subflow's handshake over a cable and its reset. */
const QUIET_MS = 500;

/** A connection through the pair, both of whose ends the test holds. */
interface Ends {
  readonly near: Socket;
  readonly far: Socket;
}

describe("subflows between a home with three uplinks and a gateway", function () {
  this.timeout(60_000);
  let pair: Pair;
  let server: StreamServer;
  const open: Ends[] = [];

  before(async () => {
    pair = await Pair.up({ hcpe: WIDE_HCPE_CONFIG, hag: WIDE_HAG_CONFIG, topology: wideTopology() });
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  afterEach(async () => {
    for (const { near, far } of open.splice(0)) for (const end of [near, far]) end.destroy();
    await until(async () => (await connections()).length === 0, { what: "no connection is left", limitMs: NOTICE_MS });
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  const admin = () => pair.file("hcpe/admin.sock");
  const connections = async () =>
    ((await askDaemon(admin(), "/connections")) as { connections: ConnectionView[] }).connections;
  const events = async () => ((await askDaemon(admin(), "/events")) as { events: LoggedEvent[] }).events;

  async function reload(name: DaemonName, config: string): Promise<void> {
    const daemon = pair.daemon(name);
    const reloads = () => daemon.log().split('"msg":"reloaded"').length;
    const before = reloads();
    pair.writeConfig(name, config);
    daemon.process.kill("SIGHUP");
    await until(() => reloads() > before, { what: `${name} reloads`, limitMs: NOTICE_MS });
  }

  async function restartGateway(config: string): Promise<void> {
    await pair.daemon("hag").end("SIGTERM");
    await pair.start("hag", config);
  }

  /** A connection on which a byte has passed each way. */
  async function connect(): Promise<Ends> {
    const near = connectFrom(pair.lab, "lan", WIDE.server, PORT);
    near.write("a");
    const far = await server.accept();
    const ends = { near, far };
    open.push(ends);
    far.resume();
    far.write("b");
    await until(() => near.bytesRead > 0 || near.read(1) !== null, { what: "a byte arrives", limitMs: NOTICE_MS });
    near.resume();
    return ends;
  }

  /** "dsl>10.9.9.9:5124" of every subflow that is established, of the only connection. */
  async function subflows(): Promise<string[]> {
    const [connection] = await connections();
    return (connection?.subflows ?? [])
      .filter(({ state }) => state === "ESTABLISHED")
      .map(({ uplink, remote }) => `${uplink}>${remote}`)
      .toSorted();
  }

  async function expectSubflows(...wanted: string[]): Promise<void> {
    let found: string[] = [];
    const what = () => `subflows ${wanted.join(" ")}; there are ${found.join(" ")}`;
    const isThere = async () => {
      found = await subflows();
      return found.join() === wanted.join();
    };
    await until(isThere, { what: "subflows", limitMs: NOTICE_MS }).catch(() => expect.fail(what()));
    // And it stays so.
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
    expect(await subflows()).to.deep.equal(wanted);
  }

  const to = (address: string, port = 5124) => ({
    from: (...uplinks: string[]) => uplinks.map((uplink) => `${uplink}>${address}:${port}`),
  });

  it("of all connections: a gateway that has as many as it wants takes no joins until some are gone", async () => {
    const isFull = async (wanted: boolean) => {
      await until(async () => (await pair.status("hag")).subflowsFull === wanted, {
        what: `the gateway is ${wanted ? "" : "no longer "}full`,
        limitMs: NOTICE_MS,
      });
    };
    await reload("hag", `${WIDE_HAG_CONFIG}subflows: { total: 3 }\n`);
    try {
      const first = await connect();
      await expectSubflows(...to(WIDE.gateway).from("dsl", "lte", "sat"));
      await isFull(true);
      const second = await connect();
      // It asks for two more; the gateway's kernel resets both, and those of the repair after a second.
      const refusals = async () => (await events()).filter(({ event }) => event === "subflowClosed").length;
      const before = await refusals();
      await until(async () => (await refusals()) >= before + 2, { what: "joins are refused", limitMs: NOTICE_MS });
      const open = (await connections()).map((connection) => {
        return connection.subflows.filter(({ state }) => state === "ESTABLISHED").length;
      });
      expect(open.toSorted()).to.deep.equal([1, 3]);
      for (const { near, far } of [first, second]) for (const end of [near, far]) end.destroy();
      await isFull(false);
      await until(async () => (await connections()).length === 0, { what: "none is left", limitMs: NOTICE_MS });
      await connect();
      await expectSubflows(...to(WIDE.gateway).from("dsl", "lte", "sat"));
    } finally {
      await reload("hag", WIDE_HAG_CONFIG);
    }
  });

  describe("limit", () => {
    before(() => reload("hag", `${WIDE_HAG_CONFIG}subflows: { perConnection: 2 }\n`));
    after(() => reload("hag", WIDE_HAG_CONFIG));

    it("the gateway's kernel refuses what a home that does not know the limit yet asks for", async () => {
      await connect();
      await expectSubflows(...to(WIDE.gateway).from("dsl", "lte"));
    });

    it("a home that has been told asks for no more", async () => {
      const last = (await events()).at(-1)?.sequence ?? 0;
      await connect();
      await expectSubflows(...to(WIDE.gateway).from("dsl", "lte"));
      const asked = (await events()).filter(({ sequence, event }) => sequence > last && event === "createSubflow");
      expect(asked).to.have.length(1);
    });

    it("a higher limit after a reload is for the connections that follow", async () => {
      await reload("hag", WIDE_HAG_CONFIG);
      await connect();
      await expectSubflows(...to(WIDE.gateway).from("dsl", "lte", "sat"));
    });
  });

  describe("a REMOVE_ADDR that is lost on its way", () => {
    /** How many subflows from this address the gateway takes to be established. */
    async function held(address: string): Promise<number> {
      const listing = await pair.lab.run("hag", ["ss", "-tnH", "state", "established", "sport", "= :5124"]);
      return listing.split("\n").filter((line) => line.includes(address)).length;
    }

    /** Takes an uplink's link away while nothing reaches the gateway. */
    async function loseRemoval(uplink: string): Promise<void> {
      const last = (await events()).at(-1)?.sequence ?? 0;
      const removals = async () =>
        (await events()).filter(({ sequence, event, done }) => sequence > last && event === "remove" && done);
      const drop =
        "table inet lost { chain input { type filter hook prerouting priority -300; tcp dport 5124 drop; }; }";
      await pair.lab.run("hag", ["nft", "-f", "-"], { input: `${drop}\n` });
      try {
        await pair.lab.run("hcpe", ["ip", "link", "set", uplink, "down"]);
        await until(async () => (await removals()).length > 0, { what: "the address is removed", limitMs: NOTICE_MS });
      } finally {
        await pair.lab.run("hag", ["nft", "delete", "table", "inet", "lost"]);
      }
    }

    it("is said again, and the gateway's subflow goes", async function () {
      kernelOnly(this, "ss shows the kernel's subflows alone");
      await connect();
      await expectSubflows(...to(WIDE.gateway).from("dsl", "lte", "sat"));
      await loseRemoval("sat");
      expect(await held("10.1.3.2"), "the gateway knows of nothing").to.equal(1);
      await until(async () => (await held("10.1.3.2")) === 0, { what: "its subflow is gone", limitMs: 3000 });
      await pair.lab.run("hcpe", ["ip", "link", "set", "sat", "up"]);
      await expectSubflows(...to(WIDE.gateway).from("dsl", "lte", "sat"));
      // What is repeated must not take the new one away.
      await new Promise((resolve) => setTimeout(resolve, 4000));
      expect(await subflows()).to.have.length(3);
    });
  });

  describe("announced addresses", () => {
    const PAIRS = `policy: pairs
pairs:
  - { local: 10.1.1.0/24, remote: ${WIDE.gateway}, onFailure: any }
  - { local: 10.1.2.0/24, remote: ${WIDE.second}, onFailure: none }
`;
    const JOIN_RULE = `rules: [ { destinations: 10.3.3.0/24, policy: aggregate, joinPort: ${JOIN_PORT} } ]\n`;

    before(async () => {
      const announce = `[ { address: ${WIDE.second} }, { address: ${WIDE.gateway}, port: ${JOIN_PORT} } ]`;
      await restartGateway(`${WIDE_HAG_CONFIG}announce: ${announce}\n`);
    });
    afterEach(async () => {
      for (const uplink of ["dsl", "lte", "sat"]) await setUplink(uplink, "up");
    });

    async function setUplink(uplink: string, state: "up" | "down"): Promise<void> {
      await pair.lab.run("hcpe", ["ip", "link", "set", uplink, state]);
      await until(
        async () => {
          const { uplinks } = await pair.status("hcpe");
          return uplinks.find(({ name }) => name === uplink)?.state === state;
        },
        { what: `${uplink} is ${state}`, limitMs: NOTICE_MS },
      );
    }

    it("fullmesh: two uplinks and two addresses of the gateway are four subflows, whatever ports it has", async () => {
      await reload("hcpe", `${WIDE_HCPE_CONFIG}policy: fullmesh\n`);
      await setUplink("sat", "down");
      await connect();
      await expectSubflows("dsl>10.9.8.8:5124", "dsl>10.9.9.9:5124", "lte>10.9.8.8:5124", "lte>10.9.9.9:5124");
    });

    it("pairs: one subflow for each pair, none across; a pair without its uplink does what the configuration says", async () => {
      await reload("hcpe", `${WIDE_HCPE_CONFIG}${PAIRS}`);
      await connect();
      await expectSubflows("dsl>10.9.9.9:5124", "lte>10.9.8.8:5124");
      await setUplink("dsl", "down");
      await expectSubflows("lte>10.9.8.8:5124", "lte>10.9.9.9:5124");
      await setUplink("dsl", "up");
      await expectSubflows("dsl>10.9.9.9:5124", "lte>10.9.8.8:5124");
      await setUplink("lte", "down");
      await expectSubflows("dsl>10.9.9.9:5124");
    });

    it("a join port: further subflows of matching connections go there, and no others", async () => {
      await reload("hcpe", `${WIDE_HCPE_CONFIG}${JOIN_RULE}`);
      await connect();
      await expectSubflows("dsl>10.9.9.9:5124", `lte>10.9.9.9:${JOIN_PORT}`, `sat>10.9.9.9:${JOIN_PORT}`);
    });

    it("a join port: what is shaped by port is shaped no more", async () => {
      /** What arrives of a download in time, while every line polices the port of initial subflows. */
      const downloaded = async () => {
        const { near, far } = await connect();
        const startBytes = near.bytesRead;
        const startMs = performance.now();
        far.write(Buffer.alloc(SHAPED_BYTES));
        const isOver = () => near.bytesRead - startBytes === SHAPED_BYTES || performance.now() - startMs > SHAPED_MS;
        await until(isOver, { what: "the time is over", limitMs: NOTICE_MS });
        return near.bytesRead - startBytes;
      };
      const shaper = `table inet shaper {
        chain input {
          type filter hook prerouting priority raw
          tcp sport 5124 limit rate over 200 kbytes/second burst 20 kbytes drop
        }
      }
`;
      await pair.lab.run("hcpe", ["nft", "-f", "-"], { input: shaper });
      try {
        await reload("hcpe", `${WIDE_HCPE_CONFIG}policy: aggregate\n`);
        expect(await downloaded()).to.be.lessThan(SHAPED_BYTES / 2);
        await reload("hcpe", `${WIDE_HCPE_CONFIG}${JOIN_RULE}`);
        expect(await downloaded()).to.equal(SHAPED_BYTES);
      } finally {
        await pair.lab.run("hcpe", ["nft", "delete", "table", "inet", "shaper"]);
      }
    });

    it("the announced port takes no connections of its own", async () => {
      const socket = connectFrom(pair.lab, "hcpe", WIDE.gateway, JOIN_PORT);
      socket.write(Buffer.from("01022263 01010000".replace(" ", ""), "hex"));
      await until(() => socket.destroyed || socket.bytesRead > 0, { what: "it is refused", limitMs: NOTICE_MS });
      expect(socket.bytesRead).to.equal(0);
    });

    it("what the gateway has put into its kernel is gone when it ends", async () => {
      await pair.daemon("hag").end("SIGTERM");
      expect(await pair.lab.run("hag", ["ip", "mptcp", "endpoint", "show"])).to.equal("");
      expect(await pair.lab.run("hag", ["ip", "mptcp", "limits", "show"])).to.equal(
        "add_addr_accepted 0 subflows 2 \n",
      );
      await pair.start("hag", WIDE_HAG_CONFIG);
    });
  });
});
