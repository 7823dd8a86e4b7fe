/**
 * REMOVE_ADDR (RFC 8684 section 3.4.2) is an option on one segment: nobody acknowledges it, and where it is lost the peer
 * keeps a subflow that leads nowhere (RFC 8041 section 2.2). So it is said again, a few times. Linux says it once for an
 * identifier it knows; announcing the address makes it known again, whether or not this host still has it.
 *
 * Identifier 0 is the exception: the address of the initial subflow cannot be announced under it.
 */
import type { IpAddress } from "../../base/ip-address.ts";
import { MinHeap } from "../../base/min-heap.ts";
import type { PathCommand, PathDecision, PathEvent, UplinkAddress } from "./path-manager.ts";

/** When it is said again, after the time before. */
const PAUSES_MS = [500, 1000, 2000] as const;
/** Removals that are still to be repeated; further ones are said once. */
const MOST_PENDING = 4096;
/** An uplink that goes takes a subflow of every connection with it: so many of them are repeated in one turn. */
const MOST_IN_A_TURN = 50;
const TURN_MS = 100;

interface Removal {
  readonly token: number;
  readonly localId: number;
  readonly address: IpAddress;
  /** How often it was repeated. */
  repeats: number;
}

export class RemovalRepeats {
  readonly #pending = new Map<string, Removal>();
  readonly #due = new MinHeap<Removal>();
  /** The last address of every identifier. */
  readonly #addresses = new Map<number, IpAddress>();
  #nextTurnMs = 0;

  get pending(): number {
    return this.#pending.size;
  }

  /** These addresses are usable now: nothing is removed that is there again. */
  onUplinks(addresses: readonly UplinkAddress[]): void {
    const present = new Set(addresses.map(({ localId }) => localId));
    for (const { localId, address } of addresses) this.#addresses.set(localId, address);
    for (const [key, { localId }] of this.#pending) if (present.has(localId)) this.#pending.delete(key);
  }

  /** The engine carries this out. */
  onCommand(command: PathCommand, nowMs: number): void {
    if (command.type === "createSubflow") this.#pending.delete(keyOf(command));
    if (command.type !== "remove") return;
    const { token, localId } = command;
    const address = this.#addresses.get(localId);
    if (address === undefined || localId === 0 || this.#pending.size >= MOST_PENDING) return;
    if (this.#pending.has(keyOf(command))) return;
    const removal = { token, localId, address, repeats: 0 };
    this.#pending.set(keyOf(removal), removal);
    this.#due.push(nowMs + PAUSES_MS[0], removal);
  }

  onEvent(event: PathEvent): void {
    if (event.type !== "connectionClosed") return;
    for (const [key, { token }] of this.#pending) if (token === event.token) this.#pending.delete(key);
  }

  /** When {@link onTimer} has something to do, or undefined. */
  get nextTimerMs(): number | undefined {
    while (this.#due.next !== undefined && !this.#isPending(this.#due.next)) this.#due.pop();
    const dueMs = this.#due.nextKey;
    return dueMs === undefined ? undefined : Math.max(dueMs, this.#nextTurnMs);
  }

  /** What is to be said again now. These commands are not to be given to {@link onCommand}. */
  onTimer(nowMs: number): PathDecision[] {
    const commands: PathDecision[] = [];
    for (let left = MOST_IN_A_TURN; left > 0 && (this.nextTimerMs ?? Number.POSITIVE_INFINITY) <= nowMs; left--) {
      const removal = this.#due.pop();
      if (removal !== undefined) commands.push(...this.#repeat(removal, nowMs));
    }
    if (commands.length > 0) this.#nextTurnMs = nowMs + TURN_MS;
    return commands;
  }

  #repeat(removal: Removal, nowMs: number): PathDecision[] {
    const { token, localId, address } = removal;
    removal.repeats += 1;
    const pauseMs = PAUSES_MS[removal.repeats];
    if (pauseMs === undefined) this.#pending.delete(keyOf(removal));
    else this.#due.push(nowMs + pauseMs, removal);
    return [
      { type: "announce", token, localId, local: { address, port: 0 }, reason: "again" },
      { type: "remove", token, localId, reason: "again" },
    ];
  }

  #isPending(removal: Removal): boolean {
    return this.#pending.get(keyOf(removal)) === removal;
  }
}

function keyOf({ token, localId }: { readonly token: number; readonly localId: number }): string {
  return `${token} ${localId}`;
}
