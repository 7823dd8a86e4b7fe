import { concatBytes } from "@hybrid-access/core/base/bytes";
import { type Endpoint, formatIpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { Counters, createCounterMemory } from "@hybrid-access/core/dataplane/counters";
import { NEAR, Relay } from "@hybrid-access/core/dataplane/relay";
import type { ConnectOptions, ConnectResult, Leg } from "@hybrid-access/core/engine/engine";
import { MAX_MESSAGE_BYTES } from "@hybrid-access/core/wire/convert/codes";
import { emitConvertMessage, parseConvertMessage } from "@hybrid-access/core/wire/convert/message";
import { Carrier } from "@hybrid-access/hcpe/carrier";
import type { CarrierSetup } from "@hybrid-access/hcpe/carrier-setup";
import type { UplinkSource } from "@hybrid-access/hcpe/uplink-choice";
import { expect } from "chai";
import { MemoryEngine } from "../../support/memory-engine.ts";

const SERVER: Endpoint = { address: ipAddress("192.0.2.80"), port: 80 };
const GATEWAY: Endpoint = { address: ipAddress("203.0.113.1"), port: 5124 };
const EARLY_BYTES = 14_600;
const BUFFER_BYTES = 65_536;

class HomeEngine extends MemoryEngine {
  /** Bytes that each read has asked for, of the far leg. */
  readonly farReads: number[] = [];
  far: Leg = -1;
  /** Where each attempt has left from. */
  readonly sources: (string | undefined)[] = [];
  /** Whether handshakes are answered. */
  answers = true;

  override connect({ source }: ConnectOptions): ConnectResult {
    this.sources.push(source && formatIpAddress(source.address));
    this.far = this.create(this.answers ? 1_000_000 : 0);
    return { leg: this.far, taken: 0 };
  }

  override localEndpoint(leg: Leg): Endpoint {
    return leg === this.far ? { address: ipAddress("10.1.1.2"), port: 40_000 } : SERVER;
  }

  override read(leg: Leg, into: Uint8Array, length: number): number {
    if (leg === this.far) this.farReads.push(length);
    return super.read(leg, into, length);
  }
}

/** A carrier with one gateway, and a client that it has accepted. */
class Bench {
  readonly engine = new HomeEngine();
  readonly client: Leg;
  readonly #relay: Relay;
  readonly #carrier: Carrier;

  constructor({ answers = true, uplinks = [] as UplinkSource[] } = {}) {
    this.engine.answers = answers;
    const counters = new Counters(createCounterMemory(1), 0);
    const bounds = { bufferBytes: BUFFER_BYTES, pendingLimitBytes: 1 << 20, idleMs: 1e6, halfClosedMs: 1e6 };
    this.#relay = new Relay({
      ...bounds,
      engines: [this.engine, this.engine],
      capacity: 1,
      counters,
      onClosed: (slot) => this.#carrier.onClosed(slot),
      onTimer: (slot) => this.#carrier.onTimer(slot),
    });
    const words = (count: number) => new SharedArrayBuffer(4 * count);
    const setup: CarrierSetup = {
      engine: "kernel",
      relay: { ...bounds, maxConnections: 1 },
      listen: [{ address: ipAddress("10.0.0.1"), port: 5 }],
      gateways: [GATEWAY],
      gatewayStates: words(1),
      uplinkStates: words(2 * 2),
      uplinks,
      gatewayMs: 900,
      replyMs: 60_000,
      reportFlows: false,
      reportChoices: false,
      mostSubflows: 8,
    };
    const context = { engine: this.engine, relay: this.#relay, counters, index: 0, report: () => {} };
    this.#carrier = new Carrier(context, setup);
    this.client = this.engine.create(1_000_000);
    this.#carrier.onAccept(this.#relay.open(this.client));
    this.settle();
  }

  followUplinks(uplinks: readonly UplinkSource[]): void {
    this.#carrier.onMessage({ type: "uplinks", uplinks });
  }

  /** Whether the connection is relayed. */
  settle(): void {
    for (let any = true; any; ) {
      any = this.engine.deliver((end, bits) => {
        if (!this.#relay.onReady(end, bits)) this.#carrier.onReady(end >> 1, (end & 1) as 0 | 1, bits);
      });
      any ||= this.#relay.hasWork;
      this.#relay.runQueued();
    }
  }

  /** What the gateway has received behind the Convert message. */
  get carried(): number {
    const bytes = Uint8Array.from(this.engine.host(this.engine.far).received);
    const message = parseConvertMessage(bytes);
    if (message.outcome !== "message") throw new Error(message.outcome);
    return bytes.length - message.byteLength;
  }

  get isClientReadable(): boolean {
    return this.#relay.isReadable(0, NEAR);
  }
}

/** An answer as long as one can be. */
const LONGEST = emitConvertMessage([{ type: "cookie", cookie: new Uint8Array(MAX_MESSAGE_BYTES - 8).fill(7) }]);

const DSL: UplinkSource = { name: "dsl", index: 0, ipv4: ipAddress("10.1.1.2") };
const LTE: UplinkSource = { name: "lte", index: 1, ipv4: ipAddress("10.1.2.2") };

describe("hcpe/carrier, an uplink that goes while a gateway is tried over it", () => {
  it("is followed by the next one at once", () => {
    const { engine, ...bench } = tried();
    expect(engine.sources).to.deep.equal(["10.1.1.2"]);
    bench.follow([LTE]);
    expect(engine.sources).to.deep.equal(["10.1.1.2", "10.1.2.2"]);
    expect(engine.isReleased(bench.first)).to.equal(true);
  });

  it("so is one whose address has changed", () => {
    const { engine, ...bench } = tried();
    bench.follow([{ ...DSL, ipv4: ipAddress("10.1.1.77") }, LTE]);
    expect(engine.sources).to.deep.equal(["10.1.1.2", "10.1.2.2"]);
  });

  it("changes nothing when it is another one's, or when no other is left", () => {
    for (const left of [[DSL], [LTE, DSL], []]) {
      const { engine, ...bench } = tried();
      bench.follow(left);
      expect(engine.sources).to.deep.equal(["10.1.1.2"]);
      expect(engine.isReleased(bench.first)).to.equal(false);
    }
  });

  it("changes nothing once the gateway has answered the handshake", () => {
    const bench = new Bench({ uplinks: [DSL, LTE] });
    bench.followUplinks([LTE]);
    expect(bench.engine.sources).to.deep.equal(["10.1.1.2"]);
  });

  /** A connection whose first attempt, over DSL, is under way. */
  function tried() {
    const bench = new Bench({ answers: false, uplinks: [DSL, LTE] });
    return { engine: bench.engine, first: bench.engine.far, follow: (now: UplinkSource[]) => bench.followUplinks(now) };
  }
});

describe("hcpe/carrier", () => {
  it("reads 14,600 bytes of a client before the gateway has answered, and the rest when it has", () => {
    const bench = new Bench();
    bench.engine.send(bench.client, new Uint8Array(EARLY_BYTES + 5000));
    bench.settle();
    expect([bench.carried, bench.isClientReadable]).to.deep.equal([EARLY_BYTES, true]);
    bench.engine.send(bench.engine.far, emitConvertMessage([]));
    bench.settle();
    expect(bench.carried).to.equal(EARLY_BYTES + 5000);
  });

  it("takes an answer of 1020 bytes in reads of at most 2040, and what follows it is the client's", () => {
    const bench = new Bench();
    const payload = Uint8Array.from({ length: 10_000 }, (_, index) => index % 251);
    expect(LONGEST.length).to.equal(1020);
    bench.engine.send(bench.engine.far, concatBytes([LONGEST, payload]));
    bench.settle();
    expect(Uint8Array.from(bench.engine.host(bench.client).received)).to.deep.equal(payload);
    expect(bench.engine.farReads.slice(0, 2)).to.deep.equal([2040, BUFFER_BYTES]);
  });

  it("takes an answer that comes byte by byte", () => {
    const bench = new Bench();
    for (const byte of [...LONGEST, 1, 2, 3]) {
      bench.engine.send(bench.engine.far, [byte]);
      bench.settle();
    }
    expect(bench.engine.host(bench.client).received).to.deep.equal([1, 2, 3]);
    expect(bench.engine.farReads.filter((length) => length === 2040).length).to.equal(1020);
  });
});
