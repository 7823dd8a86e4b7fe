/**
 * The relay alone: plain TCP comes in, Multipath TCP goes out to one fixed host, at the port the client asked for. What
 * a hop of the product costs without interception and Convert, in its own worker; comparable with other TCP proxies.
 */
import type { IpAddress } from "@hybrid-access/core/base/ip-address";
import { FAR, NEAR, type Relay, type Side } from "@hybrid-access/core/dataplane/relay";
import {
  runWorker,
  type WorkerContext,
  type WorkerFront,
  type WorkerSetup,
} from "@hybrid-access/core/dataplane/worker";
import { type Engine, READY } from "@hybrid-access/core/engine/engine";

/** What the forwarder's process gives its worker. */
export interface ForwarderSetup extends WorkerSetup {
  readonly listen: readonly { readonly address: IpAddress; readonly port: number }[];
  readonly server: IpAddress;
}

const CONNECT_MS = 10_000;

class Forwarder implements WorkerFront {
  readonly #relay: Relay;
  readonly #engine: Engine;
  readonly #server: IpAddress;

  constructor({ relay, engine }: WorkerContext, { server }: ForwarderSetup) {
    this.#relay = relay;
    this.#engine = engine;
    this.#server = server;
  }

  onAccept(slot: number): void {
    const asked = this.#engine.localEndpoint(this.#relay.leg(slot, NEAR));
    if (asked === undefined) return this.#relay.abort(slot);
    const { leg } = this.#engine.connect({ peer: { address: this.#server, port: asked.port }, protocol: "mptcp" });
    if (leg < 0) return this.#relay.abort(slot);
    this.#relay.setFar(slot, leg);
    this.#relay.setTimer(slot, CONNECT_MS);
  }

  onReady(slot: number, side: Side, bits: number): void {
    if ((bits & READY.error) !== 0) this.#relay.abort(slot);
    else if (side === FAR && (bits & READY.write) !== 0) {
      this.#relay.tellWritable(slot, FAR, false);
      this.#relay.start(slot);
    }
  }

  onTimer(slot: number): void {
    this.#relay.abort(slot);
  }

  onClosed(): void {}

  onMessage(): void {}
}

runWorker<ForwarderSetup>(
  (context, setup) => new Forwarder(context, setup),
  (engine, setup) => setup.listen.map((endpoint) => engine.listen({ endpoint, protocol: "tcp" })),
);
