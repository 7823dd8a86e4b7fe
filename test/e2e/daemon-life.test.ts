import { once } from "node:events";
import { rmSync, writeFileSync } from "node:fs";
import { closeDescriptor } from "@hybrid-access/core/platform/socket";
import { expect } from "chai";
import { differences, hostState } from "../lab/host-state.ts";
import { ADDRESS } from "../lab/hybrid.ts";
import { HAG_CONFIG, HCPE_CONFIG, Pair } from "../lab/pair.ts";
import { connectFrom, openPlainListener, receive } from "../lab/stream.ts";
import { PeerServer, visit } from "../lab/visit.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
const GATEWAY = "10.3.3.1";
const SHORT_DRAIN = "drain: 300ms";
/** Nobody may write it. */
const FIXED_SYSCTL = "net.ipv4.tcp_available_congestion_control";

/** A command that failed: its exit code and what it said on standard error. */
interface Failure {
  readonly code: number;
  readonly stderr: string;
}

describe("the life of a daemon", function () {
  this.timeout(30_000);
  let pair: Pair;
  let server: PeerServer;

  before(async () => {
    pair = await Pair.up();
    server = new PeerServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  async function failureOf(node: string, command: readonly string[]): Promise<Failure> {
    try {
      await pair.lab.run(node, command, { timeout: 10_000 });
    } catch (error) {
      return error as Failure;
    }
    throw new Error(`${command.join(" ")} did not fail`);
  }

  async function openConnection() {
    const socket = connectFrom(pair.lab, "lan", ADDRESS.server, PORT);
    socket.write("?");
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).to.equal(GATEWAY);
    return socket;
  }

  for (const [name, config] of [
    ["hcpe", HCPE_CONFIG],
    ["hag", HAG_CONFIG],
  ] as const) {
    it(`${name}: a second one on the same admin socket is refused in one line, and takes nothing from the first`, async () => {
      const before = await hostState(pair.lab, name);
      const { code, stderr } = await failureOf(
        name,
        pair.commandOf(name, "run", "--config", pair.writeConfig(name, config)),
      );
      expect(code).to.equal(78);
      expect(stderr).to.match(new RegExp(`^${name}: another process serves .*\\n$`));
      expect(differences(before, await hostState(pair.lab, name))).to.deep.equal([]);
      expect((await visit(pair.lab, ADDRESS.server, PORT)).peer).to.equal(GATEWAY);
    });
  }

  for (const [name, config] of [
    ["hcpe", HCPE_CONFIG],
    ["hag", HAG_CONFIG],
  ] as const) {
    it(`${name}: SIGHUP keeps the engine that the daemon runs on, whatever the file says now`, async () => {
      const reloads = () => pair.daemon(name).log().split('"msg":"reloaded"').length;
      const { engine, capabilities } = await pair.status(name);
      const before = reloads();
      pair.writeConfig(name, `${config}\nengine: ${engine === "kernel" ? "userspace" : "kernel"}`);
      pair.daemon(name).process.kill("SIGHUP");
      await eventually(3000, () => expect(reloads()).to.equal(before + 1));
      expect(await pair.status(name)).to.deep.include({ engine, capabilities });
      pair.writeConfig(name, config);
    });
  }

  it("SIGHUP applies a good configuration, without losing a connection", async () => {
    const open = await openConnection();
    pair.writeConfig("hcpe", `${HCPE_CONFIG}\nbypass: { ports: [ ${PORT} ] }`);
    pair.daemon("hcpe").process.kill("SIGHUP");
    await eventually(3000, async () =>
      expect((await visit(pair.lab, ADDRESS.server, PORT)).peer).to.equal(ADDRESS.dsl),
    );
    const received = receive(open);
    open.end("more");
    expect((await received).end).to.equal("end");
  });

  it("SIGHUP refuses a bad one with the line at fault, and the running one stays", async () => {
    const file = pair.writeConfig("hcpe", `${HCPE_CONFIG}\nbypass: { ports: [ 70000 ] }`);
    pair.daemon("hcpe").process.kill("SIGHUP");
    const refusal = await eventually(3000, () => {
      const line = pair
        .daemon("hcpe")
        .log()
        .split("\n")
        .find((text) => text.includes("reload refused"));
      return JSON.parse(line ?? "") as { detail: string };
    });
    const line = HCPE_CONFIG.split("\n").length + 1;
    expect(refusal.detail).to.contain(`${file}:${line}:`).and.to.contain("70000");
    expect((await visit(pair.lab, ADDRESS.server, PORT)).peer).to.equal(ADDRESS.dsl);
  });

  it("an uplink whose interface is missing is a state, not an error", async () => {
    await pair.daemon("hcpe").end("SIGTERM");
    await pair.start("hcpe", HCPE_CONFIG.replace("interface: lte", "interface: none"));
    const { uplinks } = await pair.status("hcpe");
    expect(uplinks.map(({ state }) => state)).to.deep.equal(["up", "absent"]);
    expect((await visit(pair.lab, ADDRESS.server, PORT)).peer).to.equal(GATEWAY);
  });

  for (const name of ["hcpe", "hag"] as const) {
    it(`${name}: SIGTERM ends it with 0 although a connection outlives the drain, which is reset`, async () => {
      const config = `${name === "hcpe" ? HCPE_CONFIG : HAG_CONFIG}\n${SHORT_DRAIN}\n`;
      await pair.daemon(name).end("SIGTERM");
      await pair.start(name, config);
      await eventually(5000, async () => expect((await visit(pair.lab, ADDRESS.server, PORT)).peer).to.equal(GATEWAY));
      const open = receive(await openConnection());
      const startMs = performance.now();
      expect(await pair.daemon(name).end("SIGTERM")).to.equal(0);
      expect(performance.now() - startMs).to.be.within(300, 5000);
      expect((await open).end).to.equal("ECONNRESET");
      expect(pair.daemon(name).log()).to.contain('"msg":"stopped"');
      await pair.start(name, config);
    });
  }

  for (const [name, config] of [
    ["hcpe", HCPE_CONFIG],
    ["hag", HAG_CONFIG],
  ] as const) {
    it(`${name}: what cannot be put back keeps neither the daemon nor the rest, and is told in one line, with 1`, async () => {
      await pair.daemon(name).end("SIGTERM");
      const before = await hostState(pair.lab, name);
      const state = pair.file(`${name}/${name}-host-state.json`);
      writeFileSync(state, JSON.stringify({ [FIXED_SYSCTL]: "none" }));
      const daemon = await pair.start(name, config);
      expect(await daemon.end("SIGTERM")).to.equal(1);
      await eventually(3000, () =>
        expect(daemon.log().match(new RegExp(`^${name}: .*$`, "gm")))
          .to.have.length(1)
          .and.match(/sysctl .*=none/),
      );
      expect(differences(before, await hostState(pair.lab, name))).to.deep.equal([]);
      rmSync(state);
      await pair.start(name, config);
    });

    it(`${name}: without the privilege it needs it says so in one line, and ends with 1`, async () => {
      const file = pair.writeConfig(name, config, `unprivileged-${name}`);
      const command = ["setpriv", "--bounding-set", "-all", ...pair.commandOf(name, "run", "--config", file)];
      const before = await hostState(pair.lab, name);
      const { code, stderr } = await failureOf(name, command);
      expect(stderr).to.match(new RegExp(`^${name}: .*CAP_NET_ADMIN.*\\n$`));
      expect(code).to.equal(1);
      expect(differences(before, await hostState(pair.lab, name))).to.deep.equal([]);
    });
  }

  it("on a port in use it says so in one line, and ends with 1", async () => {
    const listener = pair.lab.inside("hag", () => openPlainListener(6124));
    const config = pair.writeConfig("hag", HAG_CONFIG.replace("port: 5124", "port: 6124"), "second");
    const { code, stderr } = await failureOf("hag", pair.commandOf("hag", "run", "--config", config));
    closeDescriptor(listener);
    expect(stderr).to.match(/^hag: .*EADDRINUSE.*\n$/);
    expect(code).to.equal(1);
  });
});
