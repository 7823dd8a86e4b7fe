/** Real redis-server processes (Debian's redis-server package) on the loopback interface, in ports and files of their own. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { RedisServer, RedisSettings } from "@hybrid-access/core/services/registry/redis";
import { until } from "./until.ts";

const execFileAsync = promisify(execFile);
const START_LIMIT_MS = 10_000;

/** Where processes run: on the loopback interface of this host, or in a node of a lab. */
export interface RedisPlace {
  readonly host: string;
  /** Ports nobody has. */
  ports(count: number): Promise<readonly number[]>;
  spawn(command: readonly string[]): ChildProcess;
  /** Runs a command to its end and gives what it printed. */
  run(command: readonly string[]): Promise<string>;
}

const LOOPBACK: RedisPlace = {
  host: "127.0.0.1",
  async ports(count) {
    const servers = Array.from({ length: count }, () => createServer().listen(0, this.host));
    await Promise.all(servers.map((server) => once(server, "listening")));
    const ports = servers.map((server) => (server.address() as { port: number }).port);
    await Promise.all(servers.map((server) => once(server.close(), "close")));
    return ports;
  },
  spawn: ([file = "", ...args]) => spawn(file, args, { stdio: "ignore" }),
  run: async ([file = "", ...args]) => (await execFileAsync(file, args)).stdout,
};

/** Some Redis processes that belong together. */
export class RedisFleet {
  readonly settings: RedisSettings;
  readonly #place: RedisPlace;
  readonly #directory: string;
  readonly #servers: readonly RedisServer[];
  readonly #processes: readonly ChildProcess[];

  private constructor(
    place: RedisPlace,
    directory: string,
    settings: RedisSettings,
    servers: readonly RedisServer[],
    processes: readonly ChildProcess[],
  ) {
    this.#place = place;
    this.#directory = directory;
    this.settings = settings;
    this.#servers = servers;
    this.#processes = processes;
  }

  /** One server. With `password` it asks for the user "farm", who may use the project's keys only. */
  static async single(password?: string, place = LOOPBACK): Promise<RedisFleet> {
    const [directory, [port = 0]] = [makeDirectory(), await place.ports(1)];
    const server = { host: place.host, port };
    const users =
      password === undefined
        ? []
        : ["--user", "farm", "on", `>${password}`, "~ha:*", "+@all", "--requirepass", "other"];
    const child = place.spawn(serverCommand(directory, server, users));
    const credentials = password === undefined ? {} : { username: "farm", password };
    const settings = { mode: "single", servers: [server], primary: "farm", ...credentials } as const;
    const fleet = new RedisFleet(place, directory, settings, [server], [child]);
    return await fleet.#when(() => answers(place, server, password === undefined ? [] : ["-a", "other"]));
  }

  /** One server that speaks TLS only, under a certificate of its own. */
  static async tls(): Promise<RedisFleet> {
    const place = LOOPBACK;
    const [directory, [port = 0]] = [makeDirectory(), await place.ports(1)];
    const server = { host: place.host, port };
    const [key, certificate] = [join(directory, "key.pem"), join(directory, "certificate.pem")];
    const subject = ["-subj", "/CN=farm", "-addext", `subjectAltName=IP:${place.host}`, "-days", "1"];
    const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key];
    await place.run(["openssl", "req", "-x509", ...newKey, "-out", certificate, ...subject]);
    const files = ["--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate];
    const tls = ["--port", "0", "--tls-port", String(port), "--tls-auth-clients", "no", ...files];
    const child = place.spawn(serverCommand(directory, server, tls));
    const ca = readFileSync(certificate, "utf8");
    const settings = { mode: "single", servers: [server], primary: "farm", tls: { ca } } as const;
    const fleet = new RedisFleet(place, directory, settings, [server], [child]);
    return await fleet.#when(() => answers(place, server, ["--tls", "--cacert", certificate]));
  }

