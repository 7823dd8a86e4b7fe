/** One path between two hosts: a link in each direction, and the middleboxes behind it, seen from the near end. */
import type { Link } from "../link.ts";
import type { Direction, Middlebox, Passed } from "../middlebox/middlebox.ts";

/** What happens by itself at some time. */
export interface TimedPart {
  readonly nextMs: number | undefined;
  /** Called at {@link nextMs}. */
  fire(nowMs: number): void;
}

/** Who gets what arrives: the far host in direction "forward", the near one in "backward". */
export type Delivery = (nowMs: number, packet: Uint8Array, direction: Direction) => void;

/**
 * ```
 * near host ══ link forward ══▶ box 0 ── box 1 ──▶ far host
 *           ◀═ link backward ══ box 0 ── box 1 ◀──
 * ```
 * What a box sends back goes back through the boxes before it.
 */
export class Path {
  readonly links: Readonly<Record<Direction, Link>>;
  readonly boxes: readonly Middlebox[];
  readonly #deliver: Delivery;

  constructor(links: Readonly<Record<Direction, Link>>, boxes: readonly Middlebox[], deliver: Delivery) {
    this.links = links;
    this.boxes = boxes;
    this.#deliver = deliver;
  }

  /** Takes a packet of the near host (forward) or of the far one, which the path then owns. */
  send(nowMs: number, packet: Uint8Array, direction: Direction): void {
    if (direction === "forward") this.links.forward.enqueue(packet, nowMs);
    else this.#advance(nowMs, packet, direction, this.boxes.length);
  }

  /** `gap` is the number of boxes between the packet and the near end. */
  #advance(nowMs: number, packet: Uint8Array, direction: Direction, gap: number): void {
    const box = this.boxes[direction === "forward" ? gap : gap - 1];
    if (box !== undefined)
      this.#passOn(nowMs, box.onPacket(nowMs, packet, direction), direction === "forward" ? gap : gap - 1);
    else if (direction === "forward") this.#deliver(nowMs, packet, direction);
    else this.links.backward.enqueue(packet, nowMs);
  }

  #passOn(nowMs: number, passed: readonly Passed[], box: number): void {
    for (const { direction, packet } of passed) {
      this.#advance(nowMs, packet, direction, direction === "forward" ? box + 1 : box);
    }
  }

  /** Everything of the path that has a time of its own. */
  timedParts(): readonly TimedPart[] {
    return [
      this.#linkPart("forward"),
      this.#linkPart("backward"),
      ...this.boxes.flatMap((box, index) => (box.pollTimeout === undefined ? [] : [this.#boxPart(box, index)])),
    ];
  }

  #linkPart(direction: Direction): TimedPart {
    const link = this.links[direction];
    return {
      get nextMs() {
        return link.nextDeliveryMs;
      },
      fire: (nowMs) => {
        const packet = link.deliver(nowMs);
        if (packet === undefined) return;
        if (direction === "forward") this.#advance(nowMs, packet, direction, 0);
        else this.#deliver(nowMs, packet, direction);
      },
    };
  }

  #boxPart(box: Middlebox, index: number): TimedPart {
    return {
      get nextMs() {
        return box.pollTimeout?.();
      },
      fire: (nowMs) => this.#passOn(nowMs, box.onTimeout?.(nowMs) ?? [], index),
    };
  }
}
