/** The userspace engine on a worker's thread, beside the kernel's plain TCP. */
import { ERRNO } from "../../platform/errno.ts";
import { CONGESTION_ALGORITHMS } from "../../policy/congestion/algorithms.ts";
import type { PathEvent } from "../../policy/path-manager/path-manager.ts";
import { schedulerNamed } from "../../policy/scheduler/schedulers.ts";
import { DEFAULT_MPTCP_SETTINGS, type MptcpSettings } from "../../stack/mptcp/settings.ts";
import type { Engine } from "../engine.ts";
import type { EngineMessage, TransportChoice, WorkerEngine, WorkerEngineOptions } from "../engine-control.ts";
import { KernelEngine } from "../kernel/kernel-engine.ts";
import { SplitEngine } from "../split-engine.ts";
import { StackDiagnostics } from "./diagnostics.ts";
import {
  type AcceptedRules,
  type Answers,
  NO_RULES,
  type Question,
  type ReportContent,
  type UserspaceMessage,
  type UserspaceReport,
  type UserspaceSetup,
} from "./messages.ts";
import { openUserspace, type Userspace } from "./open.ts";
import { PassedJoins } from "./passed-joins.ts";
import { TunUplink } from "./tun-uplink.ts";

/** What 300 Mbit/s over 100 ms have in flight; memory is taken only as far as it is used. */
const BUFFER_BYTES = 4 * 1024 * 1024;
/** The largest segment that the device cuts into packets. */
const BULK_BYTES = 60_000;

/** Transport settings of a worker, with a congestion control by its name. */
export function workerSettings(congestion: string): MptcpSettings {
  const { tcp } = DEFAULT_MPTCP_SETTINGS;
  return {
    ...DEFAULT_MPTCP_SETTINGS,
    tcp: {
      ...tcp,
      receiveBufferBytes: BUFFER_BYTES,
      sendBufferBytes: BUFFER_BYTES,
      bulkBytes: BULK_BYTES,
      congestion: CONGESTION_ALGORITHMS.find(({ name }) => name === congestion) ?? tcp.congestion,
    },
  };
}

function chosen({ scheduler }: TransportChoice): Pick<MptcpSettings, "scheduler"> {
  return { scheduler: schedulerNamed(scheduler) };
}

export function startUserspaceWorker(options: WorkerEngineOptions): WorkerEngine {
  return new UserspaceWorker(options);
}

class UserspaceWorker implements WorkerEngine {
  readonly engine: Engine;
  readonly #userspace: Userspace;
  readonly #uplinks: readonly TunUplink[];
  readonly #diagnostics: StackDiagnostics;
  readonly #worker: number;
  readonly #report: (report: UserspaceReport) => void;
  readonly #tellsEvents: boolean;
  readonly #passed: PassedJoins;
  #accepted: AcceptedRules = NO_RULES;
  #events: PathEvent[] = [];

  constructor({ epoll, ledger, setup, worker, report }: WorkerEngineOptions) {
    const { devices, workers, congestion, tellsEvents, accepted, transport, passed } = setup as UserspaceSetup;
    this.#passed = new PassedJoins(passed);
    this.#worker = worker;
    this.#report = report;
    this.#tellsEvents = tellsEvents;
    this.#diagnostics = new StackDiagnostics(worker);
    this.#uplinks = devices.map(({ name, descriptors, addresses }) => {
      const descriptor = descriptors[worker] ?? -ERRNO.EINVAL;
      return new TunUplink({ name, descriptor, offloads: true, addresses });
    });
    const share = {
      owns: (token: number) => token % workers === worker,
      pass: (token: number, packet: Uint8Array) => this.#pass(token % workers, packet),
    };
    const settings = { ...workerSettings(congestion), refuseJoins: accepted.refusesJoins, ...chosen(transport) };
    this.#userspace = openUserspace({ uplinks: this.#uplinks, settings, share }, epoll);
    this.engine = new SplitEngine(this.#userspace.engine, new KernelEngine(epoll, ledger));
    this.#userspace.paths.onEvent((event) => this.#onEvent(event));
    this.#userspace.reactor.beforeSleep = () => this.#tellEvents();
    this.#setAccepted(accepted);
  }

  get poller() {
    return this.#userspace.reactor;
  }

  #pass(owner: number, packet: Uint8Array): boolean {
    if (!this.#passed.leave(owner)) return false;
    this.#tell({ what: "packet", owner, packet: packet.slice() });
    return true;
  }

  #tell(content: ReportContent): void {
    this.#report({ type: "engine", worker: this.#worker, ...content });
  }

  #onEvent(event: PathEvent): void {
    if (this.#tellsEvents) this.#events.push(event);
    if (event.type !== "connectionEstablished" || !event.serverSide) return;
    for (const { addressId: localId, end: local } of this.#accepted.announced) {
      this.#userspace.paths.execute({ type: "announce", token: event.token, local, localId });
    }
  }

  /** Together, once for each turn of the loop. */
  #tellEvents(): void {
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    this.#tell({ what: "events", events });
  }

  onMessage(raw: EngineMessage): void {
    const message = raw as UserspaceMessage;
    switch (message.what) {
      case "addresses":
        for (const [index, addresses] of message.devices.entries()) this.#uplinks[index]?.setAddresses(addresses);
        return;
      case "accepted":
        return this.#setAccepted(message.rules);
      case "transport":
        return this.#userspace.host.configure(chosen(message.transport));
      case "question":
        return this.#tell({ what: "answer", number: message.number, answer: this.#answer(message.question) });
      case "packet":
        this.#passed.arrive(this.#worker);
        return this.#userspace.engine.receive(message.packet);
    }
  }

  #answer(question: Question): Answers[keyof Answers] {
    const { paths, engine } = this.#userspace;
    switch (question.about) {
      case "command":
        return paths.execute(question.command);
      case "reset":
        return paths.resetSubflow(question);
      case "connections":
        return this.#diagnostics.connections(engine.streams);
      case "subflows":
        return this.#diagnostics.subflows(engine.streams, performance.now());
    }
  }

  /** Addresses that are not announced any more are taken back (REMOVE_ADDR). */
  #setAccepted(rules: AcceptedRules): void {
    const { engine, paths } = this.#userspace;
    const withdrawn = this.#accepted.announced.filter(
      ({ addressId }) => !rules.announced.some((kept) => kept.addressId === addressId),
    );
    for (const { addressId: localId } of withdrawn) {
      for (const { connection } of engine.streams) paths.execute({ type: "remove", token: connection.token, localId });
    }
    this.#accepted = rules;
    engine.mostJoined = rules.mostSubflows;
  }

  close(): void {
    const { engine } = this.#userspace;
    for (const { leg } of Array.from(engine.streams)) engine.reset(leg);
    this.#userspace.reactor.advance(performance.now());
  }
}
