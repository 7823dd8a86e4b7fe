/** The admin interface: read-only JSON over HTTP on a Unix socket. Who may open the socket may ask. */

import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, unlinkSync } from "node:fs";
import { createServer, request, type Server } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import { AccessError, describeError } from "../base/error.ts";

/** Version of every answer's shape; it changes when a field changes its meaning or goes. */
export const ADMIN_API_VERSION = 1;

/** A path such as "/status" and what it answers. */
export type AdminRoutes = Readonly<Record<string, () => unknown>>;

const ANSWER_TIMEOUT_MS = 5000;

export class AdminServer {
  readonly #server: Server;
  readonly #socket: string;

  constructor(socket: string, routes: AdminRoutes) {
    this.#socket = socket;
    this.#server = createServer((incoming, answer) => {
      const route = routes[incoming.url ?? ""];
      const body = route === undefined ? { error: `no such path: ${incoming.url}` } : (route() as object);
      answer.writeHead(route === undefined ? 404 : 200, { "content-type": "application/json" });
      answer.end(JSON.stringify({ apiVersion: ADMIN_API_VERSION, ...body }));
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
    const [answer] = (await once(asked, "response")) as [NodeJS.ReadableStream];
    let body = "";
    for await (const chunk of answer) body += String(chunk);
    return JSON.parse(body);
  } catch (error) {
    throw new AccessError("NOT_RUNNING", "system", `no daemon answers on ${socket}: ${describeError(error)}`, error);
  }
}
