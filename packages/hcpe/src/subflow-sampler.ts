/** Reads what every connection and subflow has carried, as often as the path manager needs to know. */
import { describeError } from "@hybrid-access/core/base/error";
import type {
  ConnectionDiagnostics,
  SubflowDiagnostics,
} from "@hybrid-access/core/platform/netlink/socket-diagnostics";
import type { ConnectionSample, SubflowSample } from "@hybrid-access/core/policy/path-manager/stall";
import type { Logger } from "@hybrid-access/core/services/log";

/** While connections have several subflows: one of them may stand still. */
const LOOK_MS = 500;
/** While connections wait until they have carried enough. */
const URGENT_LOOK_MS = 100;
/** A look is followed by a pause of so many times its own length. */
const PAUSE_FACTOR = 20;

/** What the kernel knows of Multipath TCP at one moment. */
export interface SocketSnapshot {
  readonly connections: readonly ConnectionDiagnostics[];
  readonly subflows: readonly SubflowDiagnostics[];
}

export interface SubflowSamplerOptions {
  readonly read: () => SocketSnapshot;
  readonly need: () => "none" | "some" | "urgent";
  readonly onSamples: (subflows: readonly SubflowSample[], connections: readonly ConnectionSample[]) => void;
  readonly log: Logger;
}

export class SubflowSampler {
  readonly #options: SubflowSamplerOptions;
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  /** No look before: the last one took its time. */
  #earliestMs = 0;
  #failed = false;
  #stopped = false;

  constructor(options: SubflowSamplerOptions) {
    this.#options = options;
  }

  /** What is needed may have changed. */
  hasChanged(): void {
    const need = this.#options.need();
    if (need === "none" || this.#stopped) return;
    const nowMs = performance.now();
    const dueMs = Math.max(this.#earliestMs, nowMs + (need === "urgent" ? URGENT_LOOK_MS : LOOK_MS));
    if (dueMs >= this.#dueMs) return;
    clearTimeout(this.#timer);
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => this.#look(), dueMs - nowMs);
    this.#timer.unref();
  }

  #look(): void {
    this.#dueMs = Number.POSITIVE_INFINITY;
    const snapshot = this.#read();
    if (snapshot !== undefined) {
      this.#options.onSamples(snapshot.subflows.map(subflowSample), snapshot.connections.map(connectionSample));
    }
    this.hasChanged();
  }

  /** Undefined when the kernel does not answer: the next look asks again. */
  #read(): SocketSnapshot | undefined {
    const startedMs = performance.now();
    try {
      const snapshot = this.#options.read();
      this.#failed = false;
      const endedMs = performance.now();
      this.#earliestMs = endedMs + PAUSE_FACTOR * (endedMs - startedMs);
      return snapshot;
    } catch (error) {
      // One line for a failure that repeats itself.
      if (!this.#failed) this.#options.log.error({ error, detail: describeError(error) }, "subflows could not be read");
      this.#failed = true;
      return undefined;
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}

function subflowSample(subflow: SubflowDiagnostics): SubflowSample {
  const { token, local, remote, unacknowledged, bytesAcknowledged, rtoMs } = subflow;
  return { token, local, remote, inFlightSegments: unacknowledged, acknowledgedBytes: bytesAcknowledged, rtoMs };
}

function connectionSample(connection: ConnectionDiagnostics): ConnectionSample {
  const { token, bytesSent, bytesAcknowledged, bytesReceived } = connection;
  return { token, sentBytes: bytesSent, acknowledgedBytes: bytesAcknowledged, receivedBytes: bytesReceived };
}
