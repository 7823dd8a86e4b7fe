import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { check } from "@hybrid-access/core/platform/errno";
import { closeDescriptor, listen } from "@hybrid-access/core/platform/socket";
import { ERROR_CODE } from "@hybrid-access/core/wire/convert/codes";
import { expect } from "chai";
import { ask, ConvertClient, connectTo, errorCode } from "../lab/convert-client.ts";
import { type ForgedSyn, Forger, MP_CAPABLE, PLAIN_OPTIONS } from "../lab/forged-syn.ts";
import { countSyns, GATEWAY, gatewayConfig, gatewayUp, resetSyns } from "../lab/gateway.ts";
import { holdPorts } from "../lab/held-ports.ts";
import type { Pair } from "../lab/pair.ts";
import { openPlainListener, StreamServer } from "../lab/stream.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
const WORKERS = 3;

/** Starts a lab for one group of tests. */
function lab(config: string) {
  const it: { pair: Pair; server: StreamServer } = {} as never;
  before(async () => {
    it.pair = await gatewayUp(config);
    it.server = new StreamServer(it.pair.lab, "srv", PORT);
  });
  after(async () => {
    await it.server?.close();
    await it.pair?.down();
  });
  return it;
}

async function counter(pair: Pair, name: string): Promise<number> {
  return (await pair.status("hag")).counters[name] ?? Number.NaN;
}

/** Opens `count` connections at once and waits until each has an answer, or none within `silentMs`. */
async function openMany(pair: Pair, count: number, first: Uint8Array, from: string, silentMs = 1000) {
  const clients = Array.from({ length: count }, () => new ConvertClient(pair.lab, first, { from }));
  const answered = clients.map((client) =>
    client.answer().then(
      ({ message }) => message !== undefined,
      () => false,
    ),
  );
  await Promise.race([Promise.all(answered), sleep(silentMs)]);
  return clients;
}

function refused(clients: readonly ConvertClient[]): ConvertClient[] {
  return clients.filter((client) => errorCode(client.outcome) === ERROR_CODE.resourceExceeded);
}

/** How long `count` connections take from the first SYN to the answer, sorted, in milliseconds; NaN for a failure. */
async function timesOf(it_: { readonly pair: Pair; readonly server: StreamServer }, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < count; round++) {
    const startMs = performance.now();
    const client = new ConvertClient(it_.pair.lab, connectTo(GATEWAY.server, PORT), {
      from: GATEWAY.neighbour,
      transport: "Multipath TCP",
    });
    const { message } = await client.answer().catch(() => ({ message: undefined }));
    const served = message?.[0]?.type === "extendedTcpHeader";
    times.push(served ? performance.now() - startMs : Number.NaN);
    client.reset();
    if (served) (await it_.server.accept()).destroy();
  }
  return times.sort((left, right) => left - right);
}

function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

describe("the gateway bounds each client over all its workers", function () {
  this.timeout(30_000);
  const it_ = lab(
    gatewayConfig("limits: { pending: 20, open: 30, newPerSecond: 400 }\ntimeouts: { header: 20s }", WORKERS),
  );

  async function idle(): Promise<void> {
    await eventually(5000, async () => expect(await counter(it_.pair, "connectionsActive")).to.equal(0));
  }

  for (const [family, client, neighbour, destination] of [
    ["IPv4", GATEWAY.client, GATEWAY.neighbour, GATEWAY.server],
    ["IPv6", GATEWAY.client6, GATEWAY.neighbour6, GATEWAY.server6],
  ] as const) {
    it(`${family}: pending connections, exactly; a neighbour is unaffected; they are free again at once`, async () => {
      const clients = await openMany(it_.pair, 40, new Uint8Array(), client);
      expect(refused(clients).length).to.equal(20);
      expect(errorCode(await ask(it_.pair.lab, connectTo(destination, PORT), { from: client }))).to.equal(64);
      expect(errorCode(await ask(it_.pair.lab, connectTo(destination, PORT), { from: neighbour }))).to.equal(undefined);
      (await it_.server.accept()).destroy();
      for (const each of clients) each.close();
      await idle();
      expect(errorCode(await ask(it_.pair.lab, connectTo(destination, PORT), { from: client }))).to.equal(undefined);
      (await it_.server.accept()).destroy();
      await idle();
    });

    it(`${family}: open connections, exactly; a neighbour is unaffected; they are free again at once`, async () => {
      const first = await openMany(it_.pair, 20, connectTo(destination, PORT), client);
      const second = await openMany(it_.pair, 20, connectTo(destination, PORT), client);
      expect(refused(first).length).to.equal(0);
      expect(refused(second).length).to.equal(10);
      expect(errorCode(await ask(it_.pair.lab, connectTo(destination, PORT), { from: neighbour }))).to.equal(undefined);
      for (const each of [...first, ...second]) each.close();
      for (let count = 0; count < 31; count++) (await it_.server.accept()).destroy();
      await idle();
      expect(errorCode(await ask(it_.pair.lab, connectTo(destination, PORT), { from: client }))).to.equal(undefined);
      (await it_.server.accept()).destroy();
      await idle();
    });
  }

  it("new connections in a second of the clock", async () => {
    const before = await counter(it_.pair, "clientLimitRefused");
    // Info is answered and gone at once, so neither pending nor open connections are in the way.
    const info = Uint8Array.of(1, 2, 0x22, 0x63, 1, 1, 0, 0);
    const startSecond = Math.floor(Date.now() / 1000);
    let sent = 0;
    while (sent < 1000) {
      const clients = await openMany(it_.pair, 10, info, GATEWAY.client);
      for (const each of clients) each.close();
      sent += 10;
    }
    const seconds = Math.floor(Date.now() / 1000) - startSecond + 1;
    const admitted = sent - ((await counter(it_.pair, "clientLimitRefused")) - before);
    expect(admitted).to.be.at.most(400 * seconds);
    expect(admitted).to.be.at.least(Math.min(400, sent));
    await idle();
  });
});

