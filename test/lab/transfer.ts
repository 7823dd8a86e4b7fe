/** Transfers through the lab by an ordinary curl on the LAN host, one TCP connection each. */
import { truncateSync, writeFileSync } from "node:fs";
import type { HttpServer } from "./http-server.ts";
import { ADDRESS } from "./hybrid.ts";
import type { Pair } from "./pair.ts";

export type TransferFamily = "IPv4" | "IPv6";
export type TransferDirection = "download" | "upload";

export const FAMILIES: readonly TransferFamily[] = ["IPv4", "IPv6"];
export const DIRECTIONS: readonly TransferDirection[] = ["download", "upload"];

/** The lab as transfers need it: the pair, and a server of ours on the node "srv". */
export interface TransferLab {
  readonly pair: Pair;
  readonly server: HttpServer;
}

export interface TransferOptions {
  readonly family: TransferFamily;
  readonly direction: TransferDirection;
  /** Payload. */
  readonly bytes: number;
  /** Ends curl before its time. */
  readonly signal?: AbortSignal | undefined;
}

/** One finished transfer, as the client saw it. */
export interface Transfer {
  /** From curl's start to its last byte; for an upload, to the server's answer. */
  readonly seconds: number;
  /** Payload over that time. */
  readonly goodputBitsPerSecond: number;
  /** Whether the server's peer was the gateway; otherwise the connection came direct. */
  readonly throughGateway: boolean;
}

/** What the gateway's connections come from toward the server, with a shared egress. */
const GATEWAY_EGRESS = ["10.3.3.1", "fd33::1"];
const SLOWEST_SECONDS = 120;

/** Runs one transfer. Throws when curl fails or bytes are missing. */
export async function transfer({ pair, server }: TransferLab, options: TransferOptions): Promise<Transfer> {
  const { family, direction, bytes, signal } = options;
  const host = family === "IPv4" ? ADDRESS.server : `[${ADDRESS.server6}]`;
  const url = `http://${host}:${server.port}/`;
  const what = direction === "download" ? [`${url}${bytes}`] : ["--upload-file", payloadFile(pair, bytes), url];
  const output = await curl(pair, what, signal);
  const [seconds = 0, downloaded = 0, uploaded = 0] = output.split(" ").map(Number);
  const { peer = "", receivedBytes = 0 } = server.lastRequest ?? {};
  const arrived = direction === "download" ? downloaded : Math.min(uploaded, receivedBytes);
  if (arrived !== bytes) throw new Error(`the ${family} ${direction} carried ${arrived} of ${bytes} bytes`);
  return { seconds, goodputBitsPerSecond: (bytes * 8) / seconds, throughGateway: GATEWAY_EGRESS.includes(peer) };
}

/** Prints: seconds, bytes downloaded, bytes uploaded. */
async function curl(pair: Pair, what: readonly string[], signal: AbortSignal | undefined): Promise<string> {
  const format = "%{time_total} %{size_download} %{size_upload}";
  const quiet = ["-q", "--silent", "--show-error", "--fail", "--globoff", "--noproxy", "*", "--output", "/dev/null"];
  const limits = ["--max-time", String(SLOWEST_SECONDS)];
  const command = ["curl", ...quiet, ...limits, "--write-out", format, ...what];
  return await pair.lab.run("lan", command, signal === undefined ? {} : { signal });
}

/** A file of zeros that takes no room on the disk. */
function payloadFile(pair: Pair, bytes: number): string {
  const path = pair.file("payload");
  writeFileSync(path, "");
  truncateSync(path, bytes);
  return path;
}
