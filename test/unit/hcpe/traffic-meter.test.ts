import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type { SubflowDiagnostics } from "@hybrid-access/core/platform/netlink/socket-diagnostics";
import { TrafficMeter } from "@hybrid-access/hcpe/traffic-meter";
import { expect } from "chai";

const UPLINKS: Readonly<Record<string, string>> = { dsl: "10.1.1.2", lte: "10.1.2.2" };
const ENDPOINT = { address: ipAddress("10.9.9.9"), port: 5124 };

function subflow(uplink: string, cookie: number, rest: Partial<SubflowDiagnostics> = {}): SubflowDiagnostics {
  return {
    cookie,
    token: 1,
    state: "ESTABLISHED",
    local: { address: ipAddress(UPLINKS[uplink] ?? "192.0.2.1"), port: cookie },
    remote: ENDPOINT,
    localId: 0,
    remoteId: 0,
    backup: false,
    rttMs: 20,
    leastRttMs: 20,
    receiveRttMs: 0,
    congestionWindow: 10,
    bytesSent: 0,
    bytesAcknowledged: 0,
    bytesReceived: 0,
    bytesRetransmitted: 0,
    dataSegmentsSent: 0,
    dataSegmentsReceived: 0,
    segmentsRetransmitted: 0,
    segmentsOutOfOrder: 0,
    lost: 0,
    unacknowledged: 0,
    timeouts: 0,
    rtoMs: 220,
    notSentBytes: 0,
    deliveryBitsPerSecond: 0,
    ...rest,
  };
}

function uplinkOf(address: Uint8Array): string | undefined {
  return Object.keys(UPLINKS).find((name) => ipAddress(UPLINKS[name] ?? "").every((byte, at) => byte === address[at]));
}

describe("the traffic meter", () => {
  it("gives for each uplink what its subflows did since the last look", () => {
    const meter = new TrafficMeter();
    meter.update([subflow("dsl", 1, { bytesReceived: 500 }), subflow("lte", 2)], uplinkOf, 1000);
    const now = [
      subflow("dsl", 1, { bytesReceived: 2500, dataSegmentsReceived: 30, segmentsOutOfOrder: 3, receiveRttMs: 40 }),
      subflow("dsl", 3, { bytesReceived: 100, dataSegmentsReceived: 10, receiveRttMs: 80, timeouts: 1 }),
      subflow("lte", 2, { bytesAcknowledged: 700, dataSegmentsSent: 5, segmentsRetransmitted: 9, rttMs: 60 }),
      subflow("elsewhere", 4, { bytesReceived: 1e9 }),
    ];
    const traffic = meter.update(now, uplinkOf, 1500);
    const nothing = { bytes: 0, segments: 0, troubledSegments: 0, rttMs: undefined };
    expect(Object.fromEntries(traffic)).to.deep.equal({
      dsl: {
        subflows: 2,
        leastRttMs: 20,
        sample: {
          durationMs: 500,
          down: { bytes: 2100, segments: 40, troubledSegments: 3, rttMs: 50 },
          up: nothing,
          timeouts: 1,
        },
      },
      lte: {
        subflows: 1,
        leastRttMs: 20,
        sample: {
          durationMs: 500,
          down: nothing,
          up: { bytes: 700, segments: 5, troubledSegments: 5, rttMs: 60 },
          timeouts: 0,
        },
      },
    });
  });

  it("blames no uplink for a handshake without an answer", () => {
    const traffic = new TrafficMeter().update([subflow("dsl", 1, { state: "SYN-SENT", timeouts: 4 })], uplinkOf, 1);
    expect(traffic.get("dsl")?.sample.timeouts).to.equal(0);
  });

  it("keeps what ended subflows carried, until their connection has not been seen for two minutes", () => {
    const meter = new TrafficMeter();
    const ended = { bytesAcknowledged: 5, bytesReceived: 7 };
    meter.update([subflow("dsl", 1, ended), subflow("dsl", 2, ended), subflow("lte", 3)], uplinkOf, 0);
    meter.update([subflow("lte", 3)], uplinkOf, 500);
    expect(meter.ended(1)).to.deep.equal({ count: 2, bytesUp: 10, bytesDown: 14 });
    meter.update([subflow("lte", 3)], uplinkOf, 500_000);
    meter.update([], uplinkOf, 500_500);
    expect(meter.ended(1).count).to.equal(3);
    meter.update([], uplinkOf, 621_000);
    expect(meter.ended(1).count).to.equal(0);
  });

  it("leaves a subflow to the uplink it began on when the address moves", () => {
    const meter = new TrafficMeter();
    meter.update([subflow("dsl", 1)], uplinkOf, 0);
    const traffic = meter.update([subflow("dsl", 1, { bytesReceived: 9 })], () => undefined, 500);
    expect(traffic.get("dsl")?.sample.down.bytes).to.equal(9);
    expect(meter.uplinkOf(subflow("dsl", 1))).to.equal("dsl");
  });
});
