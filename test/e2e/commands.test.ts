import { type ChildProcess, execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { IS_KERNEL_TESTED } from "../lab/engine-under-test.ts";
import { Lab } from "../lab/lab.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const VALID = {
  hcpe: "lan: { interfaces: [lan] }\nuplinks: [ { name: dsl, interface: dsl } ]\ngateways: [ { address: 192.0.2.9 } ]\n",
  hag: "clients: [ 10.0.0.0/8 ]\n",
} as const;

/** What is wrong in both daemons' files, so that one list of errors fits both. */
const WRONG = "wrokers: 2\nlog:\n  level: loud\ndrain: 10\n";

describe("the commands hcpe and hag", function () {
  this.timeout(20_000);
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-commands-"));
  after(() => rmSync(directory, { recursive: true }));

  function run(
    name: "hcpe" | "hag",
    args: readonly string[],
    environment: Record<string, string> = {},
  ): Promise<Outcome> {
    const file = join(ROOT, "packages", name, "bin", `${name}.js`);
    return new Promise((resolve) => {
      const options = { env: { ...process.env, ...environment } };
      const child = execFile(process.execPath, [file, ...args], options, (_error, stdout, stderr) => {
        resolve({ code: child.exitCode, stdout, stderr });
      });
    });
  }

  function configFile(content: string): string {
    const file = join(directory, "a.yaml");
    writeFileSync(file, content);
    return file;
  }

  for (const name of ["hcpe", "hag"] as const) {
    describe(name, () => {
      it("prints its usage when asked, and as an error when no command was given", async () => {
        for (const args of [["--help"], ["help"]]) {
          const { code, stdout } = await run(name, args);
          expect(code).to.equal(0);
          for (const command of ["run", "check", "status", "version"])
            expect(stdout).to.match(new RegExp(`^  ${command}\\b`, "m"));
        }
        expect((await run(name, ["run", "--help"])).stdout)
          .to.include("--config")
          .and.include("--set");
        const { code, stdout, stderr } = await run(name, []);
        expect({ code, stdout }).to.deep.equal({ code: 2, stdout: "" });
        expect(stderr).to.match(new RegExp(`^Usage: ${name} `));
      });

      it("refuses a wrong command line with exit code 2 and one line", async () => {
        for (const [args, said] of [
          [["chek"], "unknown command 'chek'\n(Did you mean check?)"],
          [["check", "--frob"], "unknown option '--frob'"],
          [["check", "--config"], "option '-c, --config <file>' argument missing"],
        ] as const) {
          expect(await run(name, args)).to.deep.equal({ code: 2, stdout: "", stderr: `${name}: ${said}\n` });
        }
      });

      it("prints its version", async () => {
        expect((await run(name, ["version"])).stdout).to.match(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+\\n$`));
        expect((await run(name, ["--version"])).stdout).to.match(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+\\n$`));
        const { code, stdout } = await run(name, ["version", "--json", "--config", "/absent"]);
        expect(code).to.equal(0);
        expect(JSON.parse(stdout)).to.include({ name, node: process.versions.node });
      });

      it("checks a valid configuration and tells what the host offers, as text and as JSON", async () => {
        const config = configFile(VALID[name]);
        const { code, stdout, stderr } = await run(name, ["check", "--config", config]);
        expect({ code, stderr }).to.deep.equal({ code: 0, stderr: "" });
        expect(stdout)
          .to.match(/^configuration +valid$/m)
          .and.match(/^ {2}transparent +(yes|no: .+)$/m);
        const json = await run(name, ["check", "--json", "--config", config]);
        expect(json.stdout.trim().split("\n")).to.have.length(1);
        const answer = JSON.parse(json.stdout) as { configuration: string; capabilities: Record<string, object> };
        expect(answer.configuration).to.equal("valid");
        expect(answer.capabilities).to.have.all.keys(
          "multipathTcp",
          "fastOpenConnect",
          "fastOpenListen",
          "transparent",
          "pathControl",
          "acceptedPaths",
          "nftablesTproxy",
          "tun",
          "packetSocket",
          "netfilterQueue",
        );
      });

      for (const command of ["check", "run", "status"]) {
        it(`${command} tells everything that is wrong with a configuration, and ends with 78`, async () => {
          const config = configFile(`${VALID[name]}${WRONG}`);
          const first = VALID[name].split("\n").length;
          const { code, stdout, stderr } = await run(name, [command, "--config", config, "--set", "workers=0"]);
          expect({ code, stdout }).to.deep.equal({ code: 78, stdout: "" });
          expect(stderr.split("\n")).to.deep.equal([
            `${name}: ${config}:${first}:1: wrokers: unknown key wrokers; did you mean workers?`,
            `${name}: ${config}:${first + 2}:10: log.level: expected one of trace, debug, info, warn, error, found "loud"`,
            `${name}: ${config}:${first + 3}:8: drain: expected a duration such as 900ms, 30s, 5m or 2h, found 10`,
            `${name}: flag --set workers: workers: expected a whole number from 1 to 64, found 0`,
            "",
          ]);
        });
      }

      if (name === "hcpe") {
        it("check loads the policy module, and refuses one that is not there or does not work, with its place", async () => {
          const module = join(directory, "policy.mjs");
          const config = configFile(`${VALID[name]}policy: module\npolicyModule: ${module}\n`);
          const check = async (text: string | undefined) => {
            if (text === undefined) rmSync(module, { force: true });
            else writeFileSync(module, text);
            return await run(name, ["check", "--config", config]);
          };
          for (const [text, said] of [
            [undefined, `${module}: ENOENT: no such file or directory, access '${module}'`],
            ["export const policy = {\n  wanted() { 1 2 },\n};", `${module}:2:16: Unexpected number`],
            ["export const policy = {\n  wanted: () => uplinks,\n};", `${module}:2:17: uplinks is not defined`],
            ["export const policy = {};", `${module}: it exports no \`policy\` with a function \`wanted\``],
          ] as const) {
            const { code, stdout, stderr } = await check(text);
            expect({ code, stdout }).to.deep.equal({ code: 78, stdout: "" });
            expect(stderr).to.equal(
              `hcpe: policy module ${said}; expected an ECMAScript module that exports \`policy\`, with a function \`wanted\` that gives a list of subflows\n`,
            );
          }
          expect((await check("export const policy = { wanted: () => [] };")).code).to.equal(0);
        });
      }

      it("takes settings from the environment, and from flags over it", async () => {
        const config = configFile(VALID[name]);
        const environment = { [`${name.toUpperCase()}_WORKERS`]: "zero" };
        const { code, stderr } = await run(name, ["check", "--config", config], environment);
        expect(code).to.equal(78);
        expect(stderr).to.equal(
          `${name}: environment ${name.toUpperCase()}_WORKERS: workers: expected a whole number from 1 to 64, found "zero"\n`,
        );
        expect(await run(name, ["check", "--config", config, "--set", "workers=2"], environment)).to.include({
          code: 0,
        });
      });

      it("status says that nothing runs, and ends with 3", async () => {
        const socket = join(directory, "absent.sock");
        const config = configFile(`${VALID[name]}admin: { socket: ${socket} }\n`);
        const { code, stdout, stderr } = await run(name, ["status", "--config", config]);
        expect({ code, stdout }).to.deep.equal({ code: 3, stdout: "" });
        expect(stderr).to.match(new RegExp(`^${name}: no daemon answers on ${socket}: .*ENOENT.*\n$`));
      });
    });
  }
});

