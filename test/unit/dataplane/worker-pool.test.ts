import { once } from "node:events";
import { readdirSync } from "node:fs";
import { type AddressInfo, createServer, type Server, Socket } from "node:net";
import type { AccessError } from "@hybrid-access/core/base/error";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { WorkerPool } from "@hybrid-access/core/dataplane/worker-pool";
import { type ReservedPort, reservePort } from "@hybrid-access/core/platform/socket";
import { expect } from "chai";
import { eventually } from "../../support/eventually.ts";

const LOOPBACK = ipAddress("127.0.0.1");
const RELAY = 255;
const CONNECTIONS = 40;
/** A worker that dies young is replaced after a second. */
const REPLACED_WITHIN_MS = 5000;

function descriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

/** Resolves when the socket is closed, by an error too, which once() would throw. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

/** A connection through the pool, and the worker it came to. */
interface Relayed {
  readonly socket: Socket;
  readonly worker: number;
}

describe("dataplane/worker-pool", function () {
  this.timeout(20_000);
  let echo: Server;
  let port: ReservedPort;
  let pool: WorkerPool;
  let deaths: { readonly index: number; readonly error: AccessError }[];
  let open: Relayed[];

  beforeEach(async () => {
    deaths = [];
    open = [];
    echo = createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1");
    await once(echo, "listening");
    port = reservePort([LOOPBACK]);
  });
  afterEach(async () => {
    for (const { socket } of open) socket.destroy();
    await pool.stop();
    port.release();
    echo.close();
  });

  function makePool(stillborn: readonly number[] = []): WorkerPool {
    pool = new WorkerPool({
      entry: new URL("../../support/faulty-worker.js", import.meta.url),
      workers: 2,
      setup: () => ({
        engine: "kernel",
        listen: { address: LOOPBACK, port: port.port },
        peer: { address: LOOPBACK, port: (echo.address() as AddressInfo).port },
        stillborn,
        relay: {
          maxConnections: 1000,
          bufferBytes: 65_536,
          pendingLimitBytes: 1 << 20,
          idleMs: 60_000,
          halfClosedMs: 60_000,
        },
      }),
      onReport: () => {},
      onDeath: (index, error) => deaths.push({ index, error }),
    });
    return pool;
  }

  async function send(byte: number): Promise<Socket> {
    const socket = new Socket().on("error", () => {}).connect(port.port, "127.0.0.1");
    await once(socket, "connect");
    socket.write(Uint8Array.of(byte));
    return socket;
  }

  async function relayed(): Promise<Relayed> {
    const socket = await send(RELAY);
    const [first] = (await once(socket, "data")) as [Buffer];
    const connection = { socket, worker: first[0] as number };
    open.push(connection);
    return connection;
  }

  async function echoes({ socket }: Relayed): Promise<void> {
    socket.write("still here");
    expect(String((await once(socket, "data"))[0])).to.equal("still here");
  }

  /** Makes the worker die: some connection will come to it. */
  async function kill(index: number): Promise<void> {
    while (deaths.length === 0) {
      const socket = await send(index);
      await closed(socket);
    }
  }

  const of = (worker: number) => open.filter((connection) => connection.worker === worker);

  it("lets its workers share the connections", async () => {
    await makePool().start();
    await Promise.all(Array.from({ length: CONNECTIONS }, relayed));
    expect(of(0).length).to.be.greaterThan(0);
    expect(of(1).length).to.be.greaterThan(0);
    expect(pool.counters().connectionsActive).to.equal(CONNECTIONS);
  });

  it("loses with a worker that dies its connections and no other, and replaces it", async () => {
    await makePool().start();
    const before = descriptors();
    await Promise.all(Array.from({ length: CONNECTIONS }, relayed));
    const doomed = of(0);
    const others = of(1);
    const resets = doomed.map(({ socket }) => closed(socket));
    await kill(0);
    await Promise.all(resets);
    expect(deaths.map(({ index, error }) => [index, error.code])).to.deep.equal([[0, "WORKER_DIED"]]);
    expect(deaths[0]?.error.cause).to.be.an("error").with.property("message", "told to die");
    await Promise.all(others.map(echoes));
    expect(pool.counters().connectionsActive).to.equal(others.length);

    await Promise.all(Array.from({ length: 10 }, async () => echoes(await relayed())));
    await eventually(REPLACED_WITHIN_MS, async () => {
      expect((await relayed()).worker).to.equal(0);
    });
    await Promise.all(others.map(echoes));
    for (const { socket } of open) socket.destroy();
    await eventually(2000, () => {
      expect(pool.counters()).to.include({ connectionsActive: 0, pendingBytes: 0 });
      expect(descriptors()).to.equal(before);
    });
  });

  it("does not start when a worker cannot", async () => {
    const error = await makePool([1])
      .start()
      .then(() => undefined)
      .catch((reason: Error) => reason);
    expect(error?.message).to.equal("stillborn");
    expect(deaths).to.deep.equal([]);
  });

  it("resets what is open when it stops", async () => {
    await makePool().start();
    const connection = await relayed();
    const ended = closed(connection.socket);
    await pool.stop();
    await ended;
    expect(pool.counters()).to.include({ connectionsActive: 0, pendingBytes: 0 });
  });
});
