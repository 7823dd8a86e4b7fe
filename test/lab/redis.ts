/** Real redis-server processes (Debian's redis-server package) on the loopback interface, in ports and files of their own. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { RedisServer, RedisSettings } from "@hybrid-access/core/services/registry/redis";
import { until } from "./until.ts";

const execFileAsync = promisify(execFile);
const HOST = "127.0.0.1";
const START_LIMIT_MS = 10_000;

/** Starts a process; the lab gives one that does so in a namespace. */
export type Spawn = (command: readonly string[]) => ChildProcess;

const spawnHere: Spawn = ([file = "", ...args]) => spawn(file, args, { stdio: "ignore" });

/** Some Redis processes that belong together. */
export class RedisFleet {
  readonly settings: RedisSettings;
  readonly #directory: string;
  readonly #servers: readonly RedisServer[];
  readonly #processes: readonly ChildProcess[];

  private constructor(
    directory: string,
    settings: RedisSettings,
    servers: readonly RedisServer[],
    processes: readonly ChildProcess[],
  ) {
    this.#directory = directory;
    this.settings = settings;
    this.#servers = servers;
    this.#processes = processes;
  }

  /** One server. With `password` it asks for the user "farm", who may use the project's keys only. */
  static async single(password?: string, given?: RedisServer, start = spawnHere): Promise<RedisFleet> {
    const [directory, [port = 0]] = [makeDirectory(), given === undefined ? await freePorts(1) : [given.port]];
    const server = { host: given?.host ?? HOST, port };
    const users =
      password === undefined
        ? []
        : ["--user", "farm", "on", `>${password}`, "~ha:*", "+@all", "--requirepass", "other"];
    const child = start(serverCommand(directory, server, users));
    if (given === undefined) await answers(server, password === undefined ? [] : ["-a", "other"]);
    const credentials = password === undefined ? {} : { username: "farm", password };
    const settings = { mode: "single", servers: [server], primary: "farm", ...credentials } as const;
    return new RedisFleet(directory, settings, [server], [child]);
  }

  /** A master, a replica, and three Sentinels that agree by two. */
  static async sentinel(): Promise<RedisFleet> {
    const directory = makeDirectory();
    const [master = 0, replica = 0, ...watchers] = await freePorts(5);
    const servers = [master, replica].map((port) => ({ host: HOST, port }));
    const processes = servers.map((server, index) =>
      spawnHere(serverCommand(directory, server, index === 0 ? [] : ["--replicaof", HOST, String(master)])),
    );
    await Promise.all(servers.map((server) => answers(server)));
    const sentinels = watchers.map((port) => ({ host: HOST, port }));
    for (const { port } of sentinels) {
      const file = join(directory, `sentinel-${port}.conf`);
      writeFileSync(file, sentinelConfig(directory, port, master));
      processes.push(spawnHere(["redis-server", file, "--sentinel"]));
    }
    await Promise.all(sentinels.map((server) => answers(server)));
    await until(
      async () => {
        const state = await cli({ host: HOST, port: watchers[0] ?? 0 }, ["sentinel", "master", "farm"]);
        return /num-slaves\n1\n/.test(state) && /num-other-sentinels\n2\n/.test(state);
      },
      { what: "the Sentinels know the replica and each other", limitMs: START_LIMIT_MS },
    );
    return new RedisFleet(directory, { mode: "sentinel", servers: sentinels, primary: "farm" }, servers, processes);
  }

  /** Three masters, each with a replica if asked. */
  static async cluster(replicas: 0 | 1 = 0): Promise<RedisFleet> {
    const directory = makeDirectory();
    const count = 3 * (1 + replicas);
    const ports = await freePorts(2 * count);
    const servers = ports.slice(0, count).map((port) => ({ host: HOST, port }));
    const processes = servers.map((server, index) => {
      const bus = String(ports[count + index]);
      const options = ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000"];
      return spawnHere(serverCommand(directory, server, options));
    });
    await Promise.all(servers.map((server) => answers(server)));
    const nodes = servers.map(({ host, port }) => `${host}:${port}`);
    const create = ["--cluster", "create", ...nodes, "--cluster-replicas", String(replicas), "--cluster-yes"];
    await execFileAsync("redis-cli", create);
    for (const server of servers) {
      await until(async () => (await cli(server, ["cluster", "info"])).includes("cluster_state:ok"), {
        what: "the cluster is ready",
        limitMs: START_LIMIT_MS,
      });
    }
    for (const server of servers) await inStep(server);
    return new RedisFleet(directory, { mode: "cluster", servers, primary: "farm" }, servers, processes);
  }

  /** Sends a signal to one of the servers: SIGSTOP for one that hangs, SIGCONT to let it go on, SIGKILL. */
  signal(server: number, signal: NodeJS.Signals): void {
    this.#processes[server]?.kill(signal);
  }

  /** Runs a command on one of the servers. */
  async command(server: number, ...command: readonly string[]): Promise<string> {
    return await cli(this.#servers[server] ?? { host: HOST, port: 0 }, command);
  }

  async close(): Promise<void> {
    const running = this.#processes.filter((child) => child.exitCode === null && child.signalCode === null);
    const exits = running.map((child) => once(child, "exit"));
    for (const child of running) child.kill("SIGKILL");
    await Promise.all(exits);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function makeDirectory(): string {
  return mkdtempSync(join(tmpdir(), "hybrid-access-redis-"));
}

function serverCommand(directory: string, { host, port }: RedisServer, more: readonly string[]): string[] {
  const own = join(directory, String(port));
  mkdirSync(own, { recursive: true });
  const base = ["--bind", host, "--port", String(port), "--dir", own, "--protected-mode", "no", "--save", ""];
  // A replica is there at once, not after the five seconds in which a master waits for more of them.
  base.push("--repl-diskless-sync-delay", "0");
  return ["redis-server", ...base, ...more];
}

function sentinelConfig(directory: string, port: number, master: number): string {
  const own = join(directory, String(port));
  mkdirSync(own, { recursive: true });
  return [
    `bind ${HOST}`,
    `port ${port}`,
    `dir ${own}`,
    `sentinel monitor farm ${HOST} ${master} 2`,
    "sentinel down-after-milliseconds farm 500",
    "sentinel failover-timeout farm 2000",
    "",
  ].join("\n");
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, HOST));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}

async function cli({ host, port }: RedisServer, command: readonly string[]): Promise<string> {
  return (await execFileAsync("redis-cli", ["-h", host, "-p", String(port), ...command])).stdout;
}

/** A replica that has not copied its master yet would never be made master. */
async function inStep(server: RedisServer): Promise<void> {
  await until(async () => !(await cli(server, ["info", "replication"])).includes("master_link_status:down"), {
    what: `the server on port ${server.port} is in step with its master`,
    limitMs: START_LIMIT_MS,
  });
}

async function answers(server: RedisServer, credentials: readonly string[] = []): Promise<void> {
  const what = `Redis answers on port ${server.port}`;
  const ask = async () => (await cli(server, [...credentials, "--no-auth-warning", "ping"])).includes("PONG");
  await until(() => ask().catch(() => false), { what, limitMs: START_LIMIT_MS });
}
