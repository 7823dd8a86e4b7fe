/** Settings of network interfaces by ioctl(2), in the calling thread's network namespace. */
import { check, resultOf } from "./errno.ts";
import { addressOf, libc } from "./libc.ts";
import { closeDescriptor, IPPROTO_TCP, openStreamSocket } from "./socket.ts";
import { AF_INET } from "./socket-address.ts";

const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCSIFTXQLEN = 0x8943;
const SIOCETHTOOL = 0x8946;
const IFF_UP = 1;
const IFREQ_BYTES = 40;
const IFNAMSIZ = 16;

/** ethtool commands that switch what a card does for the kernel: checksums, scatter-gather, TSO, GSO, GRO. */
const SET_OFFLOADS = [0x17, 0x19, 0x1f, 0x24, 0x2c];

/** struct ifreq with the interface's name; its union begins at byte 16. */
function interfaceRequest(name: string): DataView {
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
  return new DataView(request.buffer);
}

function control(request: number, argument: DataView, action: string): void {
  const fd = check(openStreamSocket(AF_INET, IPPROTO_TCP), "socket");
  const result = resultOf(libc.ioctl(fd, request, argument));
  closeDescriptor(fd);
  check(result, action);
}

/** Switches an interface up or down. Throws a SystemError. */
export function setInterfaceUp(name: string, up: boolean): void {
  const request = interfaceRequest(name);
  control(SIOCGIFFLAGS, request, `flags of ${name}`);
  const flags = request.getInt16(IFNAMSIZ, true);
  request.setInt16(IFNAMSIZ, up ? flags | IFF_UP : flags & ~IFF_UP, true);
  control(SIOCSIFFLAGS, request, `set ${name} ${up ? "up" : "down"}`);
}

/** How many packets may wait in an interface's transmit queue. Throws a SystemError. */
export function setTransmitQueue(name: string, packets: number): void {
  const request = interfaceRequest(name);
  request.setInt32(IFNAMSIZ, packets, true);
  control(SIOCSIFTXQLEN, request, `transmit queue of ${name}`);
}

/** struct ethtool_value: command, data. Of the module, so that it outlives every call that holds its address. */
const offloadSetting = new Uint32Array(2);

/** Packets leave the interface as they would be on a wire: whole checksums, no longer than the MTU. */
export function disableOffloads(name: string): void {
  for (const command of SET_OFFLOADS) {
    offloadSetting[0] = command;
    const request = interfaceRequest(name);
    request.setBigUint64(IFNAMSIZ, addressOf(offloadSetting), true);
    control(SIOCETHTOOL, request, `offloads of ${name}`);
  }
}
