import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { MOST_PASSED, PassedJoins } from "@hybrid-access/core/engine/userspace/passed-joins";
import { StackHost } from "@hybrid-access/core/stack/host";
import { DEFAULT_MPTCP_SETTINGS } from "@hybrid-access/core/stack/mptcp/settings";
import type { SegmentOption } from "@hybrid-access/core/wire/tcp/options";
import { emitTcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { TCP_FLAG } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { seededPorts } from "../../stack/host-pair.ts";

const [OWN, OTHER] = [0, 1];
const HOME = ipAddress("10.1.1.2");
const GATEWAY = ipAddress("203.0.113.1");

/** A SYN that joins the connection with this token. */
function join(token: number): Uint8Array {
  const common = { source: HOME, destination: GATEWAY, protocol: 6, trafficClass: 0, hopLimit: 64 };
  const option: SegmentOption = { type: "joinSyn", backup: false, addressId: 1, token, nonce: 5 };
  const segment = {
    sourcePort: 1024 + (token % 60_000),
    destinationPort: 5124,
    sequence: token,
    acknowledgment: 0,
    flags: TCP_FLAG.syn,
    window: 65_535,
    urgentPointer: 0,
    options: [option],
    payload: new Uint8Array(0),
  };
  return emitTcpPacket({ ip: { family: "ipv4", ...common, identification: 0, dontFragment: true }, segment });
}

describe("engine/userspace: joins on their way to another worker", () => {
  let passed: PassedJoins;
  let host: StackHost;
  let sent: number;

  beforeEach(() => {
    passed = new PassedJoins(PassedJoins.createMemory(2));
    sent = 0;
    const pass = () => {
      const leaves = passed.leave(OTHER);
      if (leaves) sent += 1;
      return leaves;
    };
    host = new StackHost({
      settings: DEFAULT_MPTCP_SETTINGS,
      ports: seededPorts(1),
      mtuBytes: 1500,
      mostConnections: 1,
      share: { owns: (token) => token % 2 === OWN, pass },
    });
  });

  /** A flood of joins whose connections the other worker has. */
  function flood(count: number): void {
    for (let index = 0; index < count; index++) host.onPacket(0, join(2 * index + 1));
  }

  it("are 4096, further ones are dropped without an answer, and as many may follow as have come", () => {
    flood(5000);
    expect([sent, host.refusals.get("joinRefused")]).to.deep.equal([4096, 5000 - 4096]);
    expect(host.pollTransmit(0)).to.equal(undefined);
    for (let count = 0; count < 10; count++) passed.arrive(OTHER);
    flood(20);
    expect(sent).to.equal(4096 + 10);
  });

  it("are counted for each worker by itself", () => {
    flood(MOST_PASSED);
    expect([passed.leave(OTHER), passed.leave(OWN)]).to.deep.equal([false, true]);
  });

  it("are forgotten when the worker has died: what comes late to the next one makes no room of its own", () => {
    flood(MOST_PASSED);
    passed.forget(OTHER);
    for (let count = 0; count < 100; count++) passed.arrive(OTHER);
    flood(5000);
    expect(sent).to.equal(2 * MOST_PASSED);
  });
});
