/** A daemon's life: start, reload on SIGHUP, drain on SIGTERM or SIGINT, at once on a second signal. */
import { takeEachStep } from "../base/each-step.ts";
import { describeError } from "../base/error.ts";
import { steadyHeaps } from "../platform/heap.ts";
import type { Logger } from "./log.ts";

/** What the lifecycle drives. */
export interface Daemon {
  /** Serves when the promise resolves; when it rejects, {@link stop} is called. */
  start(): Promise<void>;
  /** Takes the configuration file again; a bad one throws and changes nothing. */
  reload(): Promise<void>;
  /** Takes nothing new; resolves when nothing is left. */
  drain(): Promise<void>;
  /** Ends, and removes what the daemon added to the host: all that can be removed, before it rejects. */
  stop(): Promise<void>;
}

/** Runs a daemon until it is told to end. Rejects when the start, the drain or the stop failed: with the first error. */
export async function runDaemon(daemon: Daemon, log: Logger, drainMs: number): Promise<void> {
  steadyHeaps();
  const signals = new SignalQueue();
  await takeEachStep(
    [() => serve(daemon, log, drainMs, signals), () => daemon.stop(), () => signals.close()],
    (error) => logStopFailure(log, error),
  );
  log.info("stopped");
}

/** For what fails while a daemon ends, and is not the first error. */
export function logStopFailure(log: Logger, error: unknown): void {
  log.error({ error, detail: describeError(error) }, "a part of the daemon could not be stopped");
}

async function serve(daemon: Daemon, log: Logger, drainMs: number, signals: SignalQueue): Promise<void> {
  await daemon.start();
  log.info("ready");
  for (let signal = await signals.next(); signal === "SIGHUP"; signal = await signals.next()) {
    await reload(daemon, log);
  }
  log.info({ drainMs }, "draining");
  const timeout = new AbortController();
  try {
    await Promise.race([daemon.drain(), sleep(drainMs, timeout.signal), signals.nextEnding()]);
  } finally {
    timeout.abort();
  }
}

async function reload(daemon: Daemon, log: Logger): Promise<void> {
  try {
    await daemon.reload();
    log.info("reloaded");
  } catch (error) {
    log.error({ error, detail: describeError(error) }, "reload refused, the running configuration stays");
  }
}

function sleep(durationMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, durationMs);
    signal.addEventListener("abort", () => clearTimeout(timer));
  });
}

const HANDLED = ["SIGHUP", "SIGTERM", "SIGINT"] as const;
type Handled = (typeof HANDLED)[number];

/** Signals in the order of their arrival. */
class SignalQueue {
  readonly #arrived: Handled[] = [];
  readonly #handlers = new Map<Handled, () => void>();
  #wake: (() => void) | undefined;
  /** Keeps the process alive: the data plane's threads and sockets alone do not. */
  readonly #keepAlive = setInterval(() => {}, 2 ** 30);

  constructor() {
    for (const signal of HANDLED) {
      const handler = () => {
        this.#arrived.push(signal);
        this.#wake?.();
      };
      this.#handlers.set(signal, handler);
      process.on(signal, handler);
    }
  }

  async next(): Promise<Handled> {
    while (this.#arrived.length === 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#arrived.shift() as Handled;
  }

  async nextEnding(): Promise<void> {
    while ((await this.next()) === "SIGHUP");
  }

  close(): void {
    clearInterval(this.#keepAlive);
    for (const [signal, handler] of this.#handlers) process.off(signal, handler);
  }
}
