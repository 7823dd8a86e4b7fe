import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type { PacketEndpoint } from "@hybrid-access/core/stack/endpoint";
import type { BoxPlan } from "@hybrid-access/core/testing/middlebox/box-plan";
import { Recorder } from "@hybrid-access/core/testing/simulator/recorder";
import {
  LivelockError,
  type PathPlan,
  type SimulationPlan,
  Simulator,
} from "@hybrid-access/core/testing/simulator/simulator";
import { parseIcmpError } from "@hybrid-access/core/wire/icmp";
import { type IpPacket, parseIpPacket } from "@hybrid-access/core/wire/ip-packet";
import { emitTcpPacket, parseTcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { expect } from "chai";
import { readPcapng } from "../../../lab/capture.ts";
import { CLIENT, SERVER, SYN, tcp, text } from "../middlebox/segments.ts";

/** Sends what it is given when it is given, and notes what arrives and when. */
class Probe implements PacketEndpoint {
  readonly seen: { readonly nowMs: number; readonly packet: Uint8Array }[] = [];
  readonly ready: Uint8Array[] = [];
  readonly #onPacket: (packet: Uint8Array) => void;

  constructor(onPacket: (packet: Uint8Array) => void = () => {}) {
    this.#onPacket = onPacket;
  }

  onPacket(nowMs: number, packet: Uint8Array): void {
    this.seen.push({ nowMs, packet });
    this.#onPacket(packet);
  }

  onTimeout(): void {}
  pollTimeout(): number | undefined {
    return undefined;
  }
  pollTransmit(): Uint8Array | undefined {
    return this.ready.shift();
  }
}

const DSL: PathPlan = {
  near: { host: "home", addresses: [CLIENT.address] },
  far: { host: "gateway", addresses: [SERVER.address] },
  forward: { delayMs: 10 },
  backward: { delayMs: 20 },
};
const LTE_ADDRESS = ipAddress("10.2.0.2");
const LTE: PathPlan = { ...DSL, near: { host: "home", addresses: [LTE_ADDRESS] }, forward: { delayMs: 30 } };
const THERE = emitTcpPacket(tcp("forward", { ...SYN, payload: text("there") }));
const BACK = emitTcpPacket(tcp("backward", { payload: text("back") }));

function simulation(paths: SimulationPlan["paths"], rest: Partial<SimulationPlan> = {}) {
  const [home, gateway] = [new Probe(), new Probe()];
  const hosts = { home: { endpoint: home }, gateway: { endpoint: gateway } };
  return { home, gateway, simulator: new Simulator({ hosts, paths, seed: 1, ...rest }) };
}

function withBoxes(...boxes: BoxPlan[]): SimulationPlan["paths"] {
  return { dsl: { ...DSL, boxes } };
}

describe("testing/simulator", () => {
  it("carries packets both ways, each link with its own delay, in virtual time", () => {
    const { home, gateway, simulator } = simulation({ dsl: DSL });
    home.ready.push(THERE);
    simulator.at(100, () => gateway.ready.push(BACK));
    expect(simulator.run({ untilMs: 1000 })).to.equal("idle");
    expect(gateway.seen).to.deep.equal([{ nowMs: 10, packet: THERE }]);
    expect(home.seen).to.deep.equal([{ nowMs: 120, packet: BACK }]);
    expect(simulator.counters).to.include({ sentPackets: 2, receivedPackets: 2, unroutedPackets: 0 });
  });

  it("chooses the path by source and destination address, and counts what fits none", () => {
    const { home, gateway, simulator } = simulation({ dsl: DSL, lte: LTE });
    const overLte = tcp("forward", SYN);
    home.ready.push(emitTcpPacket({ ...overLte, ip: { ...overLte.ip, source: LTE_ADDRESS } }), BACK, new Uint8Array());
    const toLte = tcp("backward");
    gateway.ready.push(emitTcpPacket({ ...toLte, ip: { ...toLte.ip, destination: LTE_ADDRESS } }));
    simulator.run({ untilMs: 1000 });
    expect(gateway.seen.map(({ nowMs }) => nowMs)).to.deep.equal([30]);
    expect(home.seen.map(({ nowMs }) => nowMs)).to.deep.equal([20]);
    expect(simulator.counters.unroutedPackets).to.equal(2);
  });

  it("sends what a box sends back through the boxes before it", () => {
    const address = ipAddress("198.51.100.9");
    const routers = { ipv4: ipAddress("192.0.2.254") };
    const { home, gateway, simulator } = simulation(
      withBoxes({ box: "nat", address }, { box: "mtuLimit", mtuBytes: 1280, routers }),
    );
    home.ready.push(THERE, emitTcpPacket(tcp("forward", { payload: new Uint8Array(1300) })));
    simulator.run({ untilMs: 1000 });
    expect(gateway.seen).to.have.length(1);
    const error = parseIpPacket(home.seen[0]?.packet ?? new Uint8Array()) as IpPacket;
    expect(error.destination).to.deep.equal(CLIENT.address);
    expect(parseIcmpError(error)?.reason.type).to.equal("packetTooBig");
  });

  it("reaches who is behind a NAT by the address that the NAT gives", () => {
    const address = ipAddress("198.51.100.9");
    const near = { ...DSL.near, reachedAs: [address] };
    const { home, gateway, simulator } = simulation({ dsl: { ...DSL, near, boxes: [{ box: "nat", address }] } });
    home.ready.push(THERE);
    simulator.run({ untilMs: 1000 });
    const read = parseTcpPacket(gateway.seen[0]?.packet ?? new Uint8Array());
    if (typeof read === "string") throw new RangeError(read);
    const answer = tcp("backward", { destinationPort: read.segment.sourcePort });
    gateway.ready.push(emitTcpPacket({ ...answer, ip: { ...answer.ip, destination: address } }));
    simulator.run({ untilMs: 1000 });
    expect(home.seen).to.have.length(1);
  });

  it("runs a box's timers", () => {
    const { home, gateway, simulator } = simulation(withBoxes({ box: "coalescer", mostBytes: 100, waitMs: 7 }));
    home.ready.push(emitTcpPacket(tcp("forward", { payload: text("held") })));
    simulator.run({ untilMs: 1000 });
    expect(gateway.seen.map(({ nowMs }) => nowMs)).to.deep.equal([17]);
  });

  it("stops at its time, and goes on from there", () => {
    const { home, gateway, simulator } = simulation({ dsl: DSL });
    home.ready.push(THERE);
    expect(simulator.run({ untilMs: 9 })).to.equal("time");
    expect([simulator.nowMs, gateway.seen.length]).to.deep.equal([9, 0]);
    expect(simulator.run({ untilMs: 1000, isDone: () => gateway.seen.length > 0 })).to.equal("done");
    expect(simulator.nowMs).to.equal(10);
  });

  it("lets a test change a link while packets are on it", () => {
    const { home, gateway, simulator } = simulation({ dsl: DSL });
    simulator.at(5, () => simulator.path("dsl").links.forward.configure({ loss: 1 }));
    simulator.at(6, () => home.ready.push(THERE));
    home.ready.push(THERE);
    simulator.run({ untilMs: 1000 });
    expect(gateway.seen).to.have.length(1);
    expect(() => simulator.path("lte")).to.throw(RangeError, "no path is called lte");
  });

  it("says so when time stands still: endless packets, a box or timer that never rests", () => {
    const { simulator, home } = simulation({ dsl: DSL });
    home.pollTransmit = () => THERE.slice();
    expect(() => simulator.run({ untilMs: 1 })).to.throw(LivelockError, "packets of home at 0 ms");
    const restless = simulation({ dsl: DSL });
    restless.gateway.pollTimeout = () => 3;
    expect(() => restless.simulator.run({ untilMs: 5 })).to.throw(LivelockError, "events at 3 ms");
  });

  it("keeps a capture of what hosts have sent and received, in which a lost packet is there once", () => {
    const { home, gateway, simulator } = simulation({ dsl: DSL }, { records: true });
    home.ready.push(THERE);
    simulator.at(50, () => simulator.path("dsl").links.backward.configure({ loss: 1 }));
    simulator.at(51, () => gateway.ready.push(BACK));
    simulator.run({ untilMs: 1000 });
    expect(readPcapng(simulator.recorder?.file("seed 1") ?? new Uint8Array())).to.deep.equal([THERE, THERE, BACK]);
  });

  it("leaves out of a capture what has no room", () => {
    const recorder = new Recorder(["a"], 200);
    for (let count = 0; count < 5; count++) recorder.record("a", count, THERE);
    expect(recorder.leftOut).to.equal(3);
    expect(readPcapng(recorder.file(""))).to.have.length(2);
  });
});
