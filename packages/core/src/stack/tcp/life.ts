/** Where a connection is in its life, and what it has to tell of it. */
import type { CloseReason, TcpEvent } from "./events.ts";
import { type StateEvent, type TcpState, transition } from "./state.ts";

/** A reset to be sent. */
export interface PendingReset {
  readonly sequence: number;
  /** Our position, where the reset acknowledges too: that of an established connection does. */
  readonly position?: number;
}

export class Life {
  #state: TcpState = "closed";
  /** Undefined while there are none. */
  #events: TcpEvent[] | undefined;
  /** Why it is over, or undefined while it is not. */
  closeReason: CloseReason | undefined;
  pendingReset: PendingReset | undefined;
  /** The application writes no more. */
  closeWanted = false;
  /** The application neither reads nor writes any more. */
  isOrphan = false;

  get state(): TcpState {
    return this.#state;
  }

  /** Our SYN was sent, and not answered. */
  get isOpening(): boolean {
    return this.#state === "synSent" || this.#state === "synReceived";
  }

  change(event: StateEvent): void {
    this.#state = transition(this.#state, event);
  }

  /** Each event waits once at most. */
  tell(event: TcpEvent): void {
    if (this.#events === undefined) this.#events = [event];
    else if (!this.#events.includes(event)) this.#events.push(event);
  }

  pollEvent(): TcpEvent | undefined {
    const event = this.#events?.shift();
    if (this.#events?.length === 0) this.#events = undefined;
    return event;
  }
}
