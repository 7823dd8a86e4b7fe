/** The admin interface: read-only JSON over HTTP on a Unix socket. Who may open the socket may ask. */

import { once } from "node:events";
import { chmodSync, existsSync, lstatSync, mkdirSync, unlinkSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { AccessError, describeError } from "../base/error.ts";

/** Version of every answer's shape; it changes when a field changes its meaning or goes. */
export const ADMIN_API_VERSION = 1;

/** A path such as "/status" and what it answers: an object, or a promise of one. A bad query throws an AccessError. */
export type AdminRoutes = Readonly<Record<string, (query: URLSearchParams) => unknown>>;

/**
 * A path whose answer goes on until the asker leaves, one JSON object a line. Gives what ends it. Throws an AccessError
 * when it cannot be begun.
 */
export type AdminStreams = Readonly<
  Record<string, (query: URLSearchParams, send: (item: object) => void) => () => void>
>;

/** For the whole of an answer. */
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

  /** Serves from now on. A socket whose owner is gone is replaced. Throws an AccessError when one is alive, or another file is there. */
  async start(): Promise<void> {
    mkdirSync(dirname(this.#socket), { recursive: true });
    if (existsSync(this.#socket)) {
      if (await isServed(this.#socket)) {
        throw new AccessError("ALREADY_RUNNING", "configuration", `another process serves ${this.#socket}`);
      }
      // A slip in the configuration must not cost a file.
      if (!lstatSync(this.#socket).isSocket()) {
        throw new AccessError("NOT_A_SOCKET", "configuration", `${this.#socket} is there already, and no socket`);
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
    return [errorStatus(error), { error: describeError(error) }];
  }
}

function answerWithoutEnd(stream: AdminStreams[string], query: URLSearchParams, answer: ServerResponse): void {
  answer.setHeader("content-type", "application/jsonl");
  try {
    const end = stream(query, (item) => {
      if (answer.writableLength > STREAM_LIMIT_BYTES) answer.destroy();
      else answer.write(`${JSON.stringify(item)}\n`);
    });
    answer.once("close", end);
    answer.flushHeaders();
  } catch (error) {
    answer.statusCode = errorStatus(error);
    answer.end(JSON.stringify({ apiVersion: ADMIN_API_VERSION, error: describeError(error) }));
  }
}

function errorStatus(error: unknown): number {
  return error instanceof AccessError && error.fault === "peer" ? 400 : 500;
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
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(new Error("no answer in time")), ANSWER_TIMEOUT_MS);
  const asked = request({ socketPath: socket, path, signal: patience.signal });
  asked.end();
  try {
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    const body = await textOf(answer);
    if (answer.statusCode === 200) return JSON.parse(body);
    throw refused(body);
  } catch (error) {
    if (error instanceof AccessError) throw error;
    throw notRunning(socket, patience.signal.reason ?? error);
  } finally {
    clearTimeout(timer);
  }
}

/** Gives every object of a stream of the daemon, until `signal` ends it. Throws like {@link askDaemon}. */
export async function* followDaemon(socket: string, path: string, signal: AbortSignal): AsyncGenerator<object> {
  const asked = request({ socketPath: socket, path, signal });
  asked.end();
  try {
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    if (answer.statusCode !== 200) throw refused(await textOf(answer));
    let rest = "";
    for await (const chunk of answer) {
      const lines = `${rest}${String(chunk)}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) yield JSON.parse(line) as object;
    }
  } catch (error) {
    if (signal.aborted) return;
    throw error instanceof AccessError ? error : notRunning(socket, error);
  } finally {
    asked.destroy();
  }
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of answer) body += String(chunk);
  return body;
}

function refused(body: string): AccessError {
  const { error } = JSON.parse(body) as { error?: string };
  return new AccessError("REFUSED", "peer", `the daemon refused: ${error}`);
}

function notRunning(socket: string, cause: unknown): AccessError {
  return new AccessError("NOT_RUNNING", "system", `no daemon answers on ${socket}: ${describeError(cause)}`, cause);
}
