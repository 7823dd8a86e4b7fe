import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { type Leg, READY, WOULD_BLOCK } from "@hybrid-access/core/engine/engine";
import { SimulatedHost } from "@hybrid-access/core/engine/simulated/simulated-host";
import type { LinkOptions } from "@hybrid-access/core/testing/link";
import { Simulator } from "@hybrid-access/core/testing/simulator/simulator";
import { expect } from "chai";
import { seededPorts } from "../../stack/host-pair.ts";
import { pattern } from "../../stack/tcp/tcp-pair.ts";

const BYTES = 200_000;
const HOME = { dsl: ipAddress("10.1.1.2"), lte: ipAddress("10.1.2.2") };
const GATEWAY = ipAddress("203.0.113.1");
const LINK: LinkOptions = { rateBitsPerSecond: 10e6, delayMs: 15, queueBytes: 60_000, loss: 0.02 };

/** Carries {@link BYTES} over both uplinks, and gives the capture and what arrived. */
function carry(seed: number): { capture: Uint8Array; arrived: Uint8Array; bySubflow: readonly number[] } {
  const nowMs = () => simulator.nowMs;
  const home = new SimulatedHost({ addresses: [HOME.dsl, HOME.lte], ports: seededPorts(1), nowMs });
  const gateway = new SimulatedHost({ addresses: [GATEWAY], ports: seededPorts(2), nowMs });
  const far = { host: "gateway", addresses: [GATEWAY] };
  const pathFrom = (address: typeof GATEWAY) => {
    return { near: { host: "home", addresses: [address] }, far, forward: LINK, backward: LINK };
  };
  const bytes = pattern(BYTES);
  const arrived: Uint8Array[] = [];
  const buffer = new Uint8Array(65_536);
  let [written, received] = [0, 0];
  let serving: Leg = WOULD_BLOCK;
  const simulator: Simulator = new Simulator({
    hosts: { home: { endpoint: home, application: write }, gateway: { endpoint: gateway, application: read } },
    paths: { dsl: pathFrom(HOME.dsl), lte: pathFrom(HOME.lte) },
    seed,
    records: true,
  });
  const peer = { address: GATEWAY, port: 443 };
  const listener = gateway.engine.listen({ endpoint: peer, protocol: "mptcp" });
  const { leg } = home.engine.connect({ peer, protocol: "mptcp" });
  home.paths.onEvent((event) => {
    if (event.type !== "connectionEstablished") return;
    const { token } = event;
    const from = { local: HOME.lte, localId: 1, interfaceIndex: 0 };
    home.paths.execute({ type: "createSubflow", token, ...from, remote: peer, backup: false });
  });

  function write(): void {
    const taken = home.engine.write(leg, bytes.subarray(written), BYTES - written);
    if (taken > 0) written += taken;
  }
  function read(): void {
    if (serving < 0) serving = gateway.engine.accept(listener);
    for (let count = gateway.engine.read(serving, buffer, buffer.length); count > 0; ) {
      arrived.push(buffer.slice(0, count));
      received += count;
      count = gateway.engine.read(serving, buffer, buffer.length);
    }
  }

  simulator.run({ untilMs: 60_000, isDone: () => received === BYTES });
  const bySubflow = gateway.engine.info(serving).subflows.map(({ bytesReceived }) => bytesReceived);
  return { capture: simulator.recorder?.file("") ?? new Uint8Array(), arrived: Buffer.concat(arrived), bySubflow };
}

describe("engine/simulated", () => {
  it("carries a stream over two lossy links that a path manager uses both", () => {
    const { arrived, bySubflow } = carry(1);
    expect(Buffer.compare(arrived, pattern(BYTES))).to.equal(0);
    expect(bySubflow.length).to.equal(2);
    for (const bytes of bySubflow) expect(bytes).to.be.above(BYTES / 10);
  });

  it("does the same in every run with one seed, packet by packet, and something else with another", () => {
    const first = carry(7).capture;
    expect(Buffer.compare(first, carry(7).capture)).to.equal(0);
    expect(Buffer.compare(first, carry(8).capture)).not.to.equal(0);
  });

  it("tells by readiness what a worker would wait for", () => {
    const nowMs = () => 0;
    const host = new SimulatedHost({ addresses: [GATEWAY], ports: seededPorts(1), nowMs });
    const { leg } = host.engine.connect({ peer: { address: HOME.dsl, port: 1 }, protocol: "tcp" });
    const told: [number, number][] = [];
    host.engine.watch(leg, 5, true);
    host.engine.takeReady((tag, bits) => told.push([tag, bits]));
    expect(told).to.deep.equal([]);
    // Nobody answers.
    for (let at: number | undefined = 0; at !== undefined; at = host.pollTimeout()) {
      host.onTimeout(at);
      while (host.pollTransmit(at) !== undefined);
    }
    host.engine.takeReady((tag, bits) => told.push([tag, bits]));
    expect(told).to.deep.equal([[5, READY.read | READY.write | READY.error | READY.hangUp]]);
  });
});
