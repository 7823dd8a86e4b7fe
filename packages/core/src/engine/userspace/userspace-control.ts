/**
 * The control plane's side of the userspace engine: the TUN devices, the addresses that stand for those of the host, the
 * rules that translate between both, and what is asked of the workers.
 */
import { equalBytes } from "../../base/bytes.ts";
import { addressKey, type Endpoint, type IpAddress } from "../../base/ip-address.ts";
import { reserveEndpoint } from "../../platform/socket.ts";
import type { AcceptedPaths, PathControl } from "../engine.ts";
import type {
  Diagnostics,
  EngineControl,
  EngineControlOptions,
  EngineReport,
  EngineRole,
  TransportChoice,
  UplinkAddresses,
} from "../engine-control.ts";
import { type MappedAddress, ownAddresses } from "./address-map.ts";
import { InsideAddresses } from "./inside-addresses.ts";
import { NO_RULES, type UserspaceMessage, type UserspaceReport, type UserspaceSetup } from "./messages.ts";
import { inwardRules, outwardRules } from "./nat.ts";
import { PassedJoins } from "./passed-joins.ts";
import { RemoteAcceptedPaths } from "./remote-accepted-paths.ts";
import { RemotePathControl } from "./remote-paths.ts";
import { servedEnds } from "./served-ends.ts";
import { forgetWithoutDevice, resetWithoutDevice, TunDevice } from "./tun-device.ts";
import { WorkerQuestions } from "./worker-questions.ts";

/** Connection tracking is not to judge windows: those of Multipath TCP are the connection's, not the subflow's. */
const LIBERAL_TRACKING = "net.netfilter.nf_conntrack_tcp_be_liberal";

export class UserspaceControl implements EngineControl {
  readonly tellsEveryEnd = true;
  readonly hasNetwork = true;
  readonly diagnostics: Diagnostics;
  readonly #options: EngineControlOptions;
  readonly #table: string;
  readonly #devices: readonly TunDevice[];
  readonly #inside: InsideAddresses;
  /** Every address that the devices have had. */
  readonly #routed = new Map<string, IpAddress>();
  readonly #questions: WorkerQuestions;
  readonly #passed: SharedArrayBuffer;
  #paths: RemotePathControl | undefined;
  #accepted: RemoteAcceptedPaths | undefined;
  #transport: TransportChoice;
  /** By device. */
  #addresses: readonly (readonly MappedAddress[])[];
  #host: readonly IpAddress[] = [];
  /** What gives back the ports that are served in place of the kernel. */
  readonly #reservations: (() => void)[] = [];
  #rules = "";

  /** Makes the devices. */
  constructor(options: EngineControlOptions) {
    const { daemon, role, workers } = options;
    this.#options = options;
    this.#transport = options.transport;
    this.#passed = PassedJoins.createMemory(workers);
    this.#questions = new WorkerQuestions(workers, (number, question) =>
      this.#send({ type: "engine", what: "question", number, question }),
    );
    this.diagnostics = diagnosticsBy(this.#questions);
    const count = role.type === "opens" ? role.uplinks.length : 1;
    this.#addresses = Array.from({ length: count }, () => []);
    this.#devices = openDevices(daemon, count, workers);
    // Several daemons may run on one host: the kernel has numbered their devices.
    const [{ name }] = this.#devices as [TunDevice];
    this.#table = `hybrid_access_${name}`;
    this.#inside = new InsideAddresses(2 * Number(/\d+$/.exec(name)) + (role.type === "opens" ? 0 : 1));
  }

