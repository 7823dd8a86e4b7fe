import { concatBytes } from "@hybrid-access/core/base/bytes";
import { type Endpoint, ipAddress } from "@hybrid-access/core/base/ip-address";
import { prefix } from "@hybrid-access/core/base/prefix";
import { Counters, createCounterMemory } from "@hybrid-access/core/dataplane/counters";
import { Relay } from "@hybrid-access/core/dataplane/relay";
import { type ConnectResult, type Leg, READY } from "@hybrid-access/core/engine/engine";
import { MAX_MESSAGE_BYTES } from "@hybrid-access/core/wire/convert/codes";
import { emitConvertMessage } from "@hybrid-access/core/wire/convert/message";
import { ClientSlots } from "@hybrid-access/hag/client-slots";
import { ClientTable } from "@hybrid-access/hag/client-table";
import { Converter, type ConverterRules, type ConverterSetup } from "@hybrid-access/hag/converter";
import { expect } from "chai";
import { MemoryEngine } from "../../support/memory-engine.ts";

const CLIENT: Endpoint = { address: ipAddress("198.51.100.9"), port: 40_000 };
const SERVER: Endpoint = { address: ipAddress("8.8.8.8"), port: 80 };
const RULES: ConverterRules = {
  clients: [prefix("198.51.100.0/24")],
  destinations: { allow: [], deny: [] },
  ownAddresses: [],
  egress: "shared",
  cookieKeys: [],
  limits: { pending: 10, open: 10, newPerSecond: 10 },
  subflows: 8,
  headerMs: 5000,
  connectMs: 20_000,
};

class GatewayEngine extends MemoryEngine {
  /** Bytes that were read of the client. */
  taken = 0;
  server: Leg = -1;

  override connect(): ConnectResult {
    this.server = this.create(0);
    return { leg: this.server, taken: 0 };
  }

  override remoteEndpoint(): Endpoint {
    return CLIENT;
  }

  override read(leg: Leg, into: Uint8Array, length: number): number {
    const count = super.read(leg, into, length);
    if (leg !== this.server && count > 0) this.taken += count;
    return count;
  }
}

describe("hag/converter", () => {
  let engine: GatewayEngine;
  let client: Leg;
  let relay: Relay;
  let converter: Converter;

  beforeEach(() => {
    engine = new GatewayEngine();
    const counters = new Counters(createCounterMemory(1), 0);
    const bounds = { bufferBytes: 65_536, pendingLimitBytes: 1 << 20, idleMs: 1e6, halfClosedMs: 1e6 };
    relay = new Relay({
      ...bounds,
      engines: [engine, engine],
      capacity: 1,
      counters,
      onClosed: (slot) => converter.onClosed(slot),
      onTimer: (slot) => converter.onTimer(slot),
    });
    const setup: ConverterSetup = {
      engine: "kernel",
      relay: { ...bounds, maxConnections: 1 },
      listen: [],
      transparent: false,
      rules: RULES,
      clientTable: ClientTable.createMemory(),
      clientSlots: ClientSlots.createMemory(1, 1),
      load: new SharedArrayBuffer(4),
    };
    converter = new Converter({ engine, relay, counters, index: 0, report: () => {} }, setup);
    client = engine.create(100_000);
  });

  function settle(): void {
    for (let any = true; any; ) {
      any = engine.deliver((end, bits) => {
        if (!relay.onReady(end, bits)) converter.onReady(end >> 1, (end & 1) as 0 | 1, bits);
      });
      any ||= relay.hasWork;
      relay.runQueued();
    }
  }

  const MESSAGE = emitConvertMessage([{ type: "connect", peer: SERVER, options: [] }]);
  const PAYLOAD = Uint8Array.from({ length: 5000 }, (_, index) => index % 251);

  it("reads 1020 bytes of a client until its server is reached; what is behind the message reaches the server whole", () => {
    engine.send(client, concatBytes([MESSAGE, PAYLOAD]));
    converter.onAccept(relay.open(client));
    settle();
    expect(engine.server).to.be.at.least(0);
    expect(engine.taken).to.equal(MAX_MESSAGE_BYTES);
    engine.makeRoom(engine.server, 100_000);
    settle();
    expect(engine.taken).to.equal(MESSAGE.length + PAYLOAD.length);
    expect(Uint8Array.from(engine.host(engine.server).received)).to.deep.equal(PAYLOAD);
  });

  it("reads no more than 1020 bytes of a message and what follows, in whatever pieces it comes", () => {
    converter.onAccept(relay.open(client));
    for (const part of [
      MESSAGE.subarray(0, 3),
      MESSAGE.subarray(3, 10),
      concatBytes([MESSAGE.subarray(10), PAYLOAD]),
    ]) {
      engine.send(client, part);
      settle();
    }
    expect(engine.taken).to.equal(MAX_MESSAGE_BYTES);
    // More of the client, while the server is waited for, stays in its socket.
    engine.send(client, PAYLOAD);
    relay.onReady(0, READY.read);
    settle();
    expect(engine.taken).to.equal(MAX_MESSAGE_BYTES);
  });
});
