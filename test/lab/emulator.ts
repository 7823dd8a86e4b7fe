/**
 * The link emulator, a process of its own: holds both ends of each emulated link, TUN devices or packet sockets, and
 * carries packets between them as their Link says. netem would need a kernel module that is not everywhere.
 *
 * Started by emulator-client.ts with Node's IPC channel; ends when the channel closes.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import { SeededRandom } from "@hybrid-access/core/base/random";
import { type Watch, watchReadable } from "@hybrid-access/core/platform/libc";
import { disableOffloads, setInterfaceUp } from "@hybrid-access/core/platform/network-interface";
import { enterNetworkNamespace, inNetworkNamespace } from "@hybrid-access/core/platform/network-namespace";
import { PacketWire } from "@hybrid-access/core/platform/packet-socket";
import { takeError } from "@hybrid-access/core/platform/socket";
import { TimerDescriptor } from "@hybrid-access/core/platform/timer";
import { openTun, readPacket, setTunCarrier, writePacket } from "@hybrid-access/core/platform/tun";
import { Link, type LinkOptions } from "@hybrid-access/core/testing/link";
import { pcapngHeader, pcapngPacket } from "@hybrid-access/core/wire/pcapng";
import {
  type EmulatedEnd,
  type EmulatedLink,
  type EmulatorReply,
  type EmulatorRequest,
  type Place,
  WIRED_HARDWARE_ADDRESS,
} from "./emulator-protocol.ts";

const LARGEST_PACKET = 65_536;
const PACKETS_PER_WAKE = 64;

/** The interface at one end of a link, as the emulator holds it. */
interface Device {
  watch(onReadable: () => void): void;
  read(into: Uint8Array): number;
  write(packet: Uint8Array): number;
  setCarrier(present: boolean): void;
}

function openDevice({ namespacePath, name, wire }: EmulatedEnd): Device {
  if (wire === undefined) {
    enterNetworkNamespace(namespacePath);
    return tunDevice(openTun(name).descriptor);
  }
  inNetworkNamespace(namespacePath, () => disableOffloads(name));
  return inNetworkNamespace(wire.namespacePath, () => new WiredDevice(wire));
}

function tunDevice(fd: number): Device {
  return {
    watch: (onReadable) => watchReadable(fd, onReadable),
    read: (into) => readPacket(fd, into),
    write: (packet) => writePacket(fd, packet),
    setCarrier: (present) => setTunCarrier(fd, present),
  };
}

/** Where TUN is not allowed. An interface has carrier while the other end of its cable is up. */
class WiredDevice implements Device {
  readonly #place: Place;
  readonly #socket: PacketWire;
  #onReadable = () => {};
  #watch: Watch | undefined;

  /** To be made in the wire's namespace. */
  constructor(place: Place) {
    this.#place = place;
    setInterfaceUp(place.name, true);
    this.#socket = new PacketWire(place.name, Uint8Array.from(WIRED_HARDWARE_ADDRESS));
  }

  watch(onReadable: () => void): void {
    this.#onReadable = onReadable;
    this.#watch = watchReadable(this.#socket.fd, onReadable);
  }

  read(into: Uint8Array): number {
    return this.#socket.read(into);
  }

  write(packet: Uint8Array): number {
    return this.#socket.write(packet);
  }

