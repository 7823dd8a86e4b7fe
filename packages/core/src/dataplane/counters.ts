/**
 * What a daemon counts on the data path. Each worker writes its own row of shared memory and nobody else's, so that no
 * lock is needed; the control plane adds the rows up. Doubles: exact up to 2^53.
 */

/** Every counter of the data plane, by the name it is reported under. */
export const COUNTER_NAMES = [
  "connectionsAccepted",
  "connectionsActive",
  "connectionsMultipath",
  "connectionsPlain",
  "fallbackPeerWithoutMptcp",
  "fallbackSynDropped",
  "fallbackUnknown",
  "connectionsDirect",
  "connectionsReset",
  "connectionsTimedOut",
  "connectFailures",
  "gatewayFailures",
  "uplinkFailures",
  "bytesUp",
  "bytesDown",
  "pendingBytes",
  "clientsRefused",
  "clientLimitRefused",
  "destinationsRefused",
  "cookiesRefused",
  "convertForeign",
  "convertErrors",
] as const;

export type CounterName = (typeof COUNTER_NAMES)[number];

const BYTES_PER_ROW = COUNTER_NAMES.length * Float64Array.BYTES_PER_ELEMENT;

/** Shared memory for `workers` rows. */
export function createCounterMemory(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer(BYTES_PER_ROW * workers);
}

/** One worker's row. */
export class Counters {
  readonly #row: Float64Array;

  constructor(memory: SharedArrayBuffer, worker: number) {
    this.#row = new Float64Array(memory, BYTES_PER_ROW * worker, COUNTER_NAMES.length);
  }

  /** Adds `amount`, which may be negative for what goes up and down. */
  add(name: CounterName, amount = 1): void {
    const index = INDEX[name];
    this.#row[index] = (this.#row[index] ?? 0) + amount;
  }
}

const INDEX = Object.fromEntries(COUNTER_NAMES.map((name, index) => [name, index])) as Record<CounterName, number>;

/** The sum over all workers, by name. */
export function sumCounters(memory: SharedArrayBuffer): Record<CounterName, number> {
  const values = new Float64Array(memory);
  const sums = Object.fromEntries(COUNTER_NAMES.map((name) => [name, 0])) as Record<CounterName, number>;
  values.forEach((value, index) => {
    const name = COUNTER_NAMES[index % COUNTER_NAMES.length];
    if (name !== undefined) sums[name] += value;
  });
  return sums;
}
