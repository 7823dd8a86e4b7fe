import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AccessError } from "@hybrid-access/core/base/error";
import { AdminServer, askDaemon, followDaemon } from "@hybrid-access/core/services/admin";
import { expect } from "chai";
import { eventually } from "../../support/eventually.ts";

describe("services/admin, questions and streams", () => {
  let directory: string;
  let socket: string;
  let server: AdminServer;
  let send: (item: object) => void;
  let followers: number;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "hybrid-access-admin-"));
    socket = join(directory, "admin.sock");
    followers = 0;
    server = new AdminServer(
      socket,
      {
        "/now": () => ({ answer: 1 }),
        "/later": async (query) => ({ answer: query.get("a") }),
        "/bad": () => Promise.reject(new AccessError("BAD", "peer", "a makes no sense")),
        "/broken": () => {
          throw new Error("out of order");
        },
      },
      {
        "/full": () => {
          throw new AccessError("FULL", "peer", "no room");
        },
        "/stream": (_, sender) => {
          followers += 1;
          send = sender;
          return () => {
            followers -= 1;
          };
        },
      },
    );
    await server.start();
  });
  afterEach(async () => {
    await server.stop();
    rmSync(directory, { recursive: true });
  });

  it("answers at once or later, with what was asked", async () => {
    expect(await askDaemon(socket, "/now")).to.deep.equal({ apiVersion: 1, answer: 1 });
    expect(await askDaemon(socket, "/later?a=b%20c")).to.deep.equal({ apiVersion: 1, answer: "b c" });
  });

  for (const [path, message] of [
    ["/bad", "the daemon refused: a makes no sense"],
    ["/broken", "the daemon refused: out of order"],
    ["/none", "the daemon refused: no such path: /none"],
  ] as const) {
    it(`says what is wrong with ${path}, and goes on serving`, async () => {
      const error = await askDaemon(socket, path).catch((caught: Error) => caught);
      expect((error as Error).message).to.equal(message);
      expect(await askDaemon(socket, "/now")).to.include({ answer: 1 });
    });
  }

  it("streams until the asker leaves", async () => {
    const stop = new AbortController();
    const stream = followDaemon(socket, "/stream", stop.signal);
    const first = stream.next();
    await eventually(2000, () => expect(followers).to.equal(1));
    send({ text: "line\nend" });
    send({ number: 2 });
    expect((await first).value).to.deep.equal({ text: "line\nend" });
    expect((await stream.next()).value).to.deep.equal({ number: 2 });
    stop.abort();
    expect((await stream.next()).done).to.equal(true);
    await eventually(2000, () => expect(followers).to.equal(0));
  });

  it("says why it does not stream", async () => {
    const error = await followDaemon(socket, "/full", new AbortController().signal)
      .next()
      .catch((caught: Error) => caught);
    expect((error as Error).message).to.equal("the daemon refused: no room");
  });

  it("cuts an asker off that lets 1 MiB wait", async () => {
    const asker = connect(socket).pause();
    asker.on("error", () => {});
    asker.write("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
    await eventually(2000, () => expect(followers).to.equal(1));
    let sent = 0;
    // The kernel's buffers take some of it.
    while (followers === 1 && sent < 8192) {
      send({ filler: "x".repeat(1024) });
      sent += 1;
      if (sent % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(followers).to.equal(0);
    expect(sent).to.be.within(1024, 4096);
    asker.destroy();
  });

  it("says that nobody serves", async () => {
    await server.stop();
    const error = await followDaemon(socket, "/stream", new AbortController().signal)
      .next()
      .catch((caught: Error) => caught);
    expect((error as AccessError).code).to.equal("NOT_RUNNING");
  });
});