  #send(message: UserspaceMessage, worker?: number): void {
    this.#options.send(message, worker);
  }

  get workerSetup(): UserspaceSetup {
    return {
      devices: this.#devices.map(({ name, descriptors }, index) => {
        return { name, descriptors, addresses: this.#addresses[index] ?? [] };
      }),
      workers: this.#options.workers,
      congestion: this.#options.congestion,
      tellsEvents: this.#paths !== undefined,
      accepted: this.#accepted?.rules ?? NO_RULES,
      transport: this.#transport,
      passed: this.#passed,
    };
  }

  openPathControl(): PathControl {
    this.#paths = new RemotePathControl(this.#questions, this.#options.workers);
    return this.#paths;
  }

  openAcceptedPaths(): AcceptedPaths {
    const accepted = new RemoteAcceptedPaths({
      questions: this.#questions,
      onRules: () => this.#send({ type: "engine", what: "accepted", rules: accepted.rules }),
      serves: (end) => this.#serves(end),
    });
    this.#accepted = accepted;
    return accepted;
  }

  configure(transport: TransportChoice): void {
    this.#transport = transport;
    this.#send({ type: "engine", what: "transport", transport });
  }

  followUplinks(uplinks: readonly UplinkAddresses[]): void {
    const { role } = this.#options;
    if (role.type !== "opens") return;
    const mapped = this.#inside.map(uplinks.flatMap(({ addresses }) => addresses));
    const of = (name: string) => uplinks.find((uplink) => uplink.name === name)?.addresses ?? [];
    const devices = role.uplinks.map((name) => mapped.filter(({ address }) => of(name).includes(address)));
    this.#apply(devices, outwardRules(mapped));
  }

  followHost(addresses: readonly IpAddress[]): void {
    this.#host = addresses;
    this.#serve();
  }

  /** Takes what comes to the ends that are listened at or announced. */
  #serve(): void {
    const { role } = this.#options;
    if (role.type !== "accepts") return;
    const announced = this.#accepted?.rules.announced.map(({ end }) => end) ?? [];
    const served = servedEnds([...role.listen, ...virtualEnds(role)], announced, this.#host);
    const hosts = served.filter(({ isHosts }) => isHosts);
    if (this.#reservations.length === 0) this.#reserve(hosts);
    const mapped = this.#inside.map(unique(hosts));
    const own = ownAddresses(unique(served.filter(({ isHosts }) => !isHosts)));
    const ends = mapped.flatMap((pair) =>
      served.filter(({ address }) => equalBytes(address, pair.address)).map(({ port }) => ({ ...pair, port })),
    );
    this.#apply([[...mapped, ...own]], inwardRules(ends));
  }

  /** Nobody else on the host may listen there, as of the start. */
  #reserve(ends: readonly Endpoint[]): void {
    for (const end of ends) this.#reservations.push(reserveEndpoint(end));
  }

  /** An address that is announced is to be the host's, or one that is listened at. */
  #serves({ address }: Endpoint): boolean {
    const { role } = this.#options;
    const known =
      role.type === "accepts" ? [...role.listen.map((end) => end.address), ...role.virtual, ...this.#host] : [];
    if (!known.some((each) => equalBytes(each, address))) return false;
    this.#serve();
    return true;
  }

  #apply(devices: readonly (readonly MappedAddress[])[], rules: string): void {
    if (describe(devices) === describe(this.#addresses) && rules === this.#rules) return;
    for (const [index, addresses] of devices.entries()) {
      this.#devices[index]?.routeHere(addresses.map(({ inside }) => inside));
    }
    const all = devices.flat();
    resetWithoutDevice(all.map(({ inside }) => inside));
    for (const { inside } of all) this.#routed.set(addressKey(inside), inside);
    this.#options.host.replaceTable(this.#table, rules);
    this.#options.host.setSysctl(LIBERAL_TRACKING, () => "1");
    this.#addresses = devices;
    this.#rules = rules;
    this.#send({ type: "engine", what: "addresses", devices });
  }

  insideOf(address: IpAddress): IpAddress | undefined {
    return this.#addresses.flat().find((pair) => equalBytes(pair.address, address))?.inside;
  }

  onReport(raw: EngineReport): void {
    const report = raw as UserspaceReport;
    switch (report.what) {
      case "events":
        return this.#paths?.onEvents(report.worker, report.events);
      case "answer":
        return this.#questions.onAnswer(report.number, report.answer);
      case "packet":
        return this.#send({ type: "engine", what: "packet", packet: report.packet }, report.owner);
    }
  }

  onWorkerDeath(worker: number): void {
    new PassedJoins(this.#passed).forget(worker);
    this.#paths?.onWorkerDeath(worker);
  }

  close(): void {
    this.#options.host.removeTable(this.#table);
    forgetWithoutDevice(Array.from(this.#routed.values()));
    for (const device of this.#devices) device.close();
    for (const release of this.#reservations) release();
  }
}

/** The virtual addresses at every port that is listened at. */
function virtualEnds({ listen, virtual }: Extract<EngineRole, { type: "accepts" }>): Endpoint[] {
  const ports = Array.from(new Set(listen.map(({ port }) => port)));
  return virtual.flatMap((address) => ports.map((port) => ({ address, port })));
}

function openDevices(daemon: string, count: number, queues: number): TunDevice[] {
  const devices: TunDevice[] = [];
  try {
    for (let index = 0; index < count; index++) {
      devices.push(new TunDevice({ name: `${daemon}tun%d`, offloads: true, queues }));
    }
    return devices;
  } catch (error) {
    for (const device of devices) device.close();
    throw error;
  }
}

function diagnosticsBy(questions: WorkerQuestions): Diagnostics {
  return {
    connections: async () => (await questions.ask({ about: "connections" })).flat(),
    subflows: async () => (await questions.ask({ about: "subflows" })).flat(),
    close() {},
  };
}

function unique(ends: readonly Endpoint[]): IpAddress[] {
  return Array.from(new Map(ends.map(({ address }) => [addressKey(address), address])).values());
}

function describe(devices: readonly (readonly MappedAddress[])[]): string {
  return JSON.stringify(devices.map((pairs) => pairs.map(({ address, inside }) => [...address, ...inside])));
}
