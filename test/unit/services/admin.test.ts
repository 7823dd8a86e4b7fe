import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AccessError } from "@hybrid-access/core/base/error";
import { AdminServer, askDaemon } from "@hybrid-access/core/services/admin";
import { expect } from "chai";
import { VirtualTime } from "../../support/virtual-time.ts";

/** What a promise was rejected with. */
async function failureOf(promise: Promise<unknown>): Promise<AccessError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof AccessError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}

describe("services/admin", () => {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-admin-"));
  const socket = join(directory, "run", "admin.sock");
  let server: AdminServer;

  beforeEach(() => {
    server = new AdminServer(socket, { "/status": () => ({ ready: true }) });
  });
  afterEach(async () => await server.stop());
  after(() => rmSync(directory, { recursive: true }));

  it("answers with the version of the interface, and only its group may ask", async () => {
    await server.start();
    expect(await askDaemon(socket, "/status")).to.deep.equal({ apiVersion: 1, ready: true });
    expect(statSync(socket).mode & 0o777).to.equal(0o660);
  });

  it("names a path that is not there", async () => {
    await server.start();
    const { message } = await failureOf(askDaemon(socket, "/nothing"));
    expect(message).to.equal("the daemon refused: no such path: /nothing");
  });

  it("refuses to take the socket of one that is alive, which goes on", async () => {
    await server.start();
    const second = new AdminServer(socket, {});
    expect(await failureOf(second.start())).to.include({ code: "ALREADY_RUNNING", fault: "configuration" });
    await second.stop();
    expect(await askDaemon(socket, "/status")).to.include({ ready: true });
  });

  it("replaces the socket of one that was killed, and removes its own at the end", async () => {
    const program = `require("node:net").createServer().listen(${JSON.stringify(socket)}, () => console.log("listens"))`;
    const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    await once(child.stdout, "data");
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
    expect(existsSync(socket), "what it left behind").to.equal(true);
    await server.start();
    expect(await askDaemon(socket, "/status")).to.include({ ready: true });
    await server.stop();
    expect(existsSync(socket)).to.equal(false);
  });

  it("gives up an answer that is not whole after 5 s, whether it has begun or not", async () => {
    const slow = createServer((asked, answer) => {
      if (asked.url === "/begun") answer.write("{");
    }).listen(socket);
    await once(slow, "listening");
    const time = new VirtualTime();
    try {
      for (const path of ["/begun", "/silent"]) {
        let failure: AccessError | undefined;
        const arrived = once(slow, "request");
        void failureOf(askDaemon(socket, path)).then((error) => {
          failure = error;
        });
        await arrived;
        await time.pass(4999);
        expect(failure, path).to.equal(undefined);
        await time.pass(1);
        // What the socket makes of it takes Node's own time.
        for (let turns = 0; failure === undefined && turns < 1000; turns++) await time.pass(0);
        expect(failure, path).to.include({ code: "NOT_RUNNING" });
        expect(failure?.message, path).to.match(/: no answer in time$/);
      }
    } finally {
      time.end();
      slow.closeAllConnections();
      slow.close();
    }
  });

  it("says that nobody answers", async () => {
    expect(await failureOf(askDaemon(join(directory, "absent.sock"), "/status"))).to.include({ code: "NOT_RUNNING" });
  });
});
