/** What every engine must do with legs. */
import { equalEndpoints, formatEndpoint, formatIpAddress } from "@hybrid-access/core/base/ip-address";
import { READY, WOULD_BLOCK } from "@hybrid-access/core/engine/engine";
import { ERRNO } from "@hybrid-access/core/platform/errno";
import { TCP_OPTION } from "@hybrid-access/core/wire/tcp-options";
import { expect } from "chai";
import { pattern } from "../lab/stream.ts";
import { accepted, type Bench, type Check, End, freshPort, waitFor, withConnection } from "./bench.ts";

const MOST_IN_FLIGHT_BYTES = 256 * 1024 * 1024;

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

const OPENING: Check[] = [
  {
    name: "says of each capability that it is there, or why not",
    run: async ({ client }) => {
      for (const [name, capability] of Object.entries(client.engine.capabilities)) {
        if (!capability.available) expect(capability.reason, name).to.match(/\w{3,}/);
      }
    },
  },
  ...(["ipv4", "ipv6"] as const).map(
    (family): Check => ({
      name: `knows both ends of a connection over ${family}`,
      run: (bench) =>
        withConnection(bench, { family }, async ({ client, server, peer }) => {
          const { engine } = bench.client;
          expect(formatEndpoint(engine.remoteEndpoint(client.leg) ?? peer)).to.equal(formatEndpoint(peer));
          const local = engine.localEndpoint(client.leg);
          if (local === undefined) throw new Error("the client's leg has no local end");
          expect(formatIpAddress(local.address)).to.equal(formatIpAddress(bench.client.address[family]));
          const seen = bench.server.engine.remoteEndpoint(server.leg);
          expect(seen && equalEndpoints(seen, local)).to.equal(true);
          expect(formatEndpoint(bench.server.engine.localEndpoint(server.leg) ?? local)).to.equal(formatEndpoint(peer));
        }),
    }),
  ),
  {
    name: "says that there is nothing to accept",
    run: async (bench) => {
      const { server } = bench;
      const endpoint = { address: server.address.ipv4, port: freshPort() };
      const leg = server.inside(() => server.engine.listen({ endpoint, protocol: "mptcp" }));
      expect(server.engine.accept(leg)).to.equal(WOULD_BLOCK);
      server.engine.close(leg);
    },
  },
  {
    name: "throws when an address to listen on is not there",
    run: async ({ server, silent }) => {
      const listen = () =>
        server.engine.listen({ endpoint: { address: silent, port: freshPort() }, protocol: "mptcp" });
      expect(() => server.inside(listen))
        .to.throw()
        .with.property("code", "EADDRNOTAVAIL");
    },
  },
  {
    name: "reports a refused connection by readiness and takeError",
    run: async (bench) => {
      const { client, server } = bench;
      const peer = { address: server.address.ipv4, port: freshPort() };
      const end = new End(bench, client, client.inside(() => client.engine.connect({ peer, protocol: "mptcp" })).leg);
      await end.ready(READY.error | READY.hangUp);
      expect(client.engine.takeError(end.leg)).to.equal(ERRNO.ECONNREFUSED);
      expect(client.engine.takeError(end.leg), "asked again").to.equal(0);
      end.close();
    },
  },
  {
    name: "reports a destination that a router calls unreachable",
    run: async (bench) => {
      const { client, unreachable } = bench;
      for (const protocol of ["mptcp", "tcp"] as const) {
        const peer = { address: unreachable, port: freshPort() };
        const end = new End(bench, client, client.inside(() => client.engine.connect({ peer, protocol })).leg);
        await end.ready(READY.error | READY.hangUp);
        expect(client.engine.takeError(end.leg)).to.equal(ERRNO.EHOSTUNREACH);
        end.close();
      }
    },
  },
  {
    name: "does not call a connection established before the peer has answered",
    run: async (bench) => {
      const { client, silent } = bench;
      const peer = { address: silent, port: freshPort() };
      const end = new End(bench, client, client.inside(() => client.engine.connect({ peer, protocol: "mptcp" })).leg);
      expect(client.engine.isEstablished(end.leg)).to.equal(false);
      end.reset();
      await withConnection(bench, {}, async (ends) => {
        expect(client.engine.isEstablished(ends.client.leg)).to.equal(true);
        await waitFor(bench, "the server's leg to be established", () =>
          bench.server.engine.isEstablished(ends.server.leg),
        );
      });
    },
  },
  {
    name: "delivers first bytes once, whether the SYN took them or not",
    run: async (bench) => {
      const firstBytes = pattern(1000, 7);
      await withConnection(bench, { firstBytes }, async ({ client, server, taken }) => {
        if (bench.client.engine.capabilities.fastOpenConnect.available) expect(taken).to.equal(1000);
        await client.writeAll(firstBytes.subarray(taken));
        client.shutdownWrite();
        const { bytes, end } = await server.read();
        expect(end).to.equal("end");
        expect(Buffer.compare(bytes, firstBytes)).to.equal(0);
      });
    },
  },
];

