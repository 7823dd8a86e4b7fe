/** TUN devices: a network interface whose packets this process reads and writes (one packet a call, no link header). */
import { AVAILABLE, type Capability, unavailable } from "../base/capability.ts";
import { check, ERRNO, errnoName, resultOf } from "./errno.ts";
import { type Address, libc, libcByAddress } from "./libc.ts";
import { hasProcessCapability } from "./process-capability.ts";

const O_RDWR_NONBLOCK_CLOEXEC = 0o2 | 0o4000 | 0o2000000;
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETCARRIER = 0x400454e2;
const IFF_TUN_NO_PI = 0x0001 | 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_MULTI_QUEUE = 0x0100;
/** TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 (linux/if_tun.h). */
const OFFLOADS = 0x01 | 0x02 | 0x04;
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

export const TUN_DEVICE = "/dev/net/tun";

export interface TunOptions {
  /**
   * Every packet has a struct virtio_net_hdr in front (wire/virtio-header.ts): the kernel then takes and gives segments of up to 64 kB, whose
   * checksums need not be there.
   */
  readonly offloads?: boolean;
  /**
   * One of several queues of the interface: each further call with the same name opens another one. The kernel spreads
   * flows over them, and gives what follows of a flow to the queue that has last sent something of it.
   */
  readonly multiQueue?: boolean;
}

/** Opens the device that makes TUN interfaces; returns its descriptor or minus errno. */
export function openTunDevice(): number {
  return resultOf(libc.open(TUN_DEVICE, O_RDWR_NONBLOCK_CLOEXEC));
}

/** Whether this process can make TUN interfaces, found out without making one. */
export function probeTun(): Capability {
  const fd = openTunDevice();
  if (fd === -ERRNO.ENOENT || fd === -ERRNO.ENODEV) {
    return unavailable(`there is no ${TUN_DEVICE}: modprobe tun, or a kernel with CONFIG_TUN`);
  }
  if (fd < 0) return unavailable(`${TUN_DEVICE} may not be opened (${errnoName(-fd)})`);
  libc.close(fd);
  return hasProcessCapability("CAP_NET_ADMIN") ? AVAILABLE : unavailable("a TUN interface needs CAP_NET_ADMIN");
}

/** A TUN interface, or one more queue of it, which lives as long as a descriptor of it is open. */
export interface OpenTun {
  readonly descriptor: number;
  /** Of the interface. */
  readonly name: string;
}

/**
 * Creates the interface `name` in the calling thread's network namespace; in place of a "%d" the kernel puts the first
 * number that is free. Throws a SystemError.
 */
export function openTun(name: string, { offloads = false, multiQueue = false }: TunOptions = {}): OpenTun {
  const fd = check(openTunDevice(), `open ${TUN_DEVICE}`);
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
  const flags = IFF_TUN_NO_PI | (offloads ? IFF_VNET_HDR : 0) | (multiQueue ? IFF_MULTI_QUEUE : 0);
  new DataView(request.buffer).setUint16(IFNAMSIZ, flags, true);
  let result = resultOf(libc.ioctl(fd, TUNSETIFF, request));
  if (result >= 0 && offloads) result = resultOf(libcByAddress.ioctl(fd, TUNSETOFFLOAD, OFFLOADS));
  if (result < 0) libc.close(fd);
  check(result, `make the TUN device ${name}`);
  const given = request.subarray(0, request.indexOf(0));
  return { descriptor: fd, name: new TextDecoder().decode(given) };
}

/** What a cable does: without carrier the kernel sees the interface as NO-CARRIER. */
export function setTunCarrier(fd: number, present: boolean): void {
  check(resultOf(libc.ioctl(fd, TUNSETCARRIER, Int32Array.of(present ? 1 : 0))), "TUNSETCARRIER");
}

/** Reads one packet: its length, or minus errno. */
export function readPacket(fd: number, into: Uint8Array): number {
  return resultOf(libc.read(fd, into, into.length));
}

/** Hands one packet to the kernel: its length, or minus errno. */
export function writePacket(fd: number, packet: Uint8Array): number {
  return resultOf(libc.write(fd, packet, packet.length));
}

/** {@link readPacket} to where a buffer stands in memory. */
export function readPacketAt(fd: number, into: Address, length: number): number {
  return resultOf(libcByAddress.read(fd, into, length));
}

/** {@link writePacket} from where a buffer stands in memory. */
export function writePacketAt(fd: number, from: Address, length: number): number {
  return resultOf(libcByAddress.write(fd, from, length));
}
