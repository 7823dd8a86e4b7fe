/** An uplink whose interface comes and goes as a PPP one does: made anew, with a default route that names no gateway. */
import { askDaemon } from "@hybrid-access/core/services/admin";
import type { ConnectionView } from "@hybrid-access/hcpe/views";
import { expect } from "chai";
import { ADDRESS, cableTopology } from "../lab/hybrid.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { connectFrom, StreamServer } from "../lab/stream.ts";
import { until } from "../lab/until.ts";

const PORT = 8080;
const LIMIT_MS = 10_000;

/** The line itself; the uplink's interface is made on it. */
const WIRE = ["link set dsl down", "link set dsl name wire", "link set wire up"];
const DIAL = [
  "link add link wire name dsl type macvlan mode bridge",
  "address add 10.1.1.2/24 dev dsl",
  "link set dsl up",
  "route add default dev dsl metric 10",
];

describe("an uplink that is dialled", function () {
  this.timeout(60_000);
  let pair: Pair;
  let server: StreamServer;

  before(async () => {
    pair = await Pair.lab(cableTopology());
    // The far end answers for whatever is asked for, as the far end of a point-to-point link takes all there is.
    await pair.lab.run("rdsl", ["sysctl", "-qw", "net.ipv4.conf.cpe.proxy_arp=1"]);
    await ip(...WIRE, ...DIAL);
    await pair.start("hag", HAG_CONFIG);
    await pair.start("hcpe", HCPE_CONFIG);
    server = new StreamServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  async function ip(...commands: readonly string[]): Promise<void> {
    await pair.lab.run("hcpe", ["ip", "-batch", "-"], { input: commands.join("\n") });
  }

  const index = async () => (await pair.lab.run("hcpe", ["cat", "/sys/class/net/dsl/ifindex"])).trim();
  const state = async () => (await pair.status("hcpe")).uplinks.find(({ name }) => name === "dsl")?.state;
  const carriers = async () => {
    const { connections } = (await askDaemon(pair.file("hcpe/admin.sock"), "/connections")) as {
      connections: ConnectionView[];
    };
    const subflows = connections[0]?.subflows ?? [];
    return subflows.flatMap(({ uplink, state: socket }) => (socket === "ESTABLISHED" ? [uplink] : [])).toSorted();
  };
  const carriedBy = (...uplinks: string[]) =>
    until(async () => (await carriers()).join() === uplinks.join(), {
      what: `it is carried by ${uplinks.join(" and ")}`,
      limitMs: LIMIT_MS,
    });

  it("carries connections, and does again when its interface is made anew; none is lost meanwhile", async () => {
    const near = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
    const far = await server.accept();
    try {
      near.resume();
      const send = async () => {
        const before = near.bytesRead;
        far.write(Buffer.alloc(100_000));
        await until(() => near.bytesRead === before + 100_000, { what: "bytes arrive", limitMs: LIMIT_MS });
      };
      await carriedBy("dsl", "lte");
      expect(await pair.lab.run("hcpe", ["ip", "route", "show", "table", "5130"])).to.match(/^default dev dsl/);
      await send();
      const before = await index();
      await ip("link del dsl");
      await until(async () => (await state()) === "absent", { what: "dsl is absent", limitMs: LIMIT_MS });
      await carriedBy("lte");
      await send();
      await ip(...DIAL);
      expect(await index()).not.to.equal(before);
      await carriedBy("dsl", "lte");
      await send();
    } finally {
      for (const end of [near, far]) end.destroy();
    }
  });
});
