/**
 * What a conformance check gets: two hosts with an engine each, and a way to let time pass. With the kernel engine the
 * hosts are network namespaces and time is real; a simulated engine may step through virtual time.
 */
import type { Endpoint, Family, IpAddress } from "@hybrid-access/core/base/ip-address";
import {
  type Capabilities,
  type Engine,
  type Leg,
  type PathControl,
  READY,
  WOULD_BLOCK,
} from "@hybrid-access/core/engine/engine";
import { errnoName } from "@hybrid-access/core/platform/errno";
import type { PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";

/** An address of a host, and the interface it stands on. */
export interface HostAddress {
  readonly address: IpAddress;
  readonly interfaceIndex: number;
}

export interface Host {
  readonly engine: Engine;
  /** Addresses that reach the other host over the first path. */
  readonly address: Readonly<Record<Family, IpAddress>>;
  /** Addresses that reach the other host over a second path. */
  readonly second: Readonly<Record<Family, HostAddress>>;
  /** Readiness so far, by tag; {@link Bench.step} adds to it. */
  readonly ready: Map<number, number>;
  readonly paths: PathControl;
  /** Path events so far. */
  readonly pathEvents: PathEvent[];
  /** Runs what opens a leg, where its host is. */
  inside<Result>(action: () => Result): Result;
}

export interface Bench {
  readonly client: Host;
  readonly server: Host;
  /** Lets the engines work for about a millisecond, and collects readiness. */
  step(): Promise<void>;
  /** Where the server's transparent listener takes connections to `foreign`, an address of neither host, from. */
  readonly transparent?: { readonly listen: Endpoint; readonly foreign: Endpoint; readonly foreignSource: IpAddress };
  /** An address that is routed and that nobody answers for. */
  readonly silent: IpAddress;
  /** An address of which a router says that its host is not reachable. */
  readonly unreachable: IpAddress;
  /** From now on SYNs with MP_CAPABLE are lost between the hosts, or no longer. */
  dropMultipathSyns(drop: boolean): Promise<void>;
}

/** One thing every engine must do. */
export interface Check {
  readonly name: string;
  /** Without one of these the check cannot be made. */
  readonly needs?: readonly (keyof Capabilities)[];
  run(bench: Bench): Promise<void>;
}

const MOST_STEPS = 10_000;

/** Steps until `ask` gives something else than undefined or false. */
export async function waitFor<Answer>(
  bench: Bench,
  what: string,
  ask: () => Answer,
): Promise<Exclude<Answer, undefined | false>> {
  for (let step = 0; step < MOST_STEPS; step++) {
    const answer = ask();
    if (answer !== undefined && answer !== false) return answer as Exclude<Answer, undefined | false>;
    await bench.step();
  }
  throw new Error(`${what}: not within ${MOST_STEPS} steps`);
}

let nextTag = 1;

/** A watched leg: what a worker would do with it, one await at a time. */
export class End {
  readonly leg: Leg;
  readonly host: Host;
  readonly #bench: Bench;
  readonly #tag = nextTag++;
  readonly #buffer = new Uint8Array(256 * 1024);
  #ended = false;

  constructor(bench: Bench, host: Host, leg: Leg) {
    if (leg < 0) throw new Error(`no leg: ${errnoName(-leg)}`);
    this.#bench = bench;
    this.host = host;
    this.leg = leg;
    const result = host.engine.watch(leg, this.#tag, true);
    if (result < 0) throw new Error(`watch: ${errnoName(-result)}`);
  }

  /** Waits for one of these bits, and forgets those that have come: they are edges. */
  async ready(bits: number): Promise<number> {
    const { ready } = this.host;
    const come = await waitFor(this.#bench, `readiness ${bits} of leg ${this.leg}`, () => {
      const seen = ready.get(this.#tag) ?? 0;
      return (seen & bits) === 0 ? undefined : seen;
    });
    ready.delete(this.#tag);
    return come;
  }

  forgetReadiness(): void {
    this.host.ready.delete(this.#tag);
  }

  async connected(): Promise<void> {
    await this.ready(READY.write | READY.error | READY.hangUp);
    const error = this.host.engine.takeError(this.leg);
    if (error !== 0) throw new Error(`connect: ${errnoName(error)}`);
  }

  async writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const taken = this.host.engine.write(this.leg, bytes.subarray(at), bytes.length - at);
      if (taken >= 0) at += taken;
      else if (taken === WOULD_BLOCK) await this.ready(READY.write);
      else throw new Error(`write: ${errnoName(-taken)}`);
    }
  }

  /** Reads until `least` bytes are there, the stream has ended, or an error came: then the error's name is the end. */
  async read(least = Number.POSITIVE_INFINITY): Promise<{ bytes: Uint8Array; end: "open" | "end" | string }> {
    const chunks: Uint8Array[] = [];
    for (let length = 0; length < least; ) {
      const count = this.host.engine.read(this.leg, this.#buffer, Math.min(this.#buffer.length, least - length));
      if (count === WOULD_BLOCK) {
        await this.ready(READY.read | READY.error | READY.hangUp | READY.peerClosed);
      } else if (count <= 0) {
        return { bytes: Buffer.concat(chunks), end: count === 0 ? "end" : errnoName(-count) };
      } else {
        chunks.push(this.#buffer.slice(0, count));
        length += count;
      }
    }
    return { bytes: Buffer.concat(chunks), end: "open" };
  }

  shutdownWrite(): void {
    const result = this.host.engine.shutdownWrite(this.leg);
    if (result < 0) throw new Error(`shutdownWrite: ${errnoName(-result)}`);
  }

  close(): void {
    if (!this.#ended) this.host.engine.close(this.leg);
    this.#ended = true;
  }

  reset(): void {
    if (!this.#ended) this.host.engine.reset(this.leg);
    this.#ended = true;
  }
}

export interface ConnectionOptions {
  readonly family?: Family;
  readonly listener?: "mptcp" | "tcp";
  readonly connector?: "mptcp" | "tcp";
  readonly firstBytes?: Uint8Array;
}

let nextPort = 20_000;

/** A port that no other check uses. */
export function freshPort(): number {
  return nextPort++;
}

/** Opens a connection from client to server, hands both ends to `use`, and ends everything afterwards. */
export async function withConnection(
  bench: Bench,
  { family = "ipv4", listener = "mptcp", connector = "mptcp", firstBytes }: ConnectionOptions,
  use: (ends: { client: End; server: End; taken: number; peer: Endpoint }) => Promise<void>,
): Promise<void> {
  const { client, server } = bench;
  const peer: Endpoint = { address: server.address[family], port: freshPort() };
  const listening = new End(
    bench,
    server,
    server.inside(() => server.engine.listen({ endpoint: peer, protocol: listener })),
  );
  const opened: End[] = [listening];
  try {
    const attempt = client.inside(() =>
      client.engine.connect({ peer, protocol: connector, ...(firstBytes !== undefined && { firstBytes }) }),
    );
    const near = new End(bench, client, attempt.leg);
    opened.push(near);
    await near.connected();
    const far = new End(bench, server, await accepted(bench, listening));
    opened.push(far);
    await use({ client: near, server: far, taken: attempt.taken, peer });
  } finally {
    for (const end of opened) end.reset();
  }
}

/** The next connection of a listener. */
export async function accepted(bench: Bench, listening: End): Promise<Leg> {
  return await waitFor(bench, "a connection to accept", () => {
    const leg = listening.host.engine.accept(listening.leg);
    return leg === WOULD_BLOCK ? undefined : leg;
  });
}
