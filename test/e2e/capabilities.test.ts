import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { closeDescriptor } from "@hybrid-access/core/platform/socket";
import { expect } from "chai";
import { kernelOnly } from "../lab/engine-under-test.ts";
import { differences, hostState } from "../lab/host-state.ts";
import { Lab } from "../lab/lab.ts";
import { openPlainListener } from "../lab/stream.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** The first of the two ports that a host has left. */
const FIRST_PORT = 40_000;

const CONFIG = {
  hcpe: "lan: { interfaces: [lan] }\nuplinks: [ { name: dsl, interface: dsl } ]\ngateways: [ { address: 192.0.2.9 } ]\n",
  hag: "clients: [ 10.0.0.0/8 ]\n",
} as const;

type DaemonName = keyof typeof CONFIG;
type Answer = Record<string, { available: boolean; reason?: string }>;

/** What is taken away, and how: a shell command before the daemon's own. Mounts are of that process alone. */
const TAKEN_AWAY = {
  multipathTcp: "sysctl -qw net.mptcp.enabled=0",
  fastOpen: "sysctl -qw net.ipv4.tcp_fastopen=0",
  pathManager: "mount -t tmpfs none /proc/sys/net/mptcp",
  tunDevice: "mkdir -p /dev/net && mount -t tmpfs none /dev/net",
  nft: "PATH=/nonexistent",
  nothing: "true",
} as const;

