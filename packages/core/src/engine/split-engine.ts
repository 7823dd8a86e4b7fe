/**
 * Two engines side by side: Multipath TCP by one that has it in user space, plain TCP by the kernel. The legs of both
 * are numbers of one range ({@link FIRST_LEG}), so that a relay does not see which is whose.
 */
import type { Endpoint } from "../base/ip-address.ts";
import type { TcpOption } from "../wire/tcp-options.ts";
import type {
  Capabilities,
  ConnectionInfo,
  ConnectOptions,
  ConnectResult,
  Engine,
  Leg,
  ListenOptions,
} from "./engine.ts";
import { FIRST_LEG } from "./userspace/legs.ts";

export class SplitEngine implements Engine {
  readonly name: Engine["name"];
  readonly capabilities: Capabilities;
  readonly #multipath: Engine;
  readonly #plain: Engine;

  /** Legs of `multipath` are numbers from {@link FIRST_LEG}; those of `plain` are descriptors. */
  constructor(multipath: Engine, plain: Engine) {
    this.name = multipath.name;
    this.capabilities = { ...multipath.capabilities, transparent: plain.capabilities.transparent };
    this.#multipath = multipath;
    this.#plain = plain;
  }

  #of(leg: Leg): Engine {
    return leg >= FIRST_LEG ? this.#multipath : this.#plain;
  }

  #for(protocol: ListenOptions["protocol"]): Engine {
    return protocol === "mptcp" ? this.#multipath : this.#plain;
  }

  listen(options: ListenOptions): Leg {
    return this.#for(options.protocol).listen(options);
  }

  accept(listener: Leg): Leg {
    return this.#of(listener).accept(listener);
  }

  connect(options: ConnectOptions): ConnectResult {
    return this.#for(options.protocol).connect(options);
  }

  watch(leg: Leg, tag: number, writes: boolean): number {
    return this.#of(leg).watch(leg, tag, writes);
  }

  changeWatch(leg: Leg, tag: number, writes: boolean): number {
    return this.#of(leg).changeWatch(leg, tag, writes);
  }

  read(leg: Leg, into: Uint8Array, length: number): number {
    return this.#of(leg).read(leg, into, length);
  }

  peek(leg: Leg, into: Uint8Array, length: number): number {
    return this.#of(leg).peek(leg, into, length);
  }

  discard(leg: Leg, length: number): number {
    return this.#of(leg).discard(leg, length);
  }

  write(leg: Leg, from: Uint8Array, length: number, more?: boolean): number {
    return this.#of(leg).write(leg, from, length, more);
  }

  shutdownWrite(leg: Leg): number {
    return this.#of(leg).shutdownWrite(leg);
  }

  reset(leg: Leg): void {
    this.#of(leg).reset(leg);
  }

  close(leg: Leg): void {
    this.#of(leg).close(leg);
  }

  takeError(leg: Leg): number {
    return this.#of(leg).takeError(leg);
  }

  isEstablished(leg: Leg): boolean {
    return this.#of(leg).isEstablished(leg);
  }

  isMultipath(leg: Leg): boolean {
    return this.#of(leg).isMultipath(leg);
  }

  synDscp(leg: Leg): number | undefined {
    return this.#of(leg).synDscp(leg);
  }

  localEndpoint(leg: Leg): Endpoint | undefined {
    return this.#of(leg).localEndpoint(leg);
  }

  remoteEndpoint(leg: Leg): Endpoint | undefined {
    return this.#of(leg).remoteEndpoint(leg);
  }

  info(leg: Leg): ConnectionInfo {
    return this.#of(leg).info(leg);
  }

  tcpOptions(leg: Leg): TcpOption[] {
    return this.#of(leg).tcpOptions(leg);
  }
}
