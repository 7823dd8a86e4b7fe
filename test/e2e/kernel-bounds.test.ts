/** Bounds that the kernel keeps for us: that it was told them. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { KernelEngine } from "@hybrid-access/core/engine/kernel/kernel-engine";
import { Epoll } from "@hybrid-access/core/platform/epoll";
import { appendQueueRule } from "@hybrid-access/core/platform/netlink/nftables-rule";
import { PacketWire } from "@hybrid-access/core/platform/packet-socket";
import { closeDescriptor, getOption, OPTION, readOption } from "@hybrid-access/core/platform/socket";
import { replaceTable } from "@hybrid-access/core/services/host/nftables";
import { MemoryRegistry } from "@hybrid-access/core/services/registry/memory";
import { Director } from "@hybrid-access/hag/farm/director";
import { addFarmRules } from "@hybrid-access/hag/farm/host-rules";
import { expect } from "chai";
import { Lab } from "../lab/lab.ts";
import { grantedReceiveBytes, socketsOpenedBy } from "../support/open-sockets.ts";

const MEBIBYTE = 1024 * 1024;
const QUEUE = 5124;
const QUEUED = 8192;
const SENT = 9000;
const FLOOD_LIMIT_MS = 10_000;
const LOOPBACK = ipAddress("127.0.0.1");

describe("what the kernel keeps for us", () => {
  let lab: Lab;

  before(async () => {
    lab = await Lab.up({ nodes: { host: {} }, links: [], routes: [] });
  });
  after(() => lab.down());

  function openDirector(): Director {
    const registry = new MemoryRegistry(() => performance.now());
    return lab.inside("host", () => new Director(registry, QUEUE, { holdMs: 20, joinsWithoutRegistry: "drop" }));
  }

  it("is 8192 packets for a director that is busy; those beyond pass as if nobody directed", async () => {
    lab.inside("host", () => {
      replaceTable("flood", "chain ask {\n}\nchain out { type filter hook output priority 0; udp dport 9 goto ask; }");
      appendQueueRule("flood", "ask", QUEUE);
    });
    const director = openDirector();
    try {
      // This thread, which is the director's, waits for it: nothing is read meanwhile.
      // Each from a socket of its own: what waits fills its sender's buffer.
      const flood = `for ((i = 0; i < ${SENT}; i++)); do echo > /dev/udp/127.0.0.1/9; done`;
      spawnSync(...lab.commandIn("host", ["bash", "-c", flood]), { timeout: FLOOD_LIMIT_MS });
      const queues = lab.inside("host", () => readFileSync("/proc/thread-self/net/netfilter/nfnetlink_queue", "utf8"));
      const [number, , waiting, , , dropped, lost] = queues.trim().split(/\s+/).map(Number);
      expect({ number, waiting, dropped, lost }).to.deep.equal({ number: QUEUE, waiting: QUEUED, dropped: 0, lost: 0 });
    } finally {
      director.close();
    }
  });

  it("is 4 MiB of packets and as much of copies that wait for a director, doubled for its own overhead", () => {
    const { result: director, opened } = socketsOpenedBy(openDirector);
    const buffers = opened.map((fd) => getOption(fd, OPTION.receiveBuffer));
    director.close();
    expect(buffers).to.deep.equal([grantedReceiveBytes(4 * MEBIBYTE), grantedReceiveBytes(4 * MEBIBYTE)]);
  });

  it("is 262,144 flows of each family, each for 10 minutes", async () => {
    const virtualAddresses = [ipAddress("10.9.9.9"), ipAddress("fd99::9")];
    lab.inside("host", () =>
      addFarmRules({ virtualAddresses, ports: [5124], directs: true, converts: true, taker: "sockets" }),
    );
    for (const map of ["flows4", "flows6"]) {
      const listed = await lab.run("host", ["nft", "list", "map", "inet", "hybrid_access_farm", map]);
      expect(listed)
        .to.match(/size 262144\n/)
        .and.to.match(/timeout 10m\n/);
    }
  });

  it("is 8 MiB for the packets of an emulated link, doubled for its own overhead", () => {
    const wire = lab.inside("host", () => new PacketWire("lo", new Uint8Array(6)));
    expect(getOption(wire.fd, OPTION.receiveBuffer)).to.equal(grantedReceiveBytes(8 * MEBIBYTE));
    closeDescriptor(wire.fd);
  });

  it("is the SYN of an intercepted connection, until it was read", () => {
    lab.inside("host", () => {
      const engine = new KernelEngine(new Epoll(16));
      const endpoint = { address: LOOPBACK, port: 5555 };
      const listener = engine.listen({ endpoint, protocol: "tcp", transparent: true });
      const { leg } = engine.connect({ peer: endpoint, protocol: "tcp" });
      const accepted = engine.accept(listener);
      expect(accepted).to.be.at.least(0);
      expect(engine.synDscp(accepted)).to.equal(0);
      expect(engine.synDscp(accepted)).to.equal(undefined);
      expect(readOption(accepted, OPTION.tcpSavedSyn, new Uint8Array(256))).to.equal(0);
      for (const open of [accepted, leg, listener]) engine.reset(open);
    });
  });

  it("are 4096 connections of a listener, and as many with data in their SYN, as far as the host allows", () => {
    lab.inside("host", () => {
      const engine = new KernelEngine(new Epoll(16));
      const port = 5556;
      const listener = engine.listen({ endpoint: { address: LOOPBACK, port }, protocol: "mptcp" });
      const { stdout } = spawnSync("ss", ["-Hltn", `sport = :${port}`], { encoding: "utf8" });
      const somaxconn = Number(readFileSync("/proc/sys/net/core/somaxconn", "utf8"));
      // Of a listener "Send-Q" is how many may wait.
      expect(Number(stdout.trim().split(/\s+/)[2])).to.equal(Math.min(4096, somaxconn));
      expect(getOption(listener, OPTION.tcpFastOpen)).to.equal(Math.min(4096, somaxconn));
      engine.reset(listener);
    });
  });

  it("are 8 MiB for what a Multipath TCP connection receives, accepted or opened, doubled for its own overhead", () => {
    lab.inside("host", () => {
      const engine = new KernelEngine(new Epoll(16));
      const peer = { address: LOOPBACK, port: 5557 };
      const listener = engine.listen({ endpoint: peer, protocol: "mptcp" });
      const { leg } = engine.connect({ peer, protocol: "mptcp" });
      const accepted = engine.accept(listener);
      expect(engine.isMultipath(accepted)).to.equal(true);
      for (const end of [listener, leg, accepted]) {
        expect(getOption(end, OPTION.receiveBuffer)).to.equal(grantedReceiveBytes(8 * MEBIBYTE));
        engine.reset(end);
      }
    });
  });
});
