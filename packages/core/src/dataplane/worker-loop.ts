/**
 * The loop of one data-plane worker: waits for readiness, hands it to the relay or to the front, runs timers, accepts.
 * It owns its thread: between waits it calls only what does not block.
 */
import type { Engine, Leg } from "../engine/engine.ts";
import { clearEvent, EPOLL, type Poller } from "../platform/epoll.ts";
import { ERRNO, WOULD_BLOCK } from "../platform/errno.ts";
import type { Relay } from "./relay.ts";

/** What differs between the HCPE and the HAG: how a connection gets from its accept to being relayed. */
export interface Front {
  /** A connection was accepted into this slot. */
  onAccept(slot: number): void;
  /** An end of a slot that is not being relayed yet is ready. */
  onReady(slot: number, side: 0 | 1, bits: number): void;
  /** The control plane has said something. */
  onMessage(message: unknown): void;
}

export interface WorkerLoopOptions {
  /** What the engine's legs and the loop's own descriptors are waited for with. */
  readonly poller: Poller;
  readonly relay: Relay;
  readonly front: Front;
  /** The engine that accepts, and its listeners. */
  readonly engine: Engine;
  readonly listeners: readonly Leg[];
  /** Readable when the control plane has left messages. */
  readonly wakeDescriptor: number;
  /** Takes the next message, or undefined. */
  readonly receive: () => unknown;
  readonly onAccepted: () => void;
  /** The clock of the relay's timers and of accepting. */
  readonly nowMs: () => number;
}

const WAKE_TAG = -1;
const FIRST_LISTENER_TAG = -2;
export const ACCEPTS_PER_TURN = 64;
/** How long accepting rests when descriptors or memory ran out: connections wait in the backlog meanwhile. */
export const ACCEPT_PAUSE_MS = 100;

/** The message that ends {@link runWorkerLoop}. */
export const STOP = "stop";

const OUT_OF_RESOURCES: readonly number[] = [-ERRNO.EMFILE, -ERRNO.ENFILE, -ERRNO.ENOBUFS];

/** Listeners of one worker: which have connections waiting, and whether to take them. */
class Acceptor {
  readonly #options: WorkerLoopOptions;
  readonly #waiting = new Set<Leg>();
  #pausedUntilMs = 0;
  closed = false;

  constructor(options: WorkerLoopOptions) {
    this.#options = options;
  }

  ready(listener: Leg): void {
    this.#waiting.add(listener);
  }

  /** Takes what waits, up to a share for each listener. */
  run(nowMs: number): void {
    if (nowMs < this.#pausedUntilMs || this.closed) return;
    for (const listener of this.#waiting) {
      for (let count = 0; count < ACCEPTS_PER_TURN && this.#options.relay.hasRoom; count++) {
        const leg = this.#options.engine.accept(listener);
        if (leg >= 0) this.#take(leg);
        else if (leg === WOULD_BLOCK) this.#waiting.delete(listener);
        else if (OUT_OF_RESOURCES.includes(leg)) this.#pausedUntilMs = nowMs + ACCEPT_PAUSE_MS;
        // Anything else (ECONNABORTED and network errors, accept(2)) concerns one connection, which is gone.
        if (leg < 0 && leg !== -ERRNO.ECONNABORTED) break;
      }
    }
  }

  #take(leg: Leg): void {
    this.#options.onAccepted();
    this.#options.front.onAccept(this.#options.relay.open(leg));
  }

  /** How long the loop may sleep with regard to accepting; undefined for ever. */
  timeoutMs(nowMs: number): number | undefined {
    if (this.#waiting.size === 0 || this.closed || !this.#options.relay.hasRoom) return undefined;
    return Math.max(0, this.#pausedUntilMs - nowMs);
  }
}

/** Runs until the message {@link STOP}, and resets what is open then. */
export function runWorkerLoop(options: WorkerLoopOptions): void {
  const { poller, relay, front, engine, listeners, wakeDescriptor, nowMs } = options;
  const acceptor = new Acceptor(options);
  poller.add(wakeDescriptor, EPOLL.in, WAKE_TAG);
  listeners.forEach((listener, index) => {
    engine.watch(listener, FIRST_LISTENER_TAG - index, false);
  });
  relay.advance(nowMs());
  for (let running = true; running; ) {
    const ready = poller.wait(sleepMs(relay, acceptor));
    relay.advance(nowMs());
    for (let index = 0; index < ready; index++) {
      const tag = poller.tag(index);
      if (tag >= 0) {
        if (!relay.onReady(tag, poller.bits(index))) front.onReady(tag >> 1, (tag & 1) as 0 | 1, poller.bits(index));
      } else if (tag === WAKE_TAG) {
        clearEvent(wakeDescriptor);
        running = handleMessages(options, acceptor);
      } else {
        acceptor.ready(listeners[FIRST_LISTENER_TAG - tag] as Leg);
      }
    }
    relay.runQueued();
    relay.recycle();
    acceptor.run(relay.nowMs);
  }
  relay.abortAll();
}

/**
 * Milliseconds for epoll: 0 when there is work, -1 when nothing is to come. Counted from the beginning of this turn, so
 * that the clock is read once for each: a timer is late by what one turn takes.
 */
function sleepMs(relay: Relay, acceptor: Acceptor): number {
  if (relay.hasWork) return 0;
  const timer = relay.timeoutMs() ?? Number.POSITIVE_INFINITY;
  const accept = acceptor.timeoutMs(relay.nowMs) ?? Number.POSITIVE_INFINITY;
  const next = Math.min(timer, accept);
  return next === Number.POSITIVE_INFINITY ? -1 : next;
}

/** Closing the listeners is the first half of draining; the relay goes on until {@link STOP}. */
export const CLOSE_LISTENERS = "close-listeners";

function handleMessages({ front, engine, listeners, receive }: WorkerLoopOptions, acceptor: Acceptor): boolean {
  for (let message = receive(); message !== undefined; message = receive()) {
    if (message === STOP) return false;
    if (message === CLOSE_LISTENERS) {
      acceptor.closed = true;
      for (const listener of listeners) engine.reset(listener);
    } else {
      front.onMessage(message);
    }
  }
  return true;
}
