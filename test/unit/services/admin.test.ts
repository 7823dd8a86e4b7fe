import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AccessError } from "@hybrid-access/core/base/error";
import { AdminServer, askDaemon } from "@hybrid-access/core/services/admin";
import { expect } from "chai";

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

  it("says that nobody answers", async () => {
    expect(await failureOf(askDaemon(join(directory, "absent.sock"), "/status"))).to.include({ code: "NOT_RUNNING" });
  });
});
