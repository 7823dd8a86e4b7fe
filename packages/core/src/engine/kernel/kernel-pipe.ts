/** A pipe between two sockets of the kernel. */
import type { DescriptorLedger } from "../../platform/descriptor-ledger.ts";
import { openPipe, type PipeEnds, splice } from "../../platform/pipe.ts";
import { closeDescriptor } from "../../platform/socket.ts";
import type { Leg, Pipe } from "../engine.ts";

export class KernelPipe implements Pipe {
  readonly #ends: PipeEnds;
  readonly #ledger: DescriptorLedger | undefined;

  private constructor(ends: PipeEnds, ledger: DescriptorLedger | undefined) {
    this.#ends = ends;
    this.#ledger = ledger;
    ledger?.note(ends.readEnd);
    ledger?.note(ends.writeEnd);
  }

  static open(bytes: number, ledger: DescriptorLedger | undefined): KernelPipe | undefined {
    const ends = openPipe(bytes);
    return ends === undefined ? undefined : new KernelPipe(ends, ledger);
  }

  fill(leg: Leg, length: number): number {
    return splice(leg, this.#ends.writeEnd, length);
  }

  drain(leg: Leg, length: number): number {
    return splice(this.#ends.readEnd, leg, length);
  }

  close(): void {
    for (const fd of [this.#ends.readEnd, this.#ends.writeEnd]) {
      this.#ledger?.forget(fd);
      closeDescriptor(fd);
    }
  }
}