const STREAMS: Check[] = [
  {
    name: "reads nothing from an idle leg, and says when there is something",
    run: (bench) =>
      withConnection(bench, {}, async ({ client, server }) => {
        expect(bench.server.engine.read(server.leg, new Uint8Array(10), 10)).to.equal(WOULD_BLOCK);
        await client.writeAll(Buffer.from("hello"));
        await server.ready(READY.read);
        expect(text((await server.read(5)).bytes)).to.equal("hello");
        expect(bench.server.engine.read(server.leg, new Uint8Array(10), 10)).to.equal(WOULD_BLOCK);
      }),
  },
  {
    name: "takes no more than fits, and says when there is room again; every byte arrives",
    run: (bench) =>
      withConnection(bench, {}, async ({ client, server }) => {
        const chunk = pattern(256 * 1024, 3);
        const { engine } = bench.client;
        let sent = 0;
        let result = engine.write(client.leg, chunk, chunk.length);
        for (; result > 0 && sent < MOST_IN_FLIGHT_BYTES; result = engine.write(client.leg, chunk, chunk.length)) {
          sent += result;
          await bench.step();
        }
        expect(result).to.equal(WOULD_BLOCK);
        client.forgetReadiness();
        const reading = server.read(sent);
        await client.ready(READY.write);
        expect((await reading).bytes.length).to.equal(sent);
      }),
  },
  ...(["client", "server"] as const).map(
    (first): Check => ({
      name: `lets the ${first} end its stream and go on reading`,
      run: (bench) =>
        withConnection(bench, {}, async (ends) => {
          const [early, late] = first === "client" ? [ends.client, ends.server] : [ends.server, ends.client];
          await early.writeAll(Buffer.from("question"));
          early.shutdownWrite();
          expect(await late.read()).to.deep.include({ end: "end" });
          const answer = pattern(500_000, 5);
          const reading = early.read();
          await late.writeAll(answer);
          late.shutdownWrite();
          const { bytes, end } = await reading;
          expect(end).to.equal("end");
          expect(Buffer.compare(bytes, answer)).to.equal(0);
        }),
    }),
  ),
  {
    name: "delivers what was written before close",
    run: (bench) =>
      withConnection(bench, {}, async ({ client, server }) => {
        const sent = pattern(100_000, 9);
        await client.writeAll(sent);
        client.close();
        const { bytes, end } = await server.read();
        expect(end).to.equal("end");
        expect(Buffer.compare(bytes, sent)).to.equal(0);
      }),
  },
  ...([0, 50_000] as const).flatMap((length) =>
    (["client", "server"] as const).map(
      (side): Check => ({
        name: `shows the ${side}'s reset after ${length} bytes as an error, never as an end`,
        run: (bench) =>
          withConnection(bench, {}, async (ends) => {
            const [from, to] = side === "client" ? [ends.client, ends.server] : [ends.server, ends.client];
            await from.writeAll(pattern(length, 11));
            from.reset();
            expect((await to.read()).end).to.equal("ECONNRESET");
          }),
      }),
    ),
  ),
];