describe("a running daemon", function () {
  this.timeout(20_000);
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-running-"));
  let lab: Lab;

  before(async () => {
    lab = await Lab.up({ nodes: { host: { router: true } }, links: [], routes: [] });
  });
  after(async () => {
    await lab?.down();
    rmSync(directory, { recursive: true });
  });

  for (const name of ["hcpe", "hag"] as const) {
    it(`${name}: says ready, answers status, keeps its admin socket to itself, and ends with 0`, async () => {
      const config = join(directory, `${name}.yaml`);
      writeFileSync(config, `${VALID[name]}admin: { socket: ${join(directory, name, "admin.sock")} }\n`);
      const command = (...args: string[]) => [
        process.execPath,
        join(ROOT, "packages", name, "bin", `${name}.js`),
        ...args,
        "--config",
        config,
      ];
      const daemon = lab.spawn("host", command("run"), { stdio: ["ignore", "pipe", "inherit"] });
      const exited = once(daemon, "exit");
      await saidBy(daemon, '"msg":"ready"');
      const text = await lab.run("host", command("status"));
      expect(text)
        .to.match(/^ready +yes$/m)
        .and.match(/^ {2}connectionsActive +0$/m);
      const status = JSON.parse(await lab.run("host", command("status", "--json"))) as Record<string, unknown>;
      expect(status).to.include({
        apiVersion: 1,
        ready: true,
        engine: IS_KERNEL_TESTED ? "kernel" : "userspace",
        workers: 1,
      });
      if (name === "hag") {
        const second = lab.spawn("host", command("run"), { stdio: ["ignore", "ignore", "pipe"] });
        const said = saidBy(second, "\n");
        expect((await once(second, "exit"))[0]).to.equal(78);
        expect(await said).to.match(/^hag: another process serves .*admin\.sock\n$/);
        expect(JSON.parse(await lab.run("host", command("status", "--json")))).to.include({ ready: true });
      }
      daemon.kill("SIGTERM");
      expect((await exited)[0]).to.equal(0);
    });
  }
});

/** What a process has printed up to and including `text`; rejects when it ends without it. */
function saidBy(child: ChildProcess, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    const onOutput = (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes(text)) resolve(said);
    };
    child.stdout?.on("data", onOutput);
    child.stderr?.on("data", onOutput);
    child.once("close", () => reject(new Error(`ended, having said:\n${said}`)));
  });
}
