import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type { ConnectionDiagnostics } from "@hybrid-access/core/platform/netlink/socket-diagnostics";
import { formatBytes, renderConnections, renderPaths } from "@hybrid-access/hcpe/render";
import type { Uplink } from "@hybrid-access/hcpe/uplinks";
import { type UplinkDetails, viewConnections, viewUplink } from "@hybrid-access/hcpe/views";
import { expect } from "chai";

const CLIENT = { address: ipAddress("192.168.1.2"), port: 4711 };
const SERVER = { address: ipAddress("203.0.113.5"), port: 443 };
const OUTSIDE = { address: ipAddress("10.1.1.2"), port: 5000 };

const CONNECTION: ConnectionDiagnostics = {
  cookie: 1,
  state: "ESTABLISHED",
  token: 0xab,
  fallback: false,
  local: OUTSIDE,
  remote: { address: ipAddress("10.9.9.9"), port: 5124 },
  bytesSent: 10,
  bytesAcknowledged: 9,
  bytesReceived: 2_500_000,
  bytesRetransmitted: 2800,
  penalizations: 3,
};

function view(connections: readonly ConnectionDiagnostics[], outside: typeof OUTSIDE | undefined) {
  return viewConnections({
    carried: [{ client: CLIENT, destination: SERVER, outside }],
    connections,
    subflows: [],
    policyOf: (token) => (token === 0xab ? "aggregate" : undefined),
    uplinkOf: () => undefined,
    ended: () => ({ count: 2, bytesUp: 1, bytesDown: 2 }),
    ageSeconds: () => undefined,
  })[0];
}

describe("what the HCPE shows", () => {
  it("joins what a worker knows with what the kernel knows", () => {
    expect(view([CONNECTION], OUTSIDE)).to.deep.equal({
      token: "000000ab",
      client: "192.168.1.2:4711",
      destination: "203.0.113.5:443",
      way: "multipath",
      gateway: "10.9.9.9:5124",
      policy: "aggregate",
      ageSeconds: null,
      bytesUp: 9,
      bytesDown: 2_500_000,
      reinjectedBytes: 2800,
      penalizations: 3,
      subflows: [],
      endedSubflows: { count: 2, bytesUp: 1, bytesDown: 2 },
    });
  });

  it("tells connections apart that fell back, went direct, or are being opened", () => {
    expect(view([{ ...CONNECTION, fallback: true }], OUTSIDE)?.way).to.equal("fallback");
    expect(view([], OUTSIDE)).to.include({ way: "direct", token: null, bytesDown: null });
    expect(view([CONNECTION], undefined)?.way).to.equal("opening");
  });

  it("writes a connection as one line, and says how many are not shown", () => {
    expect(renderConnections({ total: 7, connections: [view([CONNECTION], OUTSIDE)] })).to.equal(
      `7 connections, 1 shown
192.168.1.2:4711 -> 203.0.113.5:443  multipath, 000000ab, aggregate, up 9 B, down 2.5 MB, 2 subflows ended
`,
    );
  });

  it("gives the reason for every state of an uplink but up", () => {
    const details: UplinkDetails = {
      quota: null,
      silent: [],
      verdict: { quality: "degraded", reason: "nothing comes back" },
      interface: undefined,
      traffic: undefined,
      rttMs: undefined,
    };
    const shown = (["absent", "down", "no carrier", "no address", "no route", "up"] as const).map((state) => {
      const config = { name: "lte", interface: "wwan0", cost: 1 };
      const uplink: Uplink = { config, state, interfaceIndex: 1, receivedBytes: 0, sentBytes: 0, paths: [] };
      return viewUplink(uplink, details) as { state: string; reason: string };
    });
    expect(shown.map(({ state }) => state)).to.deep.equal([
      "absent",
      "down",
      "no carrier",
      "no address",
      "no route",
      "degraded",
    ]);
    for (const { reason } of shown) expect(reason).to.match(/^[a-z ]{10,}$/);
    expect(renderPaths({ uplinks: shown, schedules: [] })).to.match(/\nlte +degraded .* nothing comes back\n$/);
  });

  it("writes bytes in decimal units", () => {
    expect([0, 999, 1000, 1_250_000, 50e9, 3e15, null].map((bytes) => formatBytes(bytes))).to.deep.equal([
      "0 B",
      "999 B",
      "1.0 kB",
      "1.3 MB",
      "50.0 GB",
      "3000.0 TB",
      "-",
    ]);
  });
});
