/**
 * Which thread opened which descriptor. Descriptors belong to the process: those of a thread that dies stay open, with
 * peers that wait for ever, unless another thread knows them. One byte of shared memory for each descriptor of the
 * process; a byte is written only by the thread that has the descriptor, so no lock is needed.
 */
import { descriptorLimit } from "./descriptor-limit.ts";
import { libc } from "./libc.ts";

const NOBODY = 0;
/** More than all connections of all workers can have; a limit may be "infinite". */
const MOST_DESCRIPTORS = 1 << 24;

export class DescriptorLedger {
  readonly #owners: Uint8Array;
  readonly #mark: number;

  /** `owner` is the number of a worker, up to 254. */
  constructor(memory: SharedArrayBuffer, owner: number) {
    this.#owners = new Uint8Array(memory);
    this.#mark = owner + 1;
  }

  /** Memory for every descriptor that the present limit allows. */
  static createMemory(): SharedArrayBuffer {
    return new SharedArrayBuffer(Math.min(descriptorLimit(), MOST_DESCRIPTORS));
  }

  /** The owner has opened `fd`; minus errno is no descriptor, and ignored. */
  note(fd: number): void {
    if (fd >= 0) this.#owners[fd] = this.#mark;
  }

  /** The owner is about to close `fd`. Not afterwards: then the number may be another thread's. */
  forget(fd: number): void {
    this.#owners[fd] = NOBODY;
  }

  /** Closes all that the owner has open, and gives how many. Only once its thread has ended. */
  closeAll(): number {
    let closed = 0;
    for (let fd = this.#owners.indexOf(this.#mark); fd >= 0; fd = this.#owners.indexOf(this.#mark, fd + 1)) {
      this.forget(fd);
      libc.close(fd);
      closed += 1;
    }
    return closed;
  }
}