  /** A master, a replica, and three Sentinels that agree by two. */
  static async sentinel(place = LOOPBACK): Promise<RedisFleet> {
    const directory = makeDirectory();
    const { host } = place;
    const [master = 0, replica = 0, ...watchers] = await place.ports(5);
    const servers = [master, replica].map((port) => ({ host, port }));
    const processes = servers.map((server, index) =>
      place.spawn(serverCommand(directory, server, index === 0 ? [] : ["--replicaof", host, String(master)])),
    );
    const sentinels = watchers.map((port) => ({ host, port }));
    const settings = { mode: "sentinel", servers: sentinels, primary: "farm" } as const;
    return await new RedisFleet(place, directory, settings, servers, processes).#when(async () => {
      await Promise.all(servers.map((server) => answers(place, server)));
      // A Sentinel asks a master for its replicas when it starts, and then only every ten seconds.
      await inStep(place, { host, port: replica });
      for (const sentinel of sentinels) {
        const file = join(directory, `sentinel-${sentinel.port}.conf`);
        writeFileSync(file, sentinelConfig(directory, sentinel, master));
        processes.push(place.spawn(["redis-server", file, "--sentinel"]));
      }
      await Promise.all(sentinels.map((server) => answers(place, server)));
      await until(
        async () => {
          const state = await cli(place, { host, port: watchers[0] ?? 0 }, ["sentinel", "master", "farm"]);
          return /num-slaves\n1\n/.test(state) && /num-other-sentinels\n2\n/.test(state);
        },
        { what: "the Sentinels know the replica and each other", limitMs: START_LIMIT_MS },
      );
    });
  }

  /** Three masters, each with a replica if asked. */
  static async cluster(replicas: 0 | 1 = 0, place = LOOPBACK): Promise<RedisFleet> {
    const directory = makeDirectory();
    const { host } = place;
    const count = 3 * (1 + replicas);
    const ports = await place.ports(2 * count);
    const servers = ports.slice(0, count).map((port) => ({ host, port }));
    const processes = servers.map((server, index) => {
      const bus = String(ports[count + index]);
      const options = ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000"];
      return place.spawn(serverCommand(directory, server, options));
    });
    const settings = { mode: "cluster", servers, primary: "farm" } as const;
    return await new RedisFleet(place, directory, settings, servers, processes).#when(async () => {
      await Promise.all(servers.map((server) => answers(place, server)));
      const nodes = servers.map(({ port }) => `${host}:${port}`);
      const create = ["--cluster", "create", ...nodes, "--cluster-replicas", String(replicas), "--cluster-yes"];
      await place.run(["redis-cli", ...create]);
      for (const server of servers) {
        await until(async () => (await cli(place, server, ["cluster", "info"])).includes("cluster_state:ok"), {
          what: "the cluster is ready",
          limitMs: START_LIMIT_MS,
        });
      }
      for (const server of servers) await inStep(place, server);
    });
  }

  /** The fleet, once it is ready; one that does not get ready leaves nothing behind. */
  async #when(ready: () => Promise<void>): Promise<this> {
    try {
      await ready();
      return this;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  /** Sends a signal to one of the servers: SIGSTOP for one that hangs, SIGCONT to let it go on, SIGKILL. */
  signal(server: number, signal: NodeJS.Signals): void {
    this.#processes[server]?.kill(signal);
  }

  /** Runs a command on one of the servers. */
  async command(server: number, ...command: readonly string[]): Promise<string> {
    return await cli(this.#place, this.#servers[server] ?? { host: this.#place.host, port: 0 }, command);
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

function sentinelConfig(directory: string, { host, port }: RedisServer, master: number): string {
  const own = join(directory, String(port));
  mkdirSync(own, { recursive: true });
  return [
    `bind ${host}`,
    `port ${port}`,
    `dir ${own}`,
    `sentinel monitor farm ${host} ${master} 2`,
    "sentinel down-after-milliseconds farm 500",
    "sentinel failover-timeout farm 2000",
    "",
  ].join("\n");
}

async function cli(place: RedisPlace, { host, port }: RedisServer, command: readonly string[]): Promise<string> {
  return await place.run(["redis-cli", "-h", host, "-p", String(port), ...command]);
}

/** A replica that has not copied its master yet would never be made master. */
async function inStep(place: RedisPlace, server: RedisServer): Promise<void> {
  await until(async () => !(await cli(place, server, ["info", "replication"])).includes("master_link_status:down"), {
    what: `the server on port ${server.port} is in step with its master`,
    limitMs: START_LIMIT_MS,
  });
}

async function answers(place: RedisPlace, server: RedisServer, credentials: readonly string[] = []): Promise<void> {
  const what = `Redis answers on port ${server.port}`;
  const ask = async () => (await cli(place, server, [...credentials, "--no-auth-warning", "ping"])).includes("PONG");
  await until(() => ask().catch(() => false), { what, limitMs: START_LIMIT_MS });
}
