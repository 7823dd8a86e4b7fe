/** A path control whose events and commands are also written down, for `hcpe events` and the age of connections. */
import type { PathControl } from "@hybrid-access/core/engine/engine";
import type { PathCommand, PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import type { EventLog } from "./event-log.ts";

export class ObservedPathControl implements PathControl {
  readonly #control: PathControl;
  readonly #events: EventLog;
  readonly #sinceMs = new Map<number, number>();
  #listener: (event: PathEvent) => void = () => {};

  constructor(control: PathControl, events: EventLog) {
    this.#control = control;
    this.#events = events;
  }

  onEvent(listener: (event: PathEvent) => void): void {
    this.#listener = listener;
    this.#control.onEvent((event) => this.#pass(event));
  }

  /** The connection is gone, though the kernel has not said so. */
  closed(token: number): void {
    this.#pass({ type: "connectionClosed", token });
  }

  #pass(event: PathEvent): void {
    this.#note(event);
    this.#listener(event);
  }

  get unknownEvents(): number {
    return this.#control.unknownEvents;
  }

  #note(event: PathEvent): void {
    // Every connection would say so twice: when it is made and when its handshake has ended.
    if (event.type === "connectionCreated") return;
    if (event.type === "connectionEstablished") this.#sinceMs.set(event.token, performance.now());
    if (event.type === "connectionClosed") this.#sinceMs.delete(event.token);
    this.#events.addPath(event);
  }

  execute(command: PathCommand): boolean | Promise<boolean> {
    const answer = this.#control.execute(command);
    whenKnown(answer, (done) => this.#events.addPath(command, done));
    return answer;
  }

  /** Seconds since the connection was established; undefined when that was not heard of. */
  ageSeconds(token: number): number | undefined {
    const sinceMs = this.#sinceMs.get(token);
    return sinceMs === undefined ? undefined : Math.round((performance.now() - sinceMs) / 100) / 10;
  }

  /** A connection that has gone may have done so unheard: notifications can be lost. */
  forgetAllBut(tokens: ReadonlySet<number>): void {
    for (const token of this.#sinceMs.keys()) if (!tokens.has(token)) this.#sinceMs.delete(token);
  }

  close(): void {
    this.#control.close();
  }
}

/** Calls back with what is known at once, or later. */
export function whenKnown(answer: boolean | Promise<boolean>, use: (done: boolean) => void): void {
  if (typeof answer === "boolean") use(answer);
  else void answer.then(use);
}