describe("the gateway under attack", function () {
  this.timeout(60_000);
  const it_ = lab(
    gatewayConfig(
      "maxConnections: 4096\nlimits: { pending: 4000, open: 8000, newPerSecond: 100000 }\ntimeouts: { header: 3s, connect: 4s }",
    ),
  );

  async function idle(): Promise<void> {
    await eventually(8000, async () => expect(await counter(it_.pair, "connectionsActive")).to.equal(0));
  }

  const legitimate = (count: number) => timesOf(it_, count);

  it("strangers hold at most a sixteenth of its slots; the others are reset at once", async () => {
    const clients = Array.from({ length: 400 }, () => {
      const client = new ConvertClient(it_.pair.lab, new Uint8Array(), { from: GATEWAY.stranger });
      return client;
    });
    const outcomes = await Promise.all(clients.map((client) => client.answer()));
    expect(outcomes.filter((outcome) => errorCode(outcome) === ERROR_CODE.notAuthorized).length).to.equal(256);
    expect(outcomes.filter(({ end }) => end === "ECONNRESET").length).to.equal(144);
    expect(await counter(it_.pair, "connectionsActive")).to.equal(256);
    expect((await legitimate(5)).some(Number.isNaN)).to.equal(false);
    // Their slots are free when they have closed, or 3 s later.
    await idle();
    expect(errorCode(await ask(it_.pair.lab, new Uint8Array(), { from: GATEWAY.stranger }))).to.equal(32);
    for (const client of clients) client.close();
  });

  it("a refused client that goes on sending is reset", async () => {
    const client = new ConvertClient(it_.pair.lab, connectTo("127.0.0.1", PORT));
    await client.answer();
    const flood = Buffer.alloc(100_000);
    // Node notices the reset only when it writes: the HAG has ended its stream, so nothing is read any more.
    const goOn = (error?: Error | null) => error || client.socket.write(flood, goOn);
    const closed = new Promise((resolve) => client.socket.once("close", resolve));
    const startMs = performance.now();
    goOn();
    await closed;
    // Not by the 3 s that a refused client has to close.
    expect(performance.now() - startMs).to.be.lessThan(2500);
    await idle();
  });

  /** A SYN with a Connect in it, from an address that nobody has. */
  function forged(index: number, over: Partial<ForgedSyn> = {}): ForgedSyn {
    return {
      from: `${GATEWAY.forged}${1 + (index % 250)}`,
      fromPort: 1024 + Math.floor(index / 250),
      to: GATEWAY.gateway,
      toPort: GATEWAY.port,
      sequence: 1000 + index,
      options: index % 2 === 0 ? PLAIN_OPTIONS : [...PLAIN_OPTIONS, MP_CAPABLE],
      payload: connectTo(GATEWAY.server, PORT),
      ...over,
    };
  }

  async function withForger<Result>(action: (forger: Forger) => Promise<Result>): Promise<Result> {
    const forger = new Forger(it_.pair.lab, "cli");
    try {
      return await action(forger);
    } finally {
      forger.close();
    }
  }

  it("a forged SYN with a Connect in it opens one connection, and gets no answer before its handshake ends", async () => {
    const table =
      "table inet sent { counter toForged { }\n chain output { type filter hook output priority 0\n ip daddr 10.1.9.0/24 tcp flags & (syn | rst) == 0 counter name toForged\n }\n}\n";
    await it_.pair.lab.run("hag", ["nft", "-f", "-"], { input: table });
    await withForger(async (forger) => {
      for (const options of [PLAIN_OPTIONS, [...PLAIN_OPTIONS, MP_CAPABLE]]) {
        forger.send(forged(0, { options, fromPort: options.length }));
        const far = await it_.server.accept();
        far.write("a greeting that nobody asked for");
        far.resume();
        await new Promise((resolve) => far.once("close", resolve));
      }
    });
    const listing = await it_.pair.lab.run("hag", ["nft", "list", "counter", "inet", "sent", "toForged"]);
    expect(listing).to.contain("packets 0 ");
    await idle();
  });

  it("a SYN with data that is sent five times opens one connection", async () => {
    const before = it_.server.connections;
    await withForger(async (forger) => {
      for (let copies = 0; copies < 5; copies++) forger.send(forged(1));
      (await it_.server.accept()).destroy();
      await idle();
    });
    expect(it_.server.connections - before).to.equal(1);
  });

  it("a captured SYN with data, replayed while its connection lives, opens no second one", async () => {
    const before = it_.server.connections;
    const client = new ConvertClient(it_.pair.lab, connectTo(GATEWAY.server, PORT), { fastOpen: true });
    await client.answer();
    const far = await it_.server.accept();
    await withForger(async (forger) => {
      for (const sequence of [1, 0x7fffffff]) {
        forger.send(forged(0, { from: GATEWAY.client, fromPort: client.socket.localPort ?? 0, sequence }));
      }
      far.write("still here");
      expect((await client.payload(10)).toString()).to.equal("still here");
    });
    expect(it_.server.connections - before).to.equal(1);
    client.reset();
    await idle();
  });

  it("forged SYNs toward a server that does not answer: no more SYNs out than in", async () => {
    await resetSyns(it_.pair);
    await withForger(async (forger) => {
      for (let index = 0; index < 200; index++) forger.send(forged(index, { payload: connectTo(GATEWAY.dark, PORT) }));
      await eventually(2000, async () => expect(await countSyns(it_.pair)).to.equal(200));
      // Each is dropped before its SYN would be repeated, and given up when the client has not ended its handshake.
      await idle();
    });
    expect(await countSyns(it_.pair)).to.equal(200);
  });

  it("a client that ended its handshake gets repeated SYNs until timeouts.connect, then error 65", async () => {
    await resetSyns(it_.pair);
    expect(errorCode(await ask(it_.pair.lab, connectTo(GATEWAY.dark, PORT)))).to.equal(ERROR_CODE.networkFailure);
    const syns = await countSyns(it_.pair);
    console.log(`      ${syns} SYNs in 4 s`);
    expect(syns).to.be.within(2, 5);
    await idle();
    expect(await countSyns(it_.pair)).to.equal(syns);
  });

  it("a flood of SYNs, with and without data, plain and MP_CAPABLE: legitimate connections go on, memory is flat", async () => {
    const residentBytes = () => {
      const status = readFileSync(`/proc/${it_.pair.daemon("hag").process.pid}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
    };
    await legitimate(50);
    const before = residentBytes();
    let sent = 0;
    const times = await withForger(async (forger) => {
      const timer = setInterval(() => {
        for (let count = 0; count < 100; count++, sent++) {
          const payload = sent % 4 < 2 ? new Uint8Array() : connectTo(GATEWAY.dark, PORT);
          forger.send(forged(sent, { payload }));
        }
      }, 5);
      try {
        const measured: number[] = [];
        while (sent < 40_000) measured.push(...(await legitimate(20)));
        return measured;
      } finally {
        clearInterval(timer);
      }
    });
    const served = times.filter((time) => !Number.isNaN(time)).length;
    const grown = residentBytes() - before;
    console.log(
      `      ${served} of ${times.length} served beside ${sent} forged SYNs; ${(grown / 1e6).toFixed(1)} MB more`,
    );
    expect(served / times.length).to.be.at.least(0.99);
    expect(grown).to.be.lessThan(64 * 1024 * 1024);
    await idle();
  });
});

describe("the gateway beside clients whose Convert message never comes whole", function () {
  this.timeout(60_000);
  const DRIBBLERS = 5000;
  const HEADER_MS = 6000;
  const it_ = lab(
    gatewayConfig(
      `maxConnections: 8192\nlimits: { pending: 6000, open: 8000, newPerSecond: 100000 }\ntimeouts: { header: ${HEADER_MS}ms }`,
    ),
  );

  it(`cuts ${DRIBBLERS} of them in time, and others do not notice`, async () => {
    const quiet = await timesOf(it_, 200);
    const startMs = performance.now();
    const dribblers = Array.from(
      { length: DRIBBLERS },
      () => new ConvertClient(it_.pair.lab, Uint8Array.of(1), { from: GATEWAY.client }),
    );
    await eventually(HEADER_MS, async () => expect(await counter(it_.pair, "connectionsActive")).to.equal(DRIBBLERS));
    const openedMs = performance.now();
    const busy = await timesOf(it_, 200);
    const ends = await Promise.all(
      dribblers.map(async (client) => ({ ...(await client.ended()), ms: performance.now() })),
    );
    for (const [name, share] of [
      ["p50", 0.5],
      ["p99", 0.99],
    ] as const) {
      const [alone, beside] = [quiet, busy].map((times) => percentile(times, share).toFixed(1));
      console.log(`      connect ${name}: ${alone} ms alone, ${beside} ms beside ${DRIBBLERS} dribblers`);
    }
    expect(ends.every(({ end }) => end === "ECONNRESET")).to.equal(true);
    expect(Math.min(...ends.map(({ ms }) => ms)) - startMs).to.be.at.least(HEADER_MS);
    expect(Math.max(...ends.map(({ ms }) => ms)) - openedMs).to.be.at.most(HEADER_MS + 1000);
    expect(busy.some(Number.isNaN)).to.equal(false);
    // Both ends and the HAG share this machine's cores with all else it does: a bound on the slowest is about the machine.
    expect(percentile(busy, 0.5)).to.be.at.most(2 * percentile(quiet, 0.5) + 10);
    await eventually(8000, async () => expect(await counter(it_.pair, "connectionsActive")).to.equal(0));
  });
});

describe("the gateway without a free port toward a server", function () {
  this.timeout(60_000);
  const it_ = lab(gatewayConfig("limits: { pending: 2000 }"));

  it("answers error 64, stays responsive, and goes on when ports are free again", async () => {
    await it_.pair.lab.run("hag", ["sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40019"]);
    const request = connectTo(GATEWAY.server, PORT);
    const clients = await openMany(it_.pair, 200, request, GATEWAY.client, 5000);
    expect(refused(clients).length).to.equal(180);
    // Another destination has its own ports.
    expect(errorCode(await ask(it_.pair.lab, connectTo(GATEWAY.server6, PORT)))).to.equal(undefined);
    // In order, client first: the ports go through TIME-WAIT at the HAG.
    for (const client of clients) client.socket.end();
    for (let count = 0; count < 21; count++) (await it_.server.accept()).resume().end();
    await eventually(5000, async () => {
      expect(errorCode(await ask(it_.pair.lab, request))).to.equal(undefined);
    });
  });

  describe("of 30,000 ports", () => {
    /** Nobody accepts there: connections wait in the listen queue, without a descriptor of the server's. */
    const HELD_PORT = 7001;
    const FIRST_PORT = 20_000;
    const PORTS = 30_000;
    const HOLDERS = 2;
    const HELD = 14_900;
    const TOO_MANY = 100;
    const WANTED = PORTS - HOLDERS * HELD + TOO_MANY;
    const LISTEN_QUEUE = 65_535;
    /** The gateway takes it for granted so long that no port is free; and the time to ask. */
    const SHORTAGE_MS = 100 + 1000;
    let listener: number;

    before(async () => {
      const { lab } = it_.pair;
      await lab.run("srv", ["sysctl", "-qw", `net.core.somaxconn=${LISTEN_QUEUE}`]);
      await lab.run("hag", ["sysctl", "-qw", `net.ipv4.ip_local_port_range=${FIRST_PORT} ${FIRST_PORT + PORTS - 1}`]);
      listener = lab.inside("srv", () => openPlainListener(HELD_PORT));
      check(listen(listener, LISTEN_QUEUE), "listen");
    });
    after(() => closeDescriptor(listener));

    it(`has ${PORTS} connections to one destination and not one more, others meanwhile, and goes on when ports are free`, async () => {
      const { lab } = it_.pair;
      const { connectFailures = 0, clientLimitRefused = 0 } = (await it_.pair.status("hag")).counters;
      const holders = await Promise.all(
        Array.from({ length: HOLDERS }, (_, index) => {
          const first = FIRST_PORT + index * HELD;
          return holdPorts(lab, "hag", { address: GATEWAY.server, port: HELD_PORT, first, count: HELD });
        }),
      );
      const request = connectTo(GATEWAY.server, HELD_PORT);
      const clients = await openMany(it_.pair, WANTED, request, GATEWAY.client, 20_000);
      expect(refused(clients).length).to.equal(TOO_MANY);
      expect((await it_.pair.status("hag")).counters).to.include({
        connectFailures: connectFailures + TOO_MANY,
        clientLimitRefused,
      });
      expect(errorCode(await ask(lab, connectTo(GATEWAY.server, PORT)))).to.equal(undefined);
      for (const release of holders) await release();
      await eventually(SHORTAGE_MS, async () => expect(errorCode(await ask(lab, request))).to.equal(undefined));
      for (const client of clients) client.reset();
    });
  });
});
