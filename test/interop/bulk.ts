/** Gigabytes between the userspace engine and Linux, every byte compared, over two subflows. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { WOULD_BLOCK } from "@hybrid-access/core/engine/engine";
import { errnoName } from "@hybrid-access/core/platform/errno";
import type { End } from "../conformance/bench.ts";
import { type HostKind, LabBench } from "../conformance/lab-bench.ts";
import { pattern } from "../lab/stream.ts";
import { FAMILIES, type Setting } from "./matrix.ts";
import { type Ends, withTwoSubflows } from "./steps.ts";

/** A userspace host has devices with offloads here. */
export const BULK_PAIRINGS: readonly { name: string; client: HostKind; server: HostKind }[] = [
  { name: "a userspace client and a Linux server", client: "offloading", server: "kernel" },
  { name: "a Linux client and a userspace server", client: "kernel", server: "offloading" },
];

/** The period of what is sent: no multiple of any segment or buffer, so that bytes which are moved show. */
const PERIOD_BYTES = 1_000_003;
const CHUNK_BYTES = 256 * 1024;
/** Room for timers and signals of the process. */
const ROUNDS_PER_TURN = 64;
const SENT = pattern(PERIOD_BYTES + CHUNK_BYTES, 12);
SENT.copy(SENT, PERIOD_BYTES, 0, CHUNK_BYTES);

export interface BulkResult {
  readonly name: string;
  readonly upSeconds: number;
  readonly downSeconds: number;
}

/** So many bytes each way, for each pairing and family. Throws when one of them is not as it was sent. */
export async function carryBulk(bytes: number, told: (result: BulkResult) => void): Promise<void> {
  for (const { name, client, server } of BULK_PAIRINGS) {
    const bench = await LabBench.up(client, server);
    try {
      for (const family of FAMILIES) {
        await withTwoSubflows({ bench, family }, async (ends) => {
          const [upSeconds, downSeconds] = await carryBothWays({ bench, family }, ends, bytes);
          told({ name: `${name}, ${family}`, upSeconds, downSeconds });
        });
      }
    } finally {
      await bench.down();
    }
  }
}

/** Gives the seconds that it took from the client to the server, and back. */
export async function carryBothWays(
  { bench }: Setting,
  ends: Ends,
  bytes: number,
): Promise<[up: number, down: number]> {
  return [await carry(bench, ends.client, ends.server, bytes), await carry(bench, ends.server, ends.client, bytes)];
}

async function carry(bench: LabBench, from: End, to: End, bytes: number): Promise<number> {
  const startMs = performance.now();
  const into = Buffer.allocUnsafe(CHUNK_BYTES);
  let written = 0;
  let read = 0;
  for (let round = 0; read < bytes; round++) {
    written += write(from, written, bytes);
    read += readAndCompare(to, read, into);
    bench.client.collect(0);
    bench.server.collect(0);
    if (round % ROUNDS_PER_TURN === 0) await nextTurn();
  }
  return (performance.now() - startMs) / 1000;
}

function write({ host, leg }: End, at: number, bytes: number): number {
  if (at === bytes) return 0;
  const place = at % PERIOD_BYTES;
  const length = Math.min(CHUNK_BYTES, bytes - at);
  return moved(host.engine.write(leg, SENT.subarray(place, place + length), length));
}

function readAndCompare({ host, leg }: End, at: number, into: Buffer): number {
  const count = moved(host.engine.read(leg, into, into.length));
  const place = at % PERIOD_BYTES;
  if (into.compare(SENT, place, place + count, 0, count) !== 0) throw new Error(`wrong bytes behind ${at}`);
  return count;
}

function moved(count: number): number {
  if (count === WOULD_BLOCK) return 0;
  if (count < 0) throw new Error(errnoName(-count));
  return count;
}
