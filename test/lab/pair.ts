/** The product in the lab: a real `hcpe` and a real `hag` process in the hybrid topology. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hybridTopology } from "./hybrid.ts";
import { Lab } from "./lab.ts";
import type { Topology } from "./topology.ts";

const REPOSITORY = fileURLToPath(new URL("../../..", import.meta.url));

export type DaemonName = "hcpe" | "hag";

/** The admin interface's answer, as far as tests look at it. */
export interface Status {
  readonly ready: boolean;
  readonly engine: string;
  readonly workersListening: number;
  readonly workersDied: number;
  readonly counters: Readonly<Record<string, number>>;
  readonly uplinks: readonly {
    readonly name: string;
    readonly state: string;
    readonly receivedBytes: number;
    readonly sentBytes: number;
    readonly silent: readonly string[];
  }[];
  readonly gateways: readonly {
    readonly gateway: string;
    readonly up: boolean;
    readonly busy: boolean;
    readonly reason: string | null;
  }[];
  readonly paths: { readonly connections: number; readonly subflows: number };
  /** Of the HAG: subflows on which what it sent stood still. */
  readonly subflowsReset: number;
  /** Of the HAG: it takes no further subflows. */
  readonly subflowsFull: boolean;
  readonly capabilities: Readonly<Record<string, { readonly available: boolean }>>;
}

export const HCPE_CONFIG = `
lan: { interfaces: [lan] }
uplinks:
  - { name: dsl, interface: dsl, cost: 0 }
  - { name: lte, interface: lte, cost: 10 }
gateways: [ { address: 10.9.9.9, port: 5124 } ]
policy: aggregate
workers: 1
`;

export const HAG_CONFIG = `
listen: [ { address: "::", port: 5124 } ]
clients: [ 10.1.0.0/16, "fd11::/64" ]
destinations: { allow: [ 10.3.3.0/24, "fd33::/64" ], deny: [] }
egress: { source: shared }
workers: 1
`;

const READY_TIMEOUT_MS = 15_000;

/** A running daemon. */
export interface RunningDaemon {
  readonly process: ChildProcess;
  /** Its log so far. */
  log(): string;
  /** Ends it with a signal and gives its exit code, or null when the signal killed it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export class Pair {
  readonly lab: Lab;
  readonly #directory = mkdtempSync(join(tmpdir(), "hybrid-access-"));
  readonly #running = new Map<string, RunningDaemon>();

  private constructor(lab: Lab) {
    this.lab = lab;
  }

  /** Builds the lab, without daemons. */
  static async lab(topology: Topology = hybridTopology()): Promise<Pair> {
    return new Pair(await Lab.up(topology));
  }

  /** Builds the lab and starts both daemons. */
  static async up(configs: { hcpe?: string; hag?: string; topology?: Topology } = {}): Promise<Pair> {
    const pair = await Pair.lab(configs.topology);
    try {
      await Promise.all([
        pair.start("hag", configs.hag ?? HAG_CONFIG),
        pair.start("hcpe", configs.hcpe ?? HCPE_CONFIG),
      ]);
      return pair;
    } catch (error) {
      await pair.down();
      throw error;
    }
  }

  /**
   * Writes a daemon's configuration file, with an admin socket of this pair's own, and gives its path. `instance` tells
   * several daemons of one kind apart.
   */
  writeConfig(name: DaemonName, config: string, instance: string = name): string {
    const file = join(this.#directory, `${instance}.yaml`);
    writeFileSync(file, `${config}\nadmin: { socket: ${join(this.#directory, instance, "admin.sock")} }\n`);
    return file;
  }

  commandOf(name: DaemonName, ...args: string[]): string[] {
    return [process.execPath, join(REPOSITORY, "packages", name, "bin", `${name}.js`), ...args];
  }

  /**
   * Starts a daemon in its node and waits until it says that it is ready. `launcher` is put before its command, such as
   * "taskset -c 0"; `instance` names its files, where there are several of one kind.
   */
  async start(
    name: DaemonName,
    config: string,
    { launcher = [], instance = name }: { launcher?: readonly string[]; instance?: string } = {},
  ): Promise<RunningDaemon> {
    const file = this.writeConfig(name, config, instance);
    const command = [...launcher, ...this.commandOf(name, "run", "--config", file)];
    const child = this.lab.spawn(name, command, { stdio: ["ignore", "pipe", "pipe"] });
    let log = "";
    const daemon: RunningDaemon = {
      process: child,
      log: () => log,
      async end(signal) {
        if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
        const exited = once(child, "exit");
        child.kill(signal);
        await exited;
        return child.exitCode;
      },
    };
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${name} ${why}:\n${log}`));
      const timer = setTimeout(() => fail("was not ready in time"), READY_TIMEOUT_MS);
      const onOutput = (chunk: Buffer) => {
        log += chunk.toString();
        if (/"msg":"ready"/.test(log)) {
          clearTimeout(timer);
          resolve();
        }
      };
      child.stdout?.on("data", onOutput);
      child.stderr?.on("data", onOutput);
      child.once("exit", () => {
        clearTimeout(timer);
        fail("ended");
      });
    });
    this.#running.set(instance, daemon);
    return daemon;
  }

  daemon(instance: string): RunningDaemon {
    const daemon = this.#running.get(instance);
    if (daemon === undefined) throw new Error(`${instance} was not started`);
    return daemon;
  }

  /** What `hcpe status` or `hag status` says. */
  async status(name: DaemonName, instance: string = name): Promise<Status> {
    const config = join(this.#directory, `${instance}.yaml`);
    return JSON.parse(await this.lab.run(name, this.commandOf(name, "status", "--json", "--config", config))) as Status;
  }

  /** In order, without waiting for connections: a second signal ends the drain. */
  async #endDaemons(): Promise<void> {
    await Promise.all(
      Array.from(this.#running.values(), (daemon) => {
        daemon.process.kill("SIGTERM");
        return daemon.end("SIGTERM");
      }),
    );
  }

  /** A path for a file of this pair's own. */
  file(name: string): string {
    return join(this.#directory, name);
  }

  readFile(name: string): Buffer {
    return readFileSync(this.file(name));
  }

  async down(): Promise<void> {
    // A killed process tells no coverage.
    if (process.env.NODE_V8_COVERAGE !== undefined) await this.#endDaemons();
    await this.lab.down();
    rmSync(this.#directory, { recursive: true });
  }
}
