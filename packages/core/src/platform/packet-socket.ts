/** Packet sockets (packet(7)): whole IP packets of an interface, received and sent without its link header. */
import { check, ERRNO, resultOf } from "./errno.ts";
import { libc } from "./libc.ts";
import { closeDescriptor, setReceiveBuffer } from "./socket.ts";

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4000 | 0o2000000;
const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;
const MSG_DONTWAIT = 0x40;

const ETH_P_ALL = 0x0003;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;

/** Bursts wait here for their reader; a full one loses packets. */
const RECEIVE_BYTES = 8 * 1024 * 1024;

/** Opens a packet socket that is bound to no protocol, so that it receives nothing. Returns it or minus errno. */
export function openPacketSocket(): number {
  return resultOf(libc.socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0));
}

/** struct sockaddr_ll: family(2), protocol(2, network order), interface(4), hardware type(2), kind(1), length(1), address(8). */
function linkAddress(protocol: number, interfaceIndex: number, hardwareAddress: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol);
  view.setInt32(4, interfaceIndex, true);
  bytes[11] = hardwareAddress.length;
  bytes.set(hardwareAddress, 12);
  return bytes;
}

/** One interface of the calling thread's network namespace, as a wire. */
export class PacketWire {
  readonly fd: number;
  readonly #to: Readonly<Record<4 | 6, Uint8Array>>;

  /** What is sent goes to `hardwareAddress`, the one at the other end. Throws a SystemError. */
  constructor(interfaceName: string, hardwareAddress: Uint8Array) {
    const index = libc.if_nametoindex(interfaceName);
    if (index === 0) check(-ERRNO.ENODEV, `packet socket on ${interfaceName}`);
    this.#to = {
      4: linkAddress(ETH_P_IP, index, hardwareAddress),
      6: linkAddress(ETH_P_IPV6, index, hardwareAddress),
    };
    this.fd = check(resultOf(libc.socket(AF_PACKET, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0)), "packet socket");
    try {
      const yes = Uint32Array.of(1);
      check(resultOf(libc.setsockopt(this.fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, yes, 4)), "PACKET_IGNORE_OUTGOING");
      setReceiveBuffer(this.fd, RECEIVE_BYTES);
      const own = linkAddress(ETH_P_ALL, index, new Uint8Array());
      check(resultOf(libc.bind(this.fd, own, own.length)), `packet socket on ${interfaceName}`);
    } catch (error) {
      closeDescriptor(this.fd);
      throw error;
    }
  }

  /** Reads one packet: its length, or minus errno. */
  read(into: Uint8Array): number {
    return resultOf(libc.recv(this.fd, into, into.length, MSG_DONTWAIT));
  }

  /** Sends one IP packet: its length, or minus errno; anything else is EINVAL. */
  write(packet: Uint8Array): number {
    const version = (packet[0] ?? 0) >> 4;
    if (version !== 4 && version !== 6) return -ERRNO.EINVAL;
    const to = this.#to[version];
    return resultOf(libc.sendto(this.fd, packet, packet.length, MSG_DONTWAIT, to, to.length));
  }
}
