/** Two simulated hosts, joined by two paths; a step is a millisecond of virtual time. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { equalBytes } from "@hybrid-access/core/base/bytes";
import { type Family, type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { SimulatedHost } from "@hybrid-access/core/engine/simulated/simulated-host";
import type { PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import type { PacketEndpoint } from "@hybrid-access/core/stack/endpoint";
import type { LinkOptions } from "@hybrid-access/core/testing/link";
import { Simulator } from "@hybrid-access/core/testing/simulator/simulator";
import { emitIcmpError } from "@hybrid-access/core/wire/icmp";
import { IP_PROTOCOL, parseIpPacket } from "@hybrid-access/core/wire/ip-packet";
import { parseTcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { TCP_FLAG } from "@hybrid-access/core/wire/tcp/segment";
import { seededPorts } from "../unit/stack/host-pair.ts";
import type { Bench, Host } from "./bench.ts";

const STEP_MS = 1;
const FOREIGN = ipAddress("198.51.100.7");
const FOREIGN_SOURCE = ipAddress("192.0.2.7");
const LINK: LinkOptions = { rateBitsPerSecond: 1e9, delayMs: 1, queueBytes: 1_000_000 };

type PathNumber = 1 | 2;

class BenchHost implements Host {
  readonly simulated: SimulatedHost;
  readonly address: Host["address"];
  readonly second: Host["second"];
  readonly ready = new Map<number, number>();
  readonly pathEvents: PathEvent[] = [];
  readonly #number: number;

  constructor(number: number, nowMs: () => number) {
    this.#number = number;
    const addresses = [...this.on(1), ...this.on(2)];
    this.simulated = new SimulatedHost({ addresses, takesForeign: true, ports: seededPorts(number), nowMs });
    this.simulated.paths.onEvent((event) => this.pathEvents.push(event));
    this.address = { ipv4: this.#at("ipv4", 1), ipv6: this.#at("ipv6", 1) };
    this.second = {
      ipv4: { address: this.#at("ipv4", 2), interfaceIndex: 0 },
      ipv6: { address: this.#at("ipv6", 2), interfaceIndex: 0 },
    };
  }

  #at(family: Family, path: PathNumber): IpAddress {
    return ipAddress(family === "ipv4" ? `10.83.${path}.${this.#number}` : `fd83:${path}::${this.#number}`);
  }

  /** Its addresses on a path. */
  on(path: PathNumber): IpAddress[] {
    return [this.#at("ipv4", path), this.#at("ipv6", path)];
  }

  get engine() {
    return this.simulated.engine;
  }

  get paths() {
    return this.simulated.paths;
  }

  inside<Result>(action: () => Result): Result {
    return action();
  }

  collect(): void {
    this.engine.takeReady((tag, bits) => this.ready.set(tag, (this.ready.get(tag) ?? 0) | bits));
  }
}

/** The router before the server: what it says to the client, and what it lets pass. */
class Router implements PacketEndpoint {
  readonly #server: PacketEndpoint;
  readonly #unreachable: IpAddress;
  readonly #errors: Uint8Array[] = [];
  dropsMultipathSyns = false;

  constructor(server: PacketEndpoint, unreachable: IpAddress) {
    this.#server = server;
    this.#unreachable = unreachable;
  }

  onPacket(nowMs: number, packet: Uint8Array): void {
    const ip = parseIpPacket(packet);
    if (typeof ip === "string") return;
    if (equalBytes(ip.destination, this.#unreachable)) {
      const header = { ...ip, source: ip.destination, destination: ip.source, protocol: IP_PROTOCOL.icmp };
      this.#errors.push(emitIcmpError(header, { type: "unreachable", code: 1 }, packet));
    } else if (!(this.dropsMultipathSyns && isMultipathSyn(packet))) this.#server.onPacket(nowMs, packet);
  }

  onTimeout(nowMs: number): void {
    this.#server.onTimeout(nowMs);
  }

  pollTransmit(nowMs: number): Uint8Array | undefined {
    return this.#errors.shift() ?? this.#server.pollTransmit(nowMs);
  }

  pollTimeout(): number | undefined {
    return this.#server.pollTimeout();
  }
}

export class SimulatedBench implements Bench {
  readonly client = new BenchHost(1, () => this.#simulator.nowMs);
  readonly server = new BenchHost(2, () => this.#simulator.nowMs);
  readonly transparent = {
    listen: { address: this.server.address.ipv4, port: 5000 },
    foreign: { address: FOREIGN, port: 443 },
    foreignSource: FOREIGN_SOURCE,
  };
  readonly silent = ipAddress("10.83.1.77");
  readonly unreachable = ipAddress("10.83.1.78");
  readonly #router = new Router(this.server.simulated, this.unreachable);
  readonly #simulator: Simulator;

  constructor(seed: number) {
    const addresses = [...this.server.on(1), ...this.server.on(2), this.unreachable, FOREIGN];
    const pathOf = (path: PathNumber) => ({
      near: { host: "client", addresses: [...this.client.on(path), ...(path === 1 ? [FOREIGN_SOURCE] : [])] },
      far: { host: "server", addresses },
      forward: LINK,
      backward: LINK,
    });
    this.#simulator = new Simulator({
      hosts: { client: { endpoint: this.client.simulated }, server: { endpoint: this.#router } },
      paths: { path1: pathOf(1), path2: pathOf(2) },
      seed,
    });
  }

  async step(): Promise<void> {
    this.#simulator.run({ untilMs: this.#simulator.nowMs + STEP_MS });
    this.client.collect();
    this.server.collect();
    await nextTurn();
  }

  async dropMultipathSyns(drop: boolean): Promise<void> {
    this.#router.dropsMultipathSyns = drop;
  }

  async down(): Promise<void> {}
}

function isMultipathSyn(packet: Uint8Array): boolean {
  const parsed = parseTcpPacket(packet);
  if (typeof parsed === "string") return false;
  const { flags, options } = parsed.segment;
  return (flags & (TCP_FLAG.syn | TCP_FLAG.ack)) === TCP_FLAG.syn && options.some(({ type }) => type === "capable");
}