  /** A socket whose interface goes down has an error to tell, and libuv would stop to watch it. */
  setCarrier(present: boolean): void {
    if (!present) this.#watch?.stop();
    inNetworkNamespace(this.#place.namespacePath, () => setInterfaceUp(this.#place.name, present));
    if (!present) return;
    takeError(this.#socket.fd);
    this.#watch?.stop();
    this.watch(this.#onReadable);
  }
}

/** One direction: reads packets from one device, writes them to the other when the link delivers them. */
class Pipe {
  readonly link: Link;
  readonly #to: Device;
  readonly #from: Device;
  readonly #timer = new TimerDescriptor();
  readonly #buffer = new Uint8Array(LARGEST_PACKET);
  readonly #onPacket: (packet: Uint8Array) => void;
  #armedMs = Number.POSITIVE_INFINITY;

  constructor(from: Device, to: Device, options: LinkOptions, seed: number, onPacket: (packet: Uint8Array) => void) {
    this.#from = from;
    this.#to = to;
    this.#onPacket = onPacket;
    this.link = new Link(options, new SeededRandom(seed));
    from.watch(() => this.#readAll());
    watchReadable(this.#timer.fd, () => {
      this.#timer.clear();
      this.#armedMs = Number.POSITIVE_INFINITY;
      this.#deliverAll();
    });
  }

  #readAll(): void {
    const nowMs = performance.now();
    for (let count = 0; count < PACKETS_PER_WAKE; count++) {
      const length = this.#from.read(this.#buffer);
      if (length <= 0) break;
      this.link.enqueue(this.#buffer.slice(0, length), nowMs);
    }
    this.#deliverAll();
  }

  #deliverAll(): void {
    const nowMs = performance.now();
    for (let packet = this.link.deliver(nowMs); packet !== undefined; packet = this.link.deliver(nowMs)) {
      this.#onPacket(packet);
      this.#to.write(packet);
    }
    const nextMs = this.link.nextDeliveryMs;
    if (nextMs !== undefined && nextMs < this.#armedMs) {
      this.#armedMs = nextMs;
      this.#timer.arm(nextMs - nowMs);
    }
  }
}

/** Both directions of a link, its devices, and its capture while one is asked for. */
class Cable {
  readonly forward: Pipe;
  readonly backward: Pipe;
  readonly #devices: readonly [Device, Device];
  #capture: number | undefined;

  constructor({ ends, emulation }: EmulatedLink, seed: number) {
    const devices = ends.map(openDevice) as [Device, Device];
    this.#devices = devices;
    const capture = (packet: Uint8Array) => this.#record(packet);
    this.forward = new Pipe(devices[0], devices[1], emulation.forward, seed, capture);
    this.backward = new Pipe(devices[1], devices[0], emulation.backward, seed + 1, capture);
  }

  #record(packet: Uint8Array): void {
    if (this.#capture !== undefined) writeSync(this.#capture, pcapngPacket(packet, { timeMs: Date.now() }));
  }

  capture(path: string | null): void {
    if (this.#capture !== undefined) closeSync(this.#capture);
    this.#capture = path === null ? undefined : openSync(path, "w");
    if (this.#capture !== undefined) writeSync(this.#capture, pcapngHeader());
  }

  carrier(present: boolean): void {
    for (const device of this.#devices) device.setCarrier(present);
  }
}

const cables = new Map<string, Cable>();

function cable(name: string): Cable {
  const found = cables.get(name);
  if (found === undefined) throw new RangeError(`no emulated link is called ${name}`);
  return found;
}

function handle(request: EmulatorRequest): EmulatorReply["result"] {
  switch (request.action) {
    case "open":
      request.links.forEach((link, index) => {
        cables.set(link.name, new Cable(link, request.seed + 2 * index));
      });
      return null;
    case "configure":
      cable(request.link)[request.direction].link.configure(request.options);
      return null;
    case "carrier":
      cable(request.link).carrier(request.present);
      return null;
    case "capture":
      cable(request.link).capture(request.path);
      return null;
    case "counters":
      return Object.fromEntries(
        Array.from(cables, ([name, { forward, backward }]) => [
          name,
          { forward: forward.link.counters, backward: backward.link.counters },
        ]),
      );
  }
}

process.on("message", (request: EmulatorRequest) => {
  try {
    process.send?.({ id: request.id, result: handle(request) } satisfies EmulatorReply);
  } catch (error) {
    process.send?.({ id: request.id, result: null, error: String(error) } satisfies EmulatorReply);
  }
});
process.on("disconnect", () => process.exit(0));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => {});