describe("what a host lacks", function () {
  this.timeout(20_000);
  let lab: Lab;
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-capabilities-"));

  before(async function () {
    kernelOnly(this, "what its sockets need");
    lab = await Lab.up({ nodes: { host: {} }, links: [], routes: [] });
  });
  after(async () => {
    await lab?.down();
    rmSync(directory, { recursive: true });
  });

  /** A daemon's command line in a namespace of mounts of its own, after something was taken away. */
  function command(name: DaemonName, what: keyof typeof TAKEN_AWAY, args: string[], privileged = true): string[] {
    const config = join(directory, `${name}.yaml`);
    writeFileSync(config, `${CONFIG[name]}admin: { socket: ${join(directory, name, "admin.sock")} }\n`);
    const file = join(ROOT, "packages", name, "bin", `${name}.js`);
    const daemon = [process.execPath, file, ...args, "--config", config];
    const dropped = privileged ? [] : ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    return ["unshare", "--mount", "sh", "-ec", `${TAKEN_AWAY[what]}; exec "$@"`, "sh", ...dropped, ...daemon];
  }

  async function capabilities(what: keyof typeof TAKEN_AWAY, privileged = true): Promise<Answer> {
    const answer = await lab.run("host", command("hag", what, ["check", "--json"], privileged));
    return (JSON.parse(answer) as { capabilities: Answer }).capabilities;
  }

  function expectReason(answer: Answer, name: string, reason: RegExp): void {
    expect(answer[name]?.available, name).to.equal(false);
    expect(answer[name]?.reason, name).to.match(reason);
  }

  it("says that Multipath TCP is switched off, and how to switch it on", async () => {
    const answer = await capabilities("multipathTcp");
    await lab.run("host", ["sysctl", "-qw", "net.mptcp.enabled=1"]);
    const reason = /switched off: sysctl net\.mptcp\.enabled=1/;
    for (const name of ["multipathTcp", "fastOpenConnect", "pathControl"]) expectReason(answer, name, reason);
  });

  it("says which bit of tcp_fastopen is missing", async () => {
    const answer = await capabilities("fastOpen");
    expectReason(answer, "fastOpenConnect", /tcp_fastopen=0 lacks bit 1/);
    expectReason(answer, "fastOpenListen", /tcp_fastopen=0 lacks bit 2/);
  });

  it("says that the kernel has no userspace path manager", async () => {
    const answer = await capabilities("pathManager");
    expectReason(answer, "pathControl", /no userspace path manager/);
    expect(answer.multipathTcp?.available).to.equal(true);
  });

  it("says that there is no TUN device", async () => {
    expectReason(await capabilities("tunDevice"), "tun", /no \/dev\/net\/tun: modprobe tun/);
  });

  it("says that nft is not installed, and its package", async () => {
    expectReason(await capabilities("nft"), "nftablesTproxy", /nft cannot be started \(package nftables\)/);
  });

  it("says which privilege is missing", async () => {
    const answer = await capabilities("nothing", false);
    for (const name of ["transparent", "pathControl", "acceptedPaths", "nftablesTproxy", "netfilterQueue"]) {
      expectReason(answer, name, /CAP_NET_ADMIN/);
    }
    expectReason(answer, "packetSocket", /CAP_NET_RAW/);
    expectReason(answer, "tun", /CAP_NET_ADMIN|may not be opened/);
  });

  /** Runs a daemon that cannot start: its exit code, and what it says on standard error. */
  async function failureOf(words: readonly string[]): Promise<{ code: number; said: string }> {
    const child = lab.spawn("host", words, { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const [code] = (await once(child, "close")) as [number];
    return { code, said };
  }

  for (const name of ["hcpe", "hag"] as const) {
    it(`${name} does not start without Multipath TCP, says why, and ends with 1`, async () => {
      const { code, said } = await failureOf(command(name, "multipathTcp", ["run"]));
      await lab.run("host", ["sysctl", "-qw", "net.mptcp.enabled=1"]);
      expect(said).to.equal(`${name}: Multipath TCP is switched off: sysctl net.mptcp.enabled=1\n`);
      expect(code).to.equal(1);
    });
  }

  const CLIENT_EGRESS = ["run", "--set", "egress.source=client"];
  for (const [what, words, line] of [
    [
      "the HCPE without nft",
      () => command("hcpe", "nft", ["run"]),
      /^hcpe: nft cannot be started \(package nftables\): .*\n$/,
    ],
    [
      "the HAG with the clients' addresses and without nft",
      () => command("hag", "nft", CLIENT_EGRESS),
      /^hag: nft cannot be started \(package nftables\): .*\n$/,
    ],
    [
      "the HAG with the clients' addresses and without the privilege",
      () => command("hag", "nothing", CLIENT_EGRESS, false),
      /^hag: .*IP_TRANSPARENT needs CAP_NET_ADMIN.*\n$/,
    ],
  ] as const) {
    it(`${what} does not start, says why in one line, ends with 1, and leaves nothing behind`, async () => {
      const before = await hostState(lab, "host");
      const { code, said } = await failureOf(words());
      expect(said).to.match(line);
      expect(code).to.equal(1);
      expect(differences(before, await hostState(lab, "host"))).to.deep.equal([]);
    });
  }

  it("the HCPE does not start where every port is in use, says so in one line, ends with 1, and leaves nothing behind", async () => {
    const free = (await lab.run("host", ["sysctl", "-n", "net.ipv4.ip_local_port_range"])).trim();
    await lab.run("host", ["sysctl", "-qw", `net.ipv4.ip_local_port_range=${FIRST_PORT} ${FIRST_PORT + 1}`]);
    const held = lab.inside("host", () => [0, 1].map((index) => openPlainListener(FIRST_PORT + index)));
    try {
      const before = await hostState(lab, "host");
      const { code, said } = await failureOf(command("hcpe", "nothing", ["run"]));
      expect(said).to.match(/^hcpe: bind to a free port of 127\.0\.0\.1: EADDRINUSE.*\n$/);
      expect(code).to.equal(1);
      expect(differences(before, await hostState(lab, "host"))).to.deep.equal([]);
    } finally {
      for (const descriptor of held) closeDescriptor(descriptor);
      await lab.run("host", ["sysctl", "-qw", `net.ipv4.ip_local_port_range=${free}`]);
    }
  });

  for (const name of ["hcpe", "hag"] as const) {
    it(`${name} does not take a file for its admin socket, says so in one line, and ends with 78`, async () => {
      const file = join(directory, `${name}.txt`);
      writeFileSync(file, "precious");
      const { code, said } = await failureOf(command(name, "nothing", ["run", "--set", `admin.socket=${file}`]));
      expect(said).to.equal(`${name}: ${file} is there already, and no socket\n`);
      expect(code).to.equal(78);
      expect(readFileSync(file, "utf8")).to.equal("precious");
    });
  }

  it("the HCPE starts without a userspace path manager, and names what is lost", async () => {
    const child = lab.spawn("host", command("hcpe", "pathManager", ["run"]), { stdio: ["ignore", "pipe", "pipe"] });
    let log = "";
    await new Promise<void>((resolve, reject) => {
      const onOutput = (chunk: Buffer) => {
        log += chunk.toString();
        if (log.includes('"msg":"ready"')) resolve();
      };
      child.stdout?.on("data", onOutput);
      child.stderr?.on("data", onOutput);
      child.once("exit", () => reject(new Error(`hcpe ended:\n${log}`)));
    });
    const warning = log.split("\n").find((line) => line.includes('"msg":"no path control"')) ?? "{}";
    const { level, reason, lost } = JSON.parse(warning) as { level?: number; reason?: string; lost?: string };
    expect(level, "pino's number for warnings").to.equal(40);
    expect(reason).to.match(/no userspace path manager/);
    expect(lost).to.match(/every connection stays on the uplink it began on/);
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    expect((await exited)[0]).to.equal(0);
  });
});
