/** What the load generator's client and server agree on, and what the benchmark asks of the client. */

/** What the server does on each of its ports. */
export const PORT = {
  /** Drops what comes; at the end of the stream it answers with the number of bytes, 8 bytes big-endian, and closes. */
  sink: 7001,
  /** Sends as long as the client takes it. */
  source: 7002,
  /** Sends back what comes. */
  echo: 7003,
  /** Reads a request of {@link REQUEST_BYTES}, sends {@link REPLY_BYTES}, closes. */
  reply: 7004,
} as const;

export type Role = keyof typeof PORT;

export const ROLES = Object.keys(PORT) as Role[];

export const REQUEST_BYTES = 101;
export const REPLY_BYTES = 1024;
export const COUNT_BYTES = 8;
/** One send() or one discarding recv() of a bulk transfer. */
export const CHUNK_BYTES = 256 * 1024;
/** The address of the userspace engine in engine-client.ts, behind its node. */
export const USERSPACE_ADDRESS = "10.7.0.2";
/** Connections that a load has open at once, at most. */
export const MAX_CONNECTIONS = 10_000;

/** One load. `address` is the server's own, or that of a relay in front of it. */
export type LoadRequest =
  | { readonly load: "up" | "down"; readonly address: string; readonly connections: number; readonly seconds: number }
  | { readonly load: "short"; readonly address: string; readonly connections: number; readonly seconds: number }
  | { readonly load: "ping"; readonly address: string; readonly seconds: number }
  /** Opens connections, lets one byte go there and back on each, and keeps them; "release" closes them. */
  | { readonly load: "hold"; readonly address: string; readonly connections: number }
  | { readonly load: "release" };

/** What a load did. Counts that it does not have are 0. */
export interface LoadResult {
  /** Up: from the first connect to the receiver's last answer. Down: from the first connect to the deadline. */
  readonly seconds: number;
  /** Payload that the receiver has read. */
  readonly bytes: number;
  /** Connections carried to their end, or round trips. */
  readonly count: number;
  /** Of a connection (connect to end of the reply) or of a round trip. */
  readonly p50Us: number;
  readonly p99Us: number;
}

export type LoadReply = { readonly result: LoadResult } | { readonly error: string };
