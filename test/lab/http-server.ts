/**
 * An ordinary HTTP server in a node of the lab. It knows nothing of Multipath TCP.
 *
 * - `GET /<number>` answers with that many bytes, any other GET with none.
 * - `PUT` and `POST` count the body.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Lab } from "./lab.ts";
import { openPlainListener } from "./stream.ts";

/** A request as the server saw it. */
export interface ServedRequest {
  /** The address the connection came from. */
  readonly peer: string;
  /** Bytes of the request's body. */
  readonly receivedBytes: number;
}

const CHUNK = Buffer.alloc(64 * 1024);

export class HttpServer {
  readonly port: number;
  readonly #server: Server;
  #lastRequest: ServedRequest | undefined;

  /** Listens on every address of the node. */
  constructor(lab: Lab, node: string, port: number) {
    this.port = port;
    this.#server = createServer((request, response) => {
      // A client that goes away early shows in what the client says.
      this.#serve(request, response).catch(() => response.destroy());
    });
    this.#server.listen({ fd: lab.inside(node, () => openPlainListener(port)) });
  }

  /** The last request that was read to its end. */
  get lastRequest(): ServedRequest | undefined {
    return this.#lastRequest;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const peer = (request.socket.remoteAddress ?? "").replace(/^::ffff:/, "");
    let receivedBytes = 0;
    for await (const chunk of request) receivedBytes += (chunk as Buffer).length;
    this.#lastRequest = { peer, receivedBytes };
    const length = request.method === "GET" ? Number(/^\/(\d+)$/.exec(request.url ?? "")?.[1] ?? 0) : 0;
    response.writeHead(200, { "content-length": length, "content-type": "application/octet-stream" });
    await sendBytes(response, length);
    response.end();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

async function sendBytes(response: ServerResponse, length: number): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  for (let left = length; left > 0; left -= CHUNK.length) {
    if (!response.write(CHUNK.subarray(0, left))) await once(response, "drain", { signal: gone.signal });
  }
}
