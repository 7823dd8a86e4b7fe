import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { RedisRegistry } from "@hybrid-access/core/services/registry/redis";
import { expect } from "chai";

/** Answers what ioredis asks of a server that it has just found; after that it says nothing. */
function greet(socket: Socket): void {
  const info = "redis_version:7.0.0\r\nloading:0\r\n";
  const onData = (bytes: Buffer) => {
    const commands = String(bytes).match(/^\*\d+\r$/gm) ?? [];
    const asksInfo = /\r\ninfo\r\n/i.test(String(bytes));
    for (const [index] of commands.entries()) {
      socket.write(asksInfo && index === commands.length - 1 ? `$${info.length}\r\n${info}\r\n` : "+OK\r\n");
    }
    if (asksInfo) socket.off("data", onData).resume();
  };
  socket.on("data", onData).on("error", () => {});
}

describe("services/registry: a Redis that says nothing", () => {
  let server: Server;
  let registry: RedisRegistry;
  let sockets: Socket[];

  beforeEach(async () => {
    sockets = [];
    server = createServer((socket) => {
      sockets.push(socket);
      greet(socket);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const servers = [{ host: "127.0.0.1", port }];
    registry = new RedisRegistry("farm", { mode: "single", servers, primary: "" }, () => {});
    while (!registry.health.connected) await new Promise((resolve) => setImmediate(resolve));
  });
  afterEach(() => {
    registry.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  it("fails a write after 1 s, and its connection is made anew after 1.5 s", async () => {
    const [first] = sockets;
    if (first === undefined) throw new Error("no connection");
    const beganMs = performance.now();
    const closed = once(first, "close").then(() => performance.now() - beganMs);
    const again = once(server, "connection").then(() => performance.now() - beganMs);
    const why = await registry.claimFlow("0a010102c0011404", "a", 60_000).then(
      () => "done",
      (error: Error) => error.message,
    );
    expect(why).to.match(/no answer within 1000 ms/);
    expect(performance.now() - beganMs).to.be.within(999, 2400);
    expect(await closed).to.be.within(1499, 2400);
    // The first attempt comes 50 ms later.
    expect((await again) - (await closed)).to.be.within(30, 1000);
  });
});
