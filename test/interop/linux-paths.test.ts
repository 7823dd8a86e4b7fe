/** Two subflows with Linux at the other end: what each carries, priorities, addresses, silence. */
import { formatIpAddress } from "@hybrid-access/core/base/ip-address";
import type { PathEvent, SubflowPath } from "@hybrid-access/core/policy/path-manager/path-manager";
import { expect } from "chai";
import { type End, type Host, waitFor, withConnection } from "../conformance/bench.ts";
import { type HostKind, LabBench } from "../conformance/lab-bench.ts";
import { hashOf, pattern } from "../lab/stream.ts";
import { faultsOf, startCapture } from "./live-capture.ts";

const MEGABYTE = 1_000_000;
const SECOND_ID = 2;

interface Ends {
  readonly client: End;
  readonly server: End;
}

async function send(from: End, to: End, bytes: Uint8Array): Promise<void> {
  const reading = to.read(bytes.length);
  await from.writeAll(bytes);
  expect(hashOf((await reading).bytes)).to.equal(hashOf(bytes));
}

async function bothWays({ client, server }: Ends, length: number): Promise<void> {
  await send(client, server, pattern(length, 3));
  await send(server, client, pattern(length, 4));
}

function tokenOf({ host, leg }: End): number {
  const { token } = host.engine.info(leg);
  if (token === undefined) throw new Error("not Multipath TCP");
  return token;
}

type Established = Extract<PathEvent, { type: "subflowEstablished" | "subflowClosed" }>;

/** The next event about a further subflow of this connection. */
function nextSubflow(bench: LabBench, host: Host, token: number): Promise<Established> {
  return waitFor(bench, "the subflow", () =>
    host.pathEvents.find((event): event is Established => {
      return (event.type === "subflowEstablished" || event.type === "subflowClosed") && event.token === token;
    }),
  );
}

/** Opens a subflow from a host's second address, and waits until both know it. */
async function openFrom(bench: LabBench, near: End, far: End, backup = false): Promise<SubflowPath> {
  const { address: local, interfaceIndex } = near.host.second;
  const remote = near.host.engine.remoteEndpoint(near.leg);
  if (remote === undefined) throw new Error("no remote end");
  const token = tokenOf(near);
  const command = { type: "createSubflow", token, localId: SECOND_ID, local, interfaceIndex, remote, backup } as const;
  expect(near.host.paths.execute(command)).to.equal(true);
  const opened = await nextSubflow(bench, near.host, token);
  expect(opened.type).to.equal("subflowEstablished");
  expect((await nextSubflow(bench, far.host, tokenOf(far))).type).to.equal("subflowEstablished");
  return opened;
}

/** Bytes that a subflow has sent, by the last number of its path's subnet. */
function sentOver({ host, leg }: End, path: 1 | 2): number {
  const { subflows } = host.engine.info(leg);
  const own = formatIpAddress(path === 1 ? host.address.ipv4 : host.second.address);
  const found = subflows.find(({ local, remote }) =>
    [local, remote].some(({ address }) => formatIpAddress(address) === own),
  );
  return found?.bytesSent ?? Number.NaN;
}

function describePair(title: string, client: HostKind, server: HostKind): void {
  describe(title, function () {
    this.timeout(20_000);
    const [ours, linux] = client === "userspace" ? (["client", "server"] as const) : (["server", "client"] as const);
    let bench: LabBench;

    before(async () => {
      bench = await LabBench.up(client, server);
    });
    after(async () => await bench?.down());

    /** A connection over which bytes have passed. */
    function withEstablished(use: (ends: Ends) => Promise<void>): Promise<void> {
      return withConnection(bench, {}, async (ends) => {
        await bothWays(ends, 20_000);
        await use(ends);
      });
    }

    for (const checksum of [false, true]) {
      it(`carries 1 MB each way over two subflows, ${checksum ? "with" : "without"} checksums`, async () => {
        await bench.lab.run(linux, ["sysctl", "-qw", `net.mptcp.checksum_enabled=${checksum ? 1 : 0}`]);
        const capture = await startCapture(bench.lab, ours, ["tun1", "tun2"]);
        await withEstablished(async (ends) => {
          await openFrom(bench, ends.client, ends.server);
          await bothWays(ends, MEGABYTE);
          for (const end of [ends.client, ends.server]) {
            expect(end.host.engine.info(end.leg).subflows.map(({ bytesSent }) => bytesSent > 0)).to.deep.equal([
              true,
              true,
            ]);
          }
          ends.client.shutdownWrite();
          expect((await ends.server.read()).end).to.equal("end");
          ends.server.shutdownWrite();
          expect((await ends.client.read()).end).to.equal("end");
        });
        await capture.finish((file) => expect(faultsOf(file)).to.deep.equal([]));
      });
    }

    it("leaves a backup subflow alone while the first one works", () =>
      withEstablished(async (ends) => {
        await openFrom(bench, ends.client, ends.server, true);
        await bothWays(ends, MEGABYTE);
        expect(sentOver(ends.client, 2)).to.be.below(1000);
        expect(
          ends.server.host.engine.info(ends.server.leg).subflows.map(({ bytesSent }) => bytesSent < 1000),
        ).to.include(true);
      }));

    it("goes on over the other path when the second one falls silent, and uses it again when it comes back", () =>
      withEstablished(async (ends) => {
        await openFrom(bench, ends.client, ends.server);
        await bench.lab.run("client", ["nft", "-f", "-"], { input: SILENT_TABLE });
        try {
          await bothWays(ends, MEGABYTE);
        } finally {
          await bench.lab.run("client", ["nft", "-f", "-"], { input: "delete table inet silent\n" });
        }
        await bothWays(ends, MEGABYTE);
      }));

    it("tells the server of an address of the client's, and takes it back", () =>
      withEstablished(async ({ client: near, server: far }) => {
        const local = { address: near.host.second.address, port: 0 };
        const token = tokenOf(near);
        expect(near.host.paths.execute({ type: "announce", token, localId: SECOND_ID, local })).to.equal(true);
        const told = await waitFor(bench, "the address", () =>
          far.host.pathEvents.find((event) => event.type === "addressAnnounced" && event.token === tokenOf(far)),
        );
        expect(told).to.include({ remoteId: SECOND_ID });
        expect(near.host.paths.execute({ type: "remove", token, localId: SECOND_ID })).to.equal(true);
        await waitFor(bench, "the removal", () =>
          far.host.pathEvents.find((event) => event.type === "addressRemoved" && event.token === tokenOf(far)),
        );
      }));

    // A Linux client listens nowhere, and refuses.
    if (client === "userspace") {
      it("takes a subflow that the server opens", () =>
        withEstablished(async (ends) => {
          await openFrom(bench, ends.server, ends.client);
          await bothWays(ends, MEGABYTE);
        }));
    }
  });
}

/** What passes the client's second interface is lost. */
const SILENT_TABLE = `table inet silent {
  chain forward {
    type filter hook forward priority filter; policy accept;
    ip saddr { 10.81.2.0/24, 10.82.2.0/24 } drop
    ip daddr { 10.81.2.0/24, 10.82.2.0/24 } drop
  }
  chain output {
    type filter hook output priority filter; policy accept;
    ip saddr 10.81.2.0/24 drop
  }
}
`;

describePair("two paths between a userspace client and a Linux server", "userspace", "kernel");
describePair("two paths between a Linux client and a userspace server", "kernel", "userspace");
