import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeDescriptor } from "@hybrid-access/core/platform/socket";
import { openTunDevice } from "@hybrid-access/core/platform/tun";
import { expect } from "chai";
import { Lab } from "../lab/lab.ts";
import { connectFrom, hashOf, pattern, receive, StreamServer } from "../lab/stream.ts";
import type { Topology } from "../lab/topology.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7100;
const DELAY_MS = 10;
const RATE = 20_000_000;
const MTU = 1500;

/** Two hosts behind a router: the link is emulated, and what the router forwards came from a cable with offloads. */
const TOPOLOGY: Topology = {
  nodes: { near: {}, router: { router: true }, far: {} },
  links: [
    {
      name: "slow",
      ends: [
        { node: "near", name: "slow", addresses: ["10.90.1.1/24", "fd90:1::1/64"] },
        { node: "router", name: "slow", addresses: ["10.90.1.2/24", "fd90:1::2/64"] },
      ],
      emulation: {
        forward: { delayMs: DELAY_MS, rateBitsPerSecond: RATE },
        backward: { delayMs: DELAY_MS, rateBitsPerSecond: RATE },
      },
    },
    {
      name: "cable",
      ends: [
        { node: "router", name: "cable", addresses: ["10.90.2.1/24", "fd90:2::1/64"] },
        { node: "far", name: "cable", addresses: ["10.90.2.2/24", "fd90:2::2/64"] },
      ],
    },
  ],
  routes: [
    { node: "near", to: "default", via: "10.90.1.2" },
    { node: "near", to: "default", via: "fd90:1::2" },
    { node: "far", to: "default", via: "10.90.2.1" },
    { node: "far", to: "default", via: "fd90:2::1" },
  ],
};

/** The lengths of the packets in a capture: enhanced packet blocks (type 6) of pcapng. */
function capturedLengths(bytes: Buffer): number[] {
  const lengths: number[] = [];
  for (let at = 0; at < bytes.length; at += bytes.readUInt32LE(at + 4)) {
    if (bytes.readUInt32LE(at) === 6) lengths.push(bytes.readUInt32LE(at + 20));
  }
  return lengths;
}

function mayOpenTun(): boolean {
  const device = openTunDevice();
  if (device >= 0) closeDescriptor(device);
  return device >= 0;
}

for (const [what, wires] of [
  ["TUN devices", false],
  ["packet sockets, as where TUN is not allowed", true],
] as const) {
  describe(`an emulated link over ${what}`, function () {
    this.timeout(30_000);
    let lab: Lab;
    let server: StreamServer;
    const directory = mkdtempSync(join(tmpdir(), "hybrid-access-lab-"));

    before(async function () {
      if (!wires && !mayOpenTun()) {
        process.stdout.write("    skipped: /dev/net/tun may not be opened\n");
        this.skip();
      }
      lab = await Lab.up(TOPOLOGY, { wires });
      server = new StreamServer(lab, "far", PORT);
    });
    after(async () => {
      await server?.close();
      await lab?.down();
      rmSync(directory, { recursive: true });
    });

    for (const [family, host] of [
      ["IPv4", "10.90.2.2"],
      ["IPv6", "fd90:2::2"],
    ] as const) {
      it(`delays and limits ${family}, and delivers every byte both ways in packets that fit a wire`, async () => {
        const bytes = pattern(500_000, 1);
        const capture = join(directory, `${family}.pcapng`);
        await lab.capture("slow", capture);
        const beginMs = performance.now();
        const near = connectFrom(lab, "near", host, PORT);
        const far = await server.accept();
        expect(performance.now() - beginMs, "a round trip").to.be.at.least(2 * DELAY_MS);
        const sentMs = performance.now();
        const atFar = receive(far.resume());
        const atNear = receive(near.resume());
        near.end(bytes);
        far.end(bytes);
        for (const received of await Promise.all([atFar, atNear])) {
          expect(received).to.deep.equal({ bytes: bytes.length, hash: hashOf(bytes), end: "end" });
        }
        expect(performance.now() - sentMs, "at the rate of the link").to.be.at.least((bytes.length * 8000) / RATE);
        await lab.capture("slow", null);
        const lengths = capturedLengths(readFileSync(capture));
        expect(lengths.length).to.be.greaterThan((2 * bytes.length) / MTU);
        expect(Math.max(...lengths)).to.be.within(MTU - 20, MTU);
      });
    }

    it("loses what it is told to lose", async () => {
      const before = (await lab.linkCounters()).slow?.forward.lostPackets ?? 0;
      await lab.configureLink("slow", "forward", { loss: 1 });
      const near = connectFrom(lab, "near", "10.90.2.2", PORT);
      await eventually(5000, async () => {
        expect((await lab.linkCounters()).slow?.forward.lostPackets).to.be.greaterThan(before);
      });
      near.destroy();
      await lab.configureLink("slow", "forward", { delayMs: DELAY_MS });
    });

    it("loses its carrier at both ends when its cable is pulled, and has it back when it is plugged in", async () => {
      const carriers = async () =>
        await Promise.all(["near", "router"].map((node) => lab.run(node, ["ip", "link", "show", "slow"])));
      await lab.setCarrier("slow", false);
      await eventually(2000, async () => {
        for (const shown of await carriers()) expect(shown).to.include("NO-CARRIER");
      });
      await lab.setCarrier("slow", true);
      await eventually(2000, async () => {
        for (const shown of await carriers()) expect(shown).to.include("LOWER_UP").and.not.include("NO-CARRIER");
      });
      const near = connectFrom(lab, "near", "10.90.2.2", PORT);
      const far = await server.accept();
      const received = receive(far.resume());
      near.end("after");
      expect(await received).to.include({ bytes: 5, end: "end" });
      far.end();
      near.destroy();
    });
  });
}
