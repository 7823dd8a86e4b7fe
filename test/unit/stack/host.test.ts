import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { ROUND_ROBIN } from "@hybrid-access/core/policy/scheduler/round-robin";
import { StackHost } from "@hybrid-access/core/stack/host";
import type { MptcpConnection } from "@hybrid-access/core/stack/mptcp/connection";
import { DEFAULT_MPTCP_SETTINGS } from "@hybrid-access/core/stack/mptcp/settings";
import { ANSWERS_PER_SECOND, MOST_ANSWERS } from "@hybrid-access/core/stack/outgoing-packet";
import { emitIcmpError } from "@hybrid-access/core/wire/icmp";
import { parseIpPacket } from "@hybrid-access/core/wire/ip-packet";
import type { SegmentOption } from "@hybrid-access/core/wire/tcp/options";
import { emitTcpPacket, parseTcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import { expect } from "chai";
import { HostPair, readAll, seededPorts } from "./host-pair.ts";
import { pattern } from "./tcp/tcp-pair.ts";

const { syn: SYN, ack: ACK, rst: RST } = TCP_FLAG;

/** A segment from some address to the server's port 443. */
function forged(pair: HostPair, number: number, part: Partial<TcpSegment> = {}): Uint8Array {
  const source = ipAddress(`10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`);
  const common = { source, destination: pair.serverAddress, protocol: 6, trafficClass: 0, hopLimit: 64 };
  const capable: SegmentOption = { type: "capable", version: 1, flags: 1 };
  const segment: TcpSegment = {
    sourcePort: 1024 + (number % 60_000),
    destinationPort: 443,
    sequence: number * 7919,
    acknowledgment: 0,
    flags: SYN,
    window: 65_535,
    urgentPointer: 0,
    options: [{ type: "maximumSegmentSize", bytes: 1460 }, capable],
    payload: new Uint8Array(0),
    ...part,
  };
  return emitTcpPacket({ ip: { family: "ipv4", ...common, identification: 0, dontFragment: true }, segment });
}

function segmentOf(packet: Uint8Array): TcpSegment {
  const parsed = parseTcpPacket(packet);
  if (typeof parsed === "string") throw new Error(parsed);
  return parsed.segment;
}

/** What a router says of a packet that it has no way for. */
function unreachable(packet: Uint8Array): Uint8Array {
  const ip = parseIpPacket(packet);
  if (typeof ip === "string") throw new Error(ip);
  const header = { ...ip, source: ipAddress("192.0.2.254"), destination: ip.source };
  return emitIcmpError(header, { type: "unreachable", code: 0 }, packet);
}

/** Accepts and answers each byte with one, on as many connections as come. */
function serve(pair: HostPair): MptcpConnection[] {
  const listener = pair.server.listen(443);
  const accepted: MptcpConnection[] = [];
  const run = pair.run.bind(pair);
  pair.run = (done, limitMs) =>
    run(() => {
      for (let one = listener.accept(); one !== undefined; one = listener.accept()) accepted.push(one);
      for (const connection of accepted) {
        const bytes = readAll(connection);
        if (bytes > 0) connection.write(pattern(bytes), pair.nowMs);
        for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent()) {
          if (event.type === "ended") connection.shutdownWrite(pair.nowMs);
        }
      }
      return done();
    }, limitMs);
  return accepted;
}

