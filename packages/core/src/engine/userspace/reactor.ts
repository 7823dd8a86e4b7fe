/** Lets a worker's loop wait for the legs of a userspace engine as it waits for sockets: through one epoll, which the engine's packets share. */
import type { Epoll, Poller } from "../../platform/epoll.ts";
import { check } from "../../platform/errno.ts";
import type { PacketDriver } from "./packet-driver.ts";
import type { UserspaceEngine } from "./userspace-engine.ts";

/** Uplinks have tags below this one: far from those that a loop gives. */
const LAST_UPLINK_TAG = -0x4000_0000;

export class UserspaceReactor implements Poller {
  readonly #epoll: Epoll;
  readonly #driver: PacketDriver;
  readonly #engine: UserspaceEngine;
  readonly #tags: number[] = [];
  readonly #bits: number[] = [];
  /** Called before every sleep, when all is said and done. */
  beforeSleep: () => void = () => {};

  /** Throws a SystemError where an uplink cannot be watched. */
  constructor(epoll: Epoll, driver: PacketDriver, engine: UserspaceEngine) {
    this.#epoll = epoll;
    this.#driver = driver;
    this.#engine = engine;
    for (const [index, uplink] of driver.uplinks.entries()) {
      check(uplink.watch(epoll, LAST_UPLINK_TAG - index), `watch ${uplink.name}`);
    }
  }

  add(fd: number, events: number, tag: number): number {
    return this.#epoll.add(fd, events, tag);
  }

  /** As {@link Epoll.wait}; sends first what the loop's last turn has left to be sent. */
  wait(timeoutMs: number): number {
    this.advance(performance.now());
    this.beforeSleep();
    const count = this.#epoll.wait(this.#sleepMs(timeoutMs));
    const nowMs = performance.now();
    this.#tags.length = 0;
    this.#bits.length = 0;
    for (let index = 0; index < count; index++) {
      const tag = this.#epoll.tag(index);
      const uplink = this.#driver.uplinks[LAST_UPLINK_TAG - tag];
      if (uplink === undefined) this.#note(tag, this.#epoll.bits(index));
      else this.#driver.receive(uplink, nowMs);
    }
    this.advance(nowMs);
    this.#engine.takeReady((tag, bits) => this.#note(tag, bits));
    return this.#tags.length;
  }

  /** Does what is due, sends what there is to send, and finds out what has become of the legs. */
  advance(nowMs: number): void {
    this.#driver.advance(nowMs);
    this.#engine.update();
  }

  #note(tag: number, bits: number): void {
    this.#tags.push(tag);
    this.#bits.push(bits);
  }

  /** epoll_wait counts whole milliseconds: a timer is up to one late, never early. */
  #sleepMs(timeoutMs: number): number {
    if (this.#engine.hasReady) return 0;
    const own = this.#driver.timeoutMs(performance.now());
    if (own === undefined) return timeoutMs;
    const sleep = Math.ceil(own);
    return timeoutMs < 0 ? sleep : Math.min(timeoutMs, sleep);
  }

  tag(index: number): number {
    return this.#tags[index] ?? 0;
  }

  bits(index: number): number {
    return this.#bits[index] ?? 0;
  }
}
