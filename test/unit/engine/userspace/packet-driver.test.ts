import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { PACKETS_PER_TURN, PacketDriver } from "@hybrid-access/core/engine/userspace/packet-driver";
import type { ArrivedPacket, Uplink } from "@hybrid-access/core/engine/userspace/uplink";
import { StackHost } from "@hybrid-access/core/stack/host";
import { DEFAULT_MPTCP_SETTINGS } from "@hybrid-access/core/stack/mptcp/settings";
import { expect } from "chai";
import { seededPorts } from "../../stack/host-pair.ts";

/** An uplink at which packets have arrived that are none. */
class CrowdedUplink implements Uplink {
  readonly name = "crowded";
  readonly addresses = [ipAddress("10.1.1.2")];
  left: number;

  constructor(packets: number) {
    this.left = packets;
  }

  watch(): number {
    return 0;
  }

  read(): ArrivedPacket | undefined {
    if (this.left === 0) return undefined;
    this.left -= 1;
    return { bytes: new Uint8Array(20), isVerified: true };
  }

  write(): void {}

  close(): void {}
}

describe("engine/userspace packet driver", () => {
  it("takes a share of what an uplink has, so that others get their turn, and the rest in the turns after", () => {
    const host = new StackHost({
      settings: DEFAULT_MPTCP_SETTINGS,
      ports: seededPorts(1),
      mtuBytes: 1500,
      mostConnections: 1,
    });
    const uplink = new CrowdedUplink(2 * PACKETS_PER_TURN + 1);
    const driver = new PacketDriver(host, [uplink]);
    const taken = () => Array.from(host.refusals.values()).reduce((sum, count) => sum + count, 0);
    const turns = [1, 2, 3].map((nowMs) => {
      driver.receive(uplink, nowMs);
      return taken();
    });
    expect(turns).to.deep.equal([64, 128, 129]);
  });
});
