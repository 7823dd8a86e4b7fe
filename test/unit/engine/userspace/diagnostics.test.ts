import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { type Leg, WOULD_BLOCK } from "@hybrid-access/core/engine/engine";
import { SimulatedHost } from "@hybrid-access/core/engine/simulated/simulated-host";
import { StackDiagnostics } from "@hybrid-access/core/engine/userspace/diagnostics";
import type { LinkOptions } from "@hybrid-access/core/testing/link";
import { Simulator } from "@hybrid-access/core/testing/simulator/simulator";
import { expect } from "chai";
import { seededPorts } from "../../stack/host-pair.ts";

const HOME = ipAddress("10.1.1.2");
const GATEWAY = ipAddress("203.0.113.1");
const LINK: LinkOptions = { rateBitsPerSecond: 10e6, delayMs: 15, queueBytes: 200_000 };
const REQUEST_BYTES = 100;
const ANSWER_BYTES = 100_000;

/** One download, and what both ends' diagnostics say when its last byte has come. */
function download() {
  const nowMs = () => simulator.nowMs;
  const home = new SimulatedHost({ addresses: [HOME], ports: seededPorts(1), nowMs });
  const gateway = new SimulatedHost({ addresses: [GATEWAY], ports: seededPorts(2), nowMs });
  const buffer = new Uint8Array(ANSWER_BYTES);
  let [received, asked, served] = [0, false, false];
  let serving: Leg = WOULD_BLOCK;

  function ask(): void {
    if (!asked) asked = home.engine.write(leg, buffer, REQUEST_BYTES) > 0;
    for (let count = home.engine.read(leg, buffer, ANSWER_BYTES); count > 0; ) {
      received += count;
      count = home.engine.read(leg, buffer, ANSWER_BYTES);
    }
  }
  function serve(): void {
    if (serving < 0) serving = gateway.engine.accept(listener);
    if (!served && gateway.engine.read(serving, buffer, REQUEST_BYTES) > 0) {
      served = gateway.engine.write(serving, buffer, ANSWER_BYTES) === ANSWER_BYTES;
    }
  }

  const simulator: Simulator = new Simulator({
    hosts: { home: { endpoint: home, application: ask }, gateway: { endpoint: gateway, application: serve } },
    paths: {
      dsl: {
        near: { host: "home", addresses: [HOME] },
        far: { host: "gateway", addresses: [GATEWAY] },
        forward: LINK,
        backward: LINK,
      },
    },
    seed: 1,
  });
  const peer = { address: GATEWAY, port: 443 };
  const listener = gateway.engine.listen({ endpoint: peer, protocol: "mptcp" });
  const { leg } = home.engine.connect({ peer, protocol: "mptcp" });
  expect(simulator.run({ untilMs: 10_000, isDone: () => received === ANSWER_BYTES })).to.equal("done");
  simulator.run({ untilMs: simulator.nowMs + 100 });
  return [home, gateway].map((host, index) => {
    const diagnostics = new StackDiagnostics(index);
    const [connection] = diagnostics.connections(host.engine.streams);
    const [subflow] = diagnostics.subflows(host.engine.streams, simulator.nowMs);
    if (connection === undefined || subflow === undefined) throw new Error("nothing is told");
    return { connection, subflow };
  });
}

describe("engine/userspace/diagnostics", () => {
  it("tells of both ends of a download what it has carried, and how long the path takes for who only receives", () => {
    const [home, gateway] = download();
    const told = { state: "ESTABLISHED", bytesRetransmitted: 0 };
    expect(home?.connection).to.include({ ...told, bytesSent: REQUEST_BYTES, bytesReceived: ANSWER_BYTES });
    expect(gateway?.connection).to.include({ ...told, bytesAcknowledged: ANSWER_BYTES, bytesReceived: REQUEST_BYTES });
    expect(home?.subflow).to.include({
      ...told,
      bytesAcknowledged: REQUEST_BYTES,
      bytesReceived: ANSWER_BYTES,
      backup: false,
    });
    expect(gateway?.subflow).to.include({ ...told, bytesSent: ANSWER_BYTES, lost: 0, unacknowledged: 0, timeouts: 0 });
    // Twice the delay, and what a segment waits in the queue at most.
    expect(home?.subflow.receiveRttMs).to.be.within(30, 100);
    expect(gateway?.subflow.leastRttMs).to.be.within(30, 40);
    expect(home?.subflow.cookie).not.to.equal(gateway?.subflow.cookie);
  });
});
