import { QUEUED_PACKETS, TunDevice } from "@hybrid-access/core/engine/userspace/tun-device";
import { readPacket } from "@hybrid-access/core/platform/tun";
import { parseIpPacket } from "@hybrid-access/core/wire/ip-packet";
import { expect } from "chai";
import { Lab } from "../lab/lab.ts";

const SENT = 5000;
const UDP = 17;

describe("a TUN device whose worker is busy", () => {
  it(`keeps ${QUEUED_PACKETS} packets, and drops what comes beyond`, async () => {
    const lab = await Lab.up({ nodes: { host: {} }, links: [], routes: [] });
    const device = lab.inside("host", () => new TunDevice({ name: "busy", offloads: false, queues: 1 }));
    try {
      await lab.run("host", ["ip", "address", "add", "10.77.0.1/24", "dev", "busy"]);
      const flood = `exec 3>/dev/udp/10.77.0.2/9; for ((i = 0; i < ${SENT}; i++)); do echo "$i" >&3; done`;
      await lab.run("host", ["bash", "-c", flood]);
      const [descriptor = -1] = device.descriptors;
      const packet = new Uint8Array(2048);
      let kept = 0;
      let others = 0;
      for (let length = readPacket(descriptor, packet); length > 0; length = readPacket(descriptor, packet)) {
        const ip = parseIpPacket(packet.subarray(0, length));
        if (typeof ip !== "string" && ip.protocol === UDP) kept += 1;
        else others += 1;
      }
      expect(kept + others).to.equal(QUEUED_PACKETS);
      expect(others).to.be.below(10);
    } finally {
      device.close();
      await lab.down();
    }
  });
});
