import type { Socket } from "node:net";
import { askDaemon } from "@hybrid-access/core/services/admin";
import type { LoggedEvent } from "@hybrid-access/hcpe/event-log";
import type { ConnectionView } from "@hybrid-access/hcpe/views";
import { expect } from "chai";
import { type DaemonName, Pair } from "../lab/pair.ts";
import { connectFrom, StreamServer } from "../lab/stream.ts";
import { until } from "../lab/until.ts";
import { WIDE, WIDE_HAG_CONFIG, WIDE_HCPE_CONFIG, wideTopology } from "../lab/wide-home.ts";

const PORT = 8080;
const JOIN_PORT = 7443;
const NOTICE_MS = 10_000;
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
});
