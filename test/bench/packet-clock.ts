/**
 * When packets come to a node and leave it, by the kernel's own timestamps: how long the process that measures has to wait
 * for its turn does not matter.
 */
import { readUint16 } from "@hybrid-access/core/base/bytes";
import { check, resultOf } from "@hybrid-access/core/platform/errno";
import { libc } from "@hybrid-access/core/platform/libc";
import type { Lab } from "../lab/lab.ts";

const AF_PACKET = 17;
const SOCK_DGRAM = 2;
/** In network order: everything, also what is sent. */
const ETH_P_ALL = 0x0300;
const SIOCGSTAMPNS = 0x8907;
const MSG_DONTWAIT = 0x40;
const IP_BYTES = 20;
const DSCP_SHIFT = 2;
/** What a director has steered (packages/hag/src/farm/host-rules.ts). */
const STEERED_DSCP = 59;

/** Milliseconds, or undefined for what did not come, or did not leave. */
interface Passage {
  inMs?: number;
  outMs?: number;
}

export class PacketClock {
  readonly #fd: number;
  readonly #buffer = new Uint8Array(256);
  readonly #stamp = new Uint8Array(16);

  /** Watches the director `node`. */
  constructor(lab: Lab, node: string) {
    this.#fd = lab.inside(node, () =>
      check(resultOf(libc.socket(AF_PACKET, SOCK_DGRAM, ETH_P_ALL)), "packet socket of the clock"),
    );
    // The first question switches timestamps on; there is no packet yet that it could tell of.
    libc.ioctl(this.#fd, SIOCGSTAMPNS, this.#stamp);
  }

  /** Adds what IPv4 packets have passed since the last time to `passages`, by their source port. */
  read(passages: Map<number, Passage>): void {
    for (;;) {
      const length = libc.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT);
      if (length < 0) return;
      if (length < IP_BYTES + 2 || this.#buffer[0] !== 0x45) continue;
      const sourcePort = readUint16(this.#buffer, IP_BYTES);
      const passage = passages.get(sourcePort) ?? {};
      if ((this.#buffer[1] ?? 0) >> DSCP_SHIFT === STEERED_DSCP) passage.outMs ??= this.#stampMs();
      else passage.inMs ??= this.#stampMs();
      passages.set(sourcePort, passage);
    }
  }

  /** struct timespec of the packet that was read last. */
  #stampMs(): number {
    check(resultOf(libc.ioctl(this.#fd, SIOCGSTAMPNS, this.#stamp)), "timestamp of a packet");
    const view = new DataView(this.#stamp.buffer);
    return Number(view.getBigInt64(0, true)) * 1000 + Number(view.getBigInt64(8, true)) / 1e6;
  }

  close(): void {
    libc.close(this.#fd);
  }
}
