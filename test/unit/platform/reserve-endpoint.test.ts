import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { reserveEndpoint } from "@hybrid-access/core/platform/socket";
import { expect } from "chai";

const HOST = "127.0.0.1";

async function listening(port: number): Promise<Server> {
  const server = createServer().listen(port, HOST);
  await once(server, "listening");
  return server;
}

/** A port whose server has ended a connection first: it is left in TIME-WAIT. */
async function usedPort(): Promise<number> {
  const server = await listening(0);
  const { port } = server.address() as AddressInfo;
  const near = connect(port, HOST).resume();
  const [far] = await once(server, "connection");
  far.end();
  await Promise.all([once(near, "close"), once(far, "close")]);
  server.close();
  await once(server, "close");
  return port;
}

describe("platform: an address and port that are reserved", () => {
  it("are nobody else's to listen at, until they are given back, whatever connections they have had", async () => {
    const port = await usedPort();
    const release = reserveEndpoint({ address: ipAddress(HOST), port });
    const [error] = await once(createServer().listen(port, HOST), "error");
    expect(error.code).to.equal("EADDRINUSE");
    release();
    const server = await listening(port);
    expect(() => reserveEndpoint({ address: ipAddress(HOST), port })).to.throw("EADDRINUSE");
    server.close();
    await once(server, "close");
  });
});
