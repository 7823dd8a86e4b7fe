/** The admin interface: read-only JSON over HTTP on a Unix socket. Who may open the socket may ask. */

import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, unlinkSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { AccessError, describeError } from "../base/error.ts";

/** Version of every answer's shape; it changes when a field changes its meaning or goes. */
export const ADMIN_API_VERSION = 1;

/** A path such as "/status" and what it answers: an object, or a promise of one. A bad query throws an AccessError. */
export type AdminRoutes = Readonly<Record<string, (query: URLSearchParams) => unknown>>;

/** A path whose answer goes on until the asker leaves, one JSON object a line. Gives what ends it. */
export type AdminStreams = Readonly<
  Record<string, (query: URLSearchParams, send: (item: object) => void) => () => void>
>;

const ANSWER_TIMEOUT_MS = 5000;
/** An asker that lets so much wait is cut off. */
const STREAM_LIMIT_BYTES = 1024 * 1024;

export class AdminServer {
  readonly #server: Server;
  readonly #socket: string;

  constructor(socket: string, routes: AdminRoutes, streams: AdminStreams = {}) {
    this.#socket = socket;
    this.#server = createServer((incoming, answer) => {
      const [path = "", query] = (incoming.url ?? "").split("?");
      const stream = streams[path];
      if (stream === undefined) void answerOnce(routes[path], new URLSearchParams(query), incoming.url, answer);
      else answerWithoutEnd(stream, new URLSearchParams(query), answer);
    });
  }

  /** Serves from now on. A socket file whose owner is gone is replaced. Throws an AccessError when one is alive. */
  async start(): Promise<void> {
    mkdirSync(dirname(this.#socket), { recursive: true });
    if (existsSync(this.#socket)) {
      if (await isServed(this.#socket)) {
        throw new AccessError("ALREADY_RUNNING", "configuration", `another process serves ${this.#socket}`);
      }
      unlinkSync(this.#socket);
    }
    this.#server.listen(this.#socket);
    await once(this.#server, "listening");
    chmodSync(this.#socket, 0o660);
    this.#server.unref();
  }

  /** Stops serving and removes the socket. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

async function answerOnce(
  route: AdminRoutes[string] | undefined,
  query: URLSearchParams,
  asked: string | undefined,
  answer: ServerResponse,
): Promise<void> {
  const [code, body] = await resultOf(route, query, asked);
  answer.writeHead(code, { "content-type": "application/json" });
  answer.end(JSON.stringify({ apiVersion: ADMIN_API_VERSION, ...body }));
}

async function resultOf(
  route: AdminRoutes[string] | undefined,
  query: URLSearchParams,
  asked: string | undefined,
): Promise<[number, object]> {
  if (route === undefined) return [404, { error: `no such path: ${asked}` }];
  try {
    return [200, (await route(query)) as object];
  } catch (error) {
    // A daemon must not end because of a question.
    return [error instanceof AccessError && error.fault === "peer" ? 400 : 500, { error: describeError(error) }];
  }
}

function answerWithoutEnd(stream: AdminStreams[string], query: URLSearchParams, answer: ServerResponse): void {
  answer.writeHead(200, { "content-type": "application/jsonl" });
  answer.flushHeaders();
  const end = stream(query, (item) => {
    if (answer.writableLength > STREAM_LIMIT_BYTES) answer.destroy();
    else answer.write(`${JSON.stringify(item)}\n`);
  });
  answer.once("close", end);
}

async function isServed(socket: string): Promise<boolean> {
  const probe = connect(socket);
  try {
    await once(probe, "connect");
    return true;
  } catch {
    return false;
  } finally {
    probe.destroy();
  }
}

/** Asks a running daemon. Throws an AccessError with code NOT_RUNNING when nobody serves the socket. */
export async function askDaemon(socket: string, path: string): Promise<unknown> {
  const asked = request({ socketPath: socket, path, timeout: ANSWER_TIMEOUT_MS });
  asked.once("timeout", () => asked.destroy(new Error("no answer in time")));
  asked.end();
  try {
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    let body = "";
    for await (const chunk of answer) body += String(chunk);
    const parsed = JSON.parse(body) as { error?: string };
    if (answer.statusCode === 200) return parsed;
    throw new AccessError("REFUSED", "peer", `the daemon refused: ${parsed.error}`);
  } catch (error) {
    if (error instanceof AccessError) throw error;
    throw notRunning(socket, error);
  }
}

/** Gives every line of a stream of the daemon, parsed, until the daemon ends. Throws like {@link askDaemon}. */
export async function* followDaemon(socket: string, path: string): AsyncGenerator<object> {
  const asked = request({ socketPath: socket, path });
  asked.end();
  let answer: IncomingMessage;
  try {
    [answer] = (await once(asked, "response")) as [IncomingMessage];
  } catch (error) {
    throw notRunning(socket, error);
  }
  if (answer.statusCode !== 200) throw new AccessError("REFUSED", "peer", `the daemon has no ${path}`);
  for await (const line of createInterface({ input: answer })) yield JSON.parse(line) as object;
}

function notRunning(socket: string, cause: unknown): AccessError {
  return new AccessError("NOT_RUNNING", "system", `no daemon answers on ${socket}: ${describeError(cause)}`, cause);
}
