/** Short exchanges with a server that says who it is talking to: which way a connection took, and how long that took. */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { Lab } from "./lab.ts";
import { connectFrom, openPlainListener } from "./stream.ts";

/** What one exchange showed. */
export interface Visit {
  /** The address the server saw. */
  readonly peer: string;
  /** From the client's connect to the first byte of the server's answer, milliseconds. */
  readonly firstByteMs: number;
}

export interface VisitOptions {
  /** The node the client runs on. */
  readonly from?: string;
  readonly limitMs?: number;
  /** Traffic class of the client's packets, the SYN included. */
  readonly dscp?: number;
}

const LIMIT_MS = 10_000;

/** A server that answers the first bytes of a connection with its peer's address, and ends when the client does. */
export class PeerServer {
  readonly port: number;
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  /** Connections accepted so far. */
  connections = 0;

  /** Listens on every address of the node. */
  constructor(lab: Lab, node: string, port: number) {
    this.port = port;
    this.#server = createServer((socket) => {
      this.connections += 1;
      this.#open.add(socket);
      socket.once("close", () => this.#open.delete(socket));
      socket.on("error", () => {});
      socket.once("data", () => socket.write(plainAddress(socket.remoteAddress)));
    });
    this.#server.listen({ fd: lab.inside(node, () => openPlainListener(port)) });
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}

/** Without the prefix that an IPv4 address has on an IPv6 socket. */
function plainAddress(address = ""): string {
  return address.replace(/^::ffff:/, "");
}

/** Connects, sends a byte, and waits for the answer. Rejects with the socket's error, or when `limitMs` has passed. */
export async function visit(
  lab: Lab,
  host: string,
  port: number,
  { from = "lan", limitMs = LIMIT_MS, dscp = 0 }: VisitOptions = {},
): Promise<Visit> {
  const startMs = performance.now();
  const socket = connectFrom(lab, from, host, port, dscp);
  const timer = setTimeout(() => socket.destroy(new Error(`${host}: no answer within ${limitMs} ms`)), limitMs);
  try {
    socket.write("?");
    const [answer] = (await once(socket, "data")) as [Buffer];
    return { peer: answer.toString(), firstByteMs: performance.now() - startMs };
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