describe("stack/host", () => {
  it("takes another scheduler for connections that begin from then on, in both directions and of both families", () => {
    for (const family of ["ipv4", "ipv6"] as const) {
      const pair = new HostPair(family);
      const listener = pair.server.listen(443);
      const remote = { address: pair.serverAddress, port: 443 };
      const open = () => pair.client.connect(pair.clientAddress, remote, pair.nowMs);
      const schedulerOf = (connection: MptcpConnection | undefined) =>
        connection?.parts.session.settings.scheduler.name;
      const accept = () => {
        let made: MptcpConnection | undefined;
        pair.run(() => {
          made ??= listener.accept();
          return made !== undefined;
        }, 1000);
        return made;
      };
      const before = open();
      const acceptedBefore = accept();
      for (const host of [pair.client, pair.server]) host.configure({ scheduler: ROUND_ROBIN });
      const [after, acceptedAfter] = [open(), accept()];
      const names = [before, acceptedBefore, after, acceptedAfter].map(schedulerOf);
      expect(names).to.deep.equal(["lowest-rtt", "lowest-rtt", "round-robin", "round-robin"]);
    }
  });

  it("forgets a connection whose TIME-WAIT a new one of the same ends has cut short", () => {
    const pair = new HostPair();
    const listener = pair.server.listen(443);
    const remote = { address: pair.serverAddress, port: 443 };
    const accepted: MptcpConnection[] = [];
    for (let count = 1; count <= 3; count++) {
      const client = pair.client.connect(pair.clientAddress, remote, pair.nowMs, {
        localPort: 50_000,
        multipath: false,
      });
      pair.run(() => {
        const one = listener.accept();
        if (one !== undefined) accepted.push(one);
        return accepted.length === count;
      }, 1000);
      // The server ends first, and is left with TIME-WAIT.
      accepted.at(-1)?.shutdownWrite(pair.nowMs);
      pair.run(() => false, 100);
      client?.shutdownWrite(pair.nowMs);
      pair.run(() => false, 1000);
      expect(client?.closeReason).to.equal("finished");
      expect(pair.server.size).to.equal(1);
    }
    pair.run(() => false, 120_000);
    expect([pair.client.size, pair.server.size]).to.deep.equal([0, 0]);
  });

  for (const family of ["ipv4", "ipv6"] as const) {
    it(`carries many connections at once, and forgets them when they are over (${family})`, () => {
      const pair = new HostPair(family);
      const accepted = serve(pair);
      const remote = { address: pair.serverAddress, port: 443 };
      const connections = Array.from({ length: 100 }, (_, index) =>
        pair.client.connect(pair.clientAddress, remote, pair.nowMs, { multipath: index % 2 === 0 }),
      ).filter((one) => one !== undefined);
      expect(connections.length).to.equal(100);
      const answered = new Map<MptcpConnection, number>();
      for (const connection of connections) {
        connection.write(pattern(20_000), pair.nowMs);
        connection.shutdownWrite(pair.nowMs);
      }
      const done = () => {
        for (const one of connections) answered.set(one, (answered.get(one) ?? 0) + readAll(one));
        return pair.client.size === 0 && pair.server.size === 0;
      };
      expect(pair.run(done)).to.equal(true);
      expect(Array.from(answered.values()).every((bytes) => bytes === 20_000)).to.equal(true);
      expect(accepted.filter(({ isMultipath }) => isMultipath).length).to.equal(50);
      expect([pair.client.pollTimeout(), pair.server.pollTimeout()]).to.deep.equal([undefined, undefined]);
    });
  }

  it("keeps a bounded number of half-open connections in a flood of SYNs, and serves who answers, as Multipath TCP", () => {
    const pair = new HostPair();
    const accepted = serve(pair);
    pair.passes = (packet, up) => up || (segmentOf(packet).flags & SYN) === 0 || packet[16] === 192;
    for (let number = 1; number <= 3000; number++) pair.inject(forged(pair, number));
    pair.run(() => false, 5);
    expect(pair.server.size).to.equal(1024);
    const remote = { address: pair.serverAddress, port: 443 };
    const connections = [true, true, false].map((multipath) =>
      pair.client.connect(pair.clientAddress, remote, pair.nowMs, { multipath }),
    );
    let answers = 0;
    for (const connection of connections) connection?.write(pattern(50_000), pair.nowMs);
    const done = () => {
      for (const connection of connections) answers += connection === undefined ? 0 : readAll(connection);
      return answers === 150_000;
    };
    expect(pair.run(done, 20_000)).to.equal(true);
    expect(accepted.map(({ isMultipath }) => isMultipath).toSorted()).to.deep.equal([false, true, true]);
    const types = accepted.map(({ subflows }) => subflows[0]?.tcp.sender.segmentBytes);
    expect(Math.max(...types.map((bytes) => bytes ?? 0))).to.be.above(1300);
    // Who has not answered is forgotten in the end.
    for (const connection of [...connections, ...accepted]) connection?.reset(pair.nowMs);
    pair.run(() => false, 200_000);
    expect([pair.server.size, pair.server.pollTimeout()]).to.deep.equal([0, undefined]);
    for (let number = 1; number <= 500; number++) pair.inject(forged(pair, number));
    pair.run(() => false, 5);
    expect(pair.server.size).to.equal(500);
  });

  it("resets what was not accepted when it listens no more", () => {
    const pair = new HostPair();
    pair.server.listen(443);
    const remote = { address: pair.serverAddress, port: 443 };
    const connection = pair.client.connect(pair.clientAddress, remote, pair.nowMs);
    pair.run(() => connection?.isConnected === true);
    pair.run(() => false, 100);
    pair.server.unlisten(443, pair.nowMs);
    expect(pair.run(() => connection?.closeReason !== undefined, 1000)).to.equal(true);
    expect(connection?.closeReason).to.equal("reset");
    expect(pair.run(() => pair.server.size === 0, 100)).to.equal(true);
  });

  it("answers every SYN of a flood with a cookie, however many come in a second", () => {
    const pair = new HostPair();
    serve(pair);
    let answers = 0;
    pair.passes = (packet, up) => {
      if (!up && (segmentOf(packet).flags & SYN) !== 0) answers += 1;
      return up;
    };
    for (let number = 1; number <= 10_000; number++) {
      pair.inject(forged(pair, number));
      if (number % 64 === 0) pair.run(() => false, 1);
    }
    pair.run(() => false, 5);
    expect(answers).to.equal(10_000);
  });

  it("keeps a bounded number of SYN-ACKs that wait, where nothing can be sent", () => {
    const pair = new HostPair();
    serve(pair);
    for (let number = 1; number <= 2000; number++) pair.server.onPacket(pair.nowMs, forged(pair, number));
    let waiting = 0;
    for (let out = pair.server.pollPacket(pair.nowMs); out !== undefined; out = pair.server.pollPacket(pair.nowMs)) {
      if ((out.segment.flags & SYN) !== 0) waiting += 1;
    }
    expect(waiting).to.equal(1024 + MOST_ANSWERS);
  });

  it("opens only connections whose tokens are its own, by cookies too, where several hosts share an address", () => {
    const pair = new HostPair();
    const owns = (token: number) => token % 4 === 3;
    const share = { owns, pass: () => true };
    const options = { settings: DEFAULT_MPTCP_SETTINGS, ports: seededPorts(9), mtuBytes: 1500, mostConnections: 100 };
    pair.server = new StackHost({ ...options, share });
    const listener = pair.server.listen(443, { mostHalfOpen: 0 });
    const remote = { address: pair.serverAddress, port: 443 };
    for (let count = 0; count < 20; count++) pair.client.connect(pair.clientAddress, remote, pair.nowMs);
    const accepted: MptcpConnection[] = [];
    const done = () => {
      for (let one = listener.accept(); one !== undefined; one = listener.accept()) accepted.push(one);
      return accepted.length === 20;
    };
    expect(pair.run(done, 1000)).to.equal(true);
    expect(accepted.every(({ isMultipath, token }) => isMultipath && owns(token))).to.equal(true);
  });

  for (const refuseJoins of [true, false]) {
    it(`says in a SYN-ACK with a cookie too that joins to its address are ${refuseJoins ? "not " : ""}wanted (flag C)`, () => {
      const pair = new HostPair("ipv4", { refuseJoins });
      const listener = pair.server.listen(443, { mostHalfOpen: 0 });
      const remote = { address: pair.serverAddress, port: 443 };
      const connection = pair.client.connect(pair.clientAddress, remote, pair.nowMs);
      expect(pair.run(() => listener.accept() !== undefined, 1000)).to.equal(true);
      expect(connection?.parts.session.peerRefusesJoins).to.equal(refuseJoins);
    });
  }

  it("takes no third segment whose cookie is not ours", () => {
    const pair = new HostPair();
    serve(pair);
    for (let number = 1; number <= 1025; number++) pair.inject(forged(pair, number));
    pair.run(() => false, 5);
    const size = pair.server.size;
    for (let number = 2000; number < 12_000; number++) {
      pair.inject(forged(pair, number, { flags: ACK, acknowledgment: (number * 2_654_435_761) >>> 0 }));
    }
    pair.run(() => false, 5);
    expect(pair.server.size).to.equal(size);
  });

  it("answers what belongs to nobody with a reset, but at most a thousand times a second", () => {
    const pair = new HostPair();
    const answers: TcpSegment[] = [];
    pair.passes = (packet) => {
      answers.push(segmentOf(packet));
      return false;
    };
    for (let number = 1; number <= 5000; number++) {
      pair.inject(forged(pair, number, { flags: ACK }));
      if (number % 100 === 0) pair.run(() => false, 1);
    }
    expect(answers.length).to.equal(ANSWERS_PER_SECOND);
    expect(answers.every(({ flags }) => flags === RST)).to.equal(true);
    expect(pair.server.refusals.get("notOurs")).to.equal(5000);
  });

  it("resets joins whose token nobody has, and keeps nothing of them", () => {
    const pair = new HostPair();
    serve(pair);
    const answers: TcpSegment[] = [];
    pair.passes = (packet) => {
      answers.push(segmentOf(packet));
      return false;
    };
    for (let number = 1; number <= 500; number++) {
      const join: SegmentOption = { type: "joinSyn", backup: false, addressId: 1, token: number * 99_991, nonce: 5 };
      pair.inject(forged(pair, number, { options: [join] }));
      pair.run(() => false, 1);
    }
    expect(pair.server.size).to.equal(0);
    expect(answers.length).to.equal(500);
    expect(answers.every(({ flags }) => flags === (RST | ACK))).to.equal(true);
  });

  it("opens further subflows, which find their connection by its token", () => {
    const pair = new HostPair();
    const accepted = serve(pair);
    const remote = { address: pair.serverAddress, port: 443 };
    const connection = pair.client.connect(pair.clientAddress, remote, pair.nowMs);
    if (connection === undefined) throw new Error("not opened");
    connection.write(pattern(1000), pair.nowMs);
    pair.run(() => connection.readableBytes === 1000);
    const path = { remote, localAddressId: 1, remoteAddressId: 0, backup: false };
    expect(pair.client.join(connection, path, ipAddress("192.0.2.77"), pair.nowMs)).to.be.an("object");
    expect(pair.run(() => accepted[0]?.subflows.length === 2, 1000)).to.equal(true);
    connection.reset(pair.nowMs);
    expect(pair.run(() => pair.client.size === 0 && pair.server.size === 0, 1000)).to.equal(true);
  });

  it("takes no more connections than allowed", () => {
    const pair = new HostPair("ipv4", {}, 10);
    serve(pair);
    const remote = { address: pair.serverAddress, port: 443 };
    const opened = Array.from({ length: 12 }, () => pair.client.connect(pair.clientAddress, remote, pair.nowMs));
    expect(opened.filter((one) => one !== undefined).length).to.equal(10);
    for (let number = 1; number <= 12; number++) pair.inject(forged(pair, number));
    pair.run(() => false, 5);
    expect(pair.server.size).to.equal(10);
    expect(pair.server.refusals.get("tooManyConnections")).to.equal(2);
  });

  it("keeps a quarter of its connections for those in TIME-WAIT at most, of which the oldest goes", () => {
    const pair = new HostPair("ipv4", {}, 40);
    serve(pair);
    const remote = { address: pair.serverAddress, port: 443 };
    const ports: number[] = [];
    for (let count = 0; count < 60; count++) {
      const connection = pair.client.connect(pair.clientAddress, remote, pair.nowMs, { multipath: count % 2 === 0 });
      if (connection === undefined) throw new Error(`no room for connection ${count}`);
      ports.push(connection.subflows[0]?.tcp.local.port ?? 0);
      connection.shutdownWrite(pair.nowMs);
      pair.run(() => connection.closeReason !== undefined, 5000);
      expect(connection.closeReason).to.equal("finished");
    }
    const isKept = (host: StackHost, port: number) =>
      !host.isFree({ address: pair.clientAddress, port }, remote) ||
      !host.isFree(remote, { address: pair.clientAddress, port });
    for (const host of [pair.client, pair.server]) expect(host.size).to.be.at.most(10);
    const kept = ports.map((port) => isKept(pair.client, port) || isKept(pair.server, port));
    expect(kept.slice(0, 40).includes(true)).to.equal(false);
    expect(kept.slice(-10).filter(Boolean).length).to.be.at.least(9);
    expect(pair.run(() => pair.client.size + pair.server.size === 0, 61_000)).to.equal(true);
  });

  it("answers no SYN while 4096 connections wait to be accepted, and again when one of them is", () => {
    const pair = new HostPair();
    const listener = pair.server.listen(443, { fastOpen: "always" });
    // With data in its SYN a connection can be accepted at once.
    const payload = pattern(10);
    for (let number = 1; number <= 4096 + 5; number++) {
      pair.server.onPacket(pair.nowMs, forged(pair, number, { payload, options: [] }));
    }
    expect([listener.waiting, pair.server.size]).to.deep.equal([4096, 4096]);
    expect(pair.server.refusals.get("listenerFull")).to.equal(5);
    expect(listener.accept()).to.be.an("object");
    pair.server.onPacket(pair.nowMs, forged(pair, 5000, { payload }));
    expect(listener.waiting).to.equal(4096);
  });

  it("does not reset who comes back with a SYN cookie while as many wait as may: it is taken when there is room", () => {
    const pair = new HostPair();
    const listener = pair.server.listen(443, { mostHalfOpen: 0, mostWaiting: 1 });
    const remote = { address: pair.serverAddress, port: 443 };
    const connections = [1, 2].map(() =>
      pair.client.connect(pair.clientAddress, remote, pair.nowMs, { multipath: false }),
    );
    for (const connection of connections) connection?.write(pattern(100), pair.nowMs);
    pair.run(() => false, 1000);
    expect(listener.waiting).to.equal(1);
    expect(pair.server.refusals.get("listenerFull")).to.be.above(0);
    const accepted = [listener.accept()];
    expect(pair.run(() => listener.waiting === 1, 10_000)).to.equal(true);
    accepted.push(listener.accept());
    expect(pair.run(() => accepted.every((one) => one?.readableBytes === 100), 10_000)).to.equal(true);
    expect(connections.map((connection) => connection?.closeReason)).to.deep.equal([undefined, undefined]);
  });

  it("gives Fast Open cookies, and takes data with them; with a wrong one it does not", () => {
    const pair = new HostPair();
    const listener = pair.server.listen(443, { fastOpen: "cookie" });
    const remote = { address: pair.serverAddress, port: 443 };
    const firstBytes = pattern(400);
    const connect = (host: StackHost) => {
      const connection = host.connect(pair.clientAddress, remote, pair.nowMs, { fastOpen: "cookie", firstBytes });
      const sinceMs = pair.nowMs;
      let accepted: MptcpConnection | undefined;
      pair.run(() => {
        accepted ??= listener.accept();
        return (accepted?.readableBytes ?? 0) === 400;
      }, 2000);
      connection?.reset(pair.nowMs);
      const tookMs = pair.nowMs - sinceMs;
      pair.run(() => false, 100);
      return tookMs;
    };
    expect(connect(pair.client)).to.equal(30);
    expect(connect(pair.client)).to.equal(10);
    expect(connect(pair.client)).to.equal(10);
  });

  it("gives an attempt up that a router answers with an ICMP error, and believes none about anything else (RFC 5927)", () => {
    const pair = new HostPair();
    serve(pair);
    const remote = { address: pair.serverAddress, port: 443 };
    const sent: Uint8Array[] = [];
    pair.passes = (packet, up) => {
      if (up) sent.push(packet);
      return false;
    };
    const connection = pair.client.connect(pair.clientAddress, remote, pair.nowMs);
    pair.run(() => sent.length > 0);
    const syn = sent[0] ?? new Uint8Array();
    const forgedSyn = syn.slice();
    forgedSyn[27] = (forgedSyn[27] ?? 0) ^ 1;
    pair.client.onPacket(pair.nowMs, unreachable(forgedSyn));
    pair.run(() => false, 5);
    expect(connection?.closeReason).to.equal(undefined);
    pair.client.onPacket(pair.nowMs, unreachable(syn));
    pair.run(() => false, 5);
    expect([connection?.closeReason, pair.client.size]).to.deep.equal(["unreachable", 0]);

    pair.passes = (packet, up) => {
      if (up) sent.push(packet);
      return true;
    };
    const established = pair.client.connect(pair.clientAddress, remote, pair.nowMs);
    expect(pair.run(() => established?.isConnected === true)).to.equal(true);
    for (const packet of sent) pair.client.onPacket(pair.nowMs, unreachable(packet));
    pair.run(() => false, 5);
    expect(established?.closeReason).to.equal(undefined);
  });

  it("takes any packet without falling over: mutations of real ones", () => {
    const pair = new HostPair();
    serve(pair);
    const remote = { address: pair.serverAddress, port: 443 };
    const connection = pair.client.connect(pair.clientAddress, remote, pair.nowMs);
    const seen: Uint8Array[] = [];
    pair.passes = (packet) => seen.push(packet) > 0;
    connection?.write(pattern(30_000), pair.nowMs);
    pair.run(() => (connection?.readableBytes ?? 0) > 20_000, 5000);
    const random = seededPorts(9);
    const victim = new StackHost({
      settings: DEFAULT_MPTCP_SETTINGS,
      ports: seededPorts(3),
      mtuBytes: 1500,
      mostConnections: 50,
    });
    victim.listen(443);
    for (let count = 0; count < 20_000; count++) {
      const [pick = 0, at = 0, value = 0, more = 0] = random.randomBytes(4);
      const packet = (seen[pick % seen.length] ?? new Uint8Array(0)).slice();
      packet[20 + (at % 60)] = value;
      if (more > 128) packet[20 + (more % 40)] = at;
      const parsed = parseTcpPacket(packet, false);
      // With a sound checksum, so that it is not only the checksum that is tested.
      const bytes = typeof parsed === "string" ? packet : emitTcpPacket(parsed);
      for (const host of [victim, pair.server]) {
        host.onPacket(pair.nowMs + count, bytes);
        for (let polls = 0; host.pollTransmit(pair.nowMs + count) !== undefined; polls++)
          expect(polls).to.be.below(1000);
      }
    }
    expect(victim.size).to.be.at.most(50);
  });
});
