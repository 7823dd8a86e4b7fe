/**
 * A worker for tests of the pool: a front that relays to a fixed peer and can be made to throw. The first byte of a
 * connection says what to do: {@link RELAY} answers with the worker's index and relays; any other one is the index of
 * the worker that shall die of it.
 */

import type { Endpoint } from "@hybrid-access/core/base/ip-address";
import { FAR, NEAR } from "@hybrid-access/core/dataplane/relay";
import { type RelaySetup, runWorker, type WorkerContext, type WorkerFront } from "@hybrid-access/core/dataplane/worker";
import type { EngineName } from "@hybrid-access/core/engine/engines";

export const RELAY = 255;

export interface FaultySetup {
  readonly engine: EngineName;
  readonly relay: RelaySetup;
  readonly listen: Endpoint;
  readonly peer: Endpoint;
  /** Workers that die before they listen. */
  readonly stillborn: readonly number[];
}

class FaultyFront implements WorkerFront {
  readonly #context: WorkerContext;
  readonly #peer: Endpoint;
  readonly #byte = new Uint8Array(1);

  constructor(context: WorkerContext, { peer, stillborn }: FaultySetup) {
    if (stillborn.includes(context.index)) throw new Error("stillborn");
    this.#context = context;
    this.#peer = peer;
  }

  onAccept(): void {}

  onReady(slot: number, side: 0 | 1): void {
    const { engine, relay, index } = this.#context;
    if (side === FAR) {
      relay.preload(slot, FAR, Uint8Array.of(index));
      return relay.start(slot);
    }
    if (relay.leg(slot, FAR) >= 0 || engine.read(relay.leg(slot, NEAR), this.#byte, 1) !== 1) return;
    if (this.#byte[0] === index) throw new Error("told to die");
    if (this.#byte[0] !== RELAY) return relay.abort(slot);
    relay.setFar(slot, engine.connect({ peer: this.#peer, protocol: "tcp" }).leg);
  }

  onMessage(): void {}
  onTimer(): void {}
  onClosed(): void {}
}

runWorker<FaultySetup>(
  (context, setup) => new FaultyFront(context, setup),
  (engine, { listen }) => [engine.listen({ endpoint: listen, protocol: "tcp" })],
);