const KNOWING: Check[] = [
  {
    name: "knows a Multipath TCP connection from both ends",
    needs: ["multipathTcp"],
    run: (bench) =>
      withConnection(bench, {}, async ({ client, server, peer }) => {
        await client.writeAll(pattern(10_000, 1));
        await server.read(10_000);
        expect(bench.client.engine.isMultipath(client.leg)).to.equal(true);
        expect(bench.server.engine.isMultipath(server.leg)).to.equal(true);
        const { multipath, fallback, token, subflows } = bench.client.engine.info(client.leg);
        expect({ multipath, fallback }).to.deep.equal({ multipath: true, fallback: undefined });
        expect(token).to.be.within(1, 0xffffffff);
        expect(subflows).to.have.length(1);
        const [subflow] = subflows;
        expect(subflow && formatEndpoint(subflow.remote)).to.equal(formatEndpoint(peer));
        expect(subflow?.rttMs).to.be.within(0.001, 1000);
        expect(subflow?.bytesSent).to.be.within(10_000, 20_000);
        const [other] = bench.server.engine.info(server.leg).subflows;
        expect(other?.bytesReceived).to.be.within(10_000, 20_000);
      }),
  },
  {
    name: "says that the peer has no Multipath TCP",
    needs: ["multipathTcp"],
    run: (bench) =>
      withConnection(bench, { listener: "tcp" }, async ({ client }) => {
        const { engine } = bench.client;
        expect(engine.isMultipath(client.leg)).to.equal(false);
        const { multipath, fallback, token, subflows } = engine.info(client.leg);
        expect({ multipath, fallback, token }).to.deep.equal({
          multipath: false,
          fallback: "peer-without-mptcp",
          token: undefined,
        });
        expect(subflows).to.have.length(1);
      }),
  },
  {
    name: "says that the network lost the SYNs with Multipath TCP",
    needs: ["multipathTcp"],
    async run(bench) {
      await bench.dropMultipathSyns(true);
      try {
        await withConnection(bench, {}, async ({ client }) => {
          expect(bench.client.engine.info(client.leg)).to.include({ multipath: false, fallback: "syn-dropped" });
        });
      } finally {
        await bench.dropMultipathSyns(false);
      }
    },
  },
  {
    name: "serves a peer without Multipath TCP as plain TCP",
    run: (bench) =>
      withConnection(bench, { connector: "tcp" }, async ({ client, server }) => {
        await client.writeAll(Buffer.from("plain"));
        expect(text((await server.read(5)).bytes)).to.equal("plain");
        expect(bench.server.engine.isMultipath(server.leg)).to.equal(false);
        const { multipath, fallback } = bench.client.engine.info(client.leg);
        expect({ multipath, fallback }).to.deep.equal({ multipath: false, fallback: undefined });
      }),
  },
  {
    name: "knows the TCP options that a plain peer has agreed to",
    run: (bench) =>
      withConnection(bench, { listener: "tcp", connector: "tcp" }, async ({ client }) => {
        const options = new Map(bench.client.engine.tcpOptions(client.leg).map(({ kind, data }) => [kind, data]));
        expect(options.get(TCP_OPTION.sackPermitted)).to.have.length(0);
        expect(options.get(TCP_OPTION.windowScale)?.[0]).to.be.within(0, 14);
      }),
  },
];

const TRANSPARENT: Check[] = [
  {
    name: "takes connections to addresses that are not its own, and opens them from such",
    needs: ["transparent"],
    run: checkTransparent,
  },
];

async function checkTransparent(bench: Bench): Promise<void> {
  const { client, server, transparent } = bench;
  if (transparent === undefined) throw new Error("this bench routes no foreign addresses");
  const { listen: endpoint, foreign, foreignSource } = transparent;
  const leg = server.inside(() => server.engine.listen({ endpoint, protocol: "tcp", transparent: true }));
  const listening = new End(bench, server, leg);
  const source = { address: foreignSource, port: 0 };
  const attempt = client.inside(() =>
    client.engine.connect({ peer: foreign, protocol: "tcp", source, transparent: true }),
  );
  const near = new End(bench, client, attempt.leg);
  try {
    await near.connected();
    const far = new End(bench, server, await accepted(bench, listening));
    const { engine } = server;
    expect(formatEndpoint(engine.localEndpoint(far.leg) ?? endpoint)).to.equal(formatEndpoint(foreign));
    expect(formatIpAddress((engine.remoteEndpoint(far.leg) ?? endpoint).address)).to.equal(
      formatIpAddress(foreignSource),
    );
    await near.writeAll(Buffer.from("through"));
    expect(text((await far.read(7)).bytes)).to.equal("through");
    far.reset();
  } finally {
    near.reset();
    listening.reset();
  }
}

export const ENGINE_CHECKS: readonly Check[] = [...OPENING, ...STREAMS, ...KNOWING, ...TRANSPARENT];
