/** A client of the Convert Protocol for tests: sends any bytes to a HAG, over plain or Multipath TCP, from any address. */
import { Socket } from "node:net";
import { type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { check } from "@hybrid-access/core/platform/errno";
import {
  bind,
  IPPROTO_MPTCP,
  IPPROTO_TCP,
  OPTION,
  openStreamSocket,
  setOption,
  type TransportProtocol,
} from "@hybrid-access/core/platform/socket";
import { addressFamily } from "@hybrid-access/core/platform/socket-address";
import { type ConvertMessage, emitConvertMessage, parseConvertMessage } from "@hybrid-access/core/wire/convert/message";
import type { Tlv } from "@hybrid-access/core/wire/convert/tlv";
import { GATEWAY } from "./gateway.ts";
import type { Lab } from "./lab.ts";

export const TRANSPORTS = { "plain TCP": IPPROTO_TCP, "Multipath TCP": IPPROTO_MPTCP } as const;
export type Transport = keyof typeof TRANSPORTS;

export interface ConvertOptions {
  readonly transport?: Transport;
  /** The client's address; decides the family. */
  readonly from?: string;
  /** Puts the first bytes into the SYN. */
  readonly fastOpen?: boolean;
  /** The client's node, and the gateway's address, where they are not those of the lab with a gateway alone. */
  readonly node?: string;
  readonly gateway?: string;
}

/** How the HAG answered: a message and what followed it, then how the stream ended. */
export interface ConvertOutcome {
  readonly message: ConvertMessage | undefined;
  readonly payload: Buffer;
  /** "end", or the error's code; undefined while the connection is open. */
  readonly end: string | undefined;
}

/** The error code of an outcome, or undefined. */
export function errorCode({ message }: ConvertOutcome): number | undefined {
  return message?.find((tlv): tlv is Tlv & { type: "error" } => tlv.type === "error")?.code;
}

/** A Connect to a destination, IPv4 or IPv6. */
export function connectTo(address: string | IpAddress, port: number, ...others: Tlv[]): Uint8Array {
  const peer = { address: typeof address === "string" ? ipAddress(address) : address, port };
  return emitConvertMessage([...others, { type: "connect", peer, options: [] }]);
}

const LIMIT_MS = 10_000;

/** One connection to the HAG. */
export class ConvertClient {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #end: string | undefined;

  /** Connects and sends `first`. */
  constructor(lab: Lab, first: Uint8Array, options: ConvertOptions = {}) {
    const { transport = "plain TCP", from = GATEWAY.client, fastOpen = false, node = "cli" } = options;
    const fd = lab.inside(node, () => open(ipAddress(from), TRANSPORTS[transport], fastOpen));
    const host = options.gateway ?? (from.includes(":") ? GATEWAY.gateway6 : GATEWAY.gateway);
    this.socket = new Socket({ fd, allowHalfOpen: true, readable: true, writable: true, manualStart: true } as object);
    this.socket.on("data", (chunk) => {
      this.#received = Buffer.concat([this.#received, chunk]);
    });
    this.socket.once("end", () => this.#finish("end"));
    this.socket.once("error", (error: NodeJS.ErrnoException) => this.#finish(error.code ?? "error"));
    this.socket.once("close", () => this.#finish("closed"));
    this.socket.connect({ host, port: GATEWAY.port });
    if (first.length > 0) this.socket.write(first);
  }

  #finish(end: string): void {
    this.#end ??= end;
  }

  get outcome(): ConvertOutcome {
    const parsed = parseConvertMessage(this.#received);
    return parsed.outcome === "message"
      ? { message: parsed.message, payload: this.#received.subarray(parsed.byteLength), end: this.#end }
      : { message: undefined, payload: this.#received, end: this.#end };
  }

  /** Waits for a whole Convert message, or for the connection's end. */
  async answer(): Promise<ConvertOutcome> {
    await this.#until("the HAG answers", () => this.outcome.message !== undefined || this.#end !== undefined);
    return this.outcome;
  }

  /** Waits for the connection's end. */
  async ended(): Promise<ConvertOutcome> {
    await this.#until("the HAG ends the connection", () => this.#end !== undefined);
    return this.outcome;
  }

  /** Waits for so many bytes behind the Convert message. */
  async payload(bytes: number): Promise<Buffer> {
    await this.#until(`${bytes} bytes come`, () => this.outcome.payload.length >= bytes || this.#end !== undefined);
    return this.outcome.payload;
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    if (holds()) return;
    await new Promise<void>((resolve, reject) => {
      const events = ["data", "end", "error", "close"] as const;
      const done = (settle: () => void) => {
        clearTimeout(timer);
        for (const event of events) this.socket.off(event, look);
        settle();
      };
      const look = () => holds() && done(resolve);
      const timer = setTimeout(() => done(() => reject(new Error(`${what}: not in time`))), LIMIT_MS);
      for (const event of events) this.socket.on(event, look);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  reset(): void {
    this.socket.resetAndDestroy();
  }
}

function open(source: IpAddress, protocol: TransportProtocol, fastOpen: boolean): number {
  const fd = check(openStreamSocket(addressFamily(source), protocol), "socket");
  if (fastOpen) {
    check(setOption(fd, OPTION.tcpFastOpenNoCookie, 1), "TCP_FASTOPEN_NO_COOKIE");
    check(setOption(fd, OPTION.tcpFastOpenConnect, 1), "TCP_FASTOPEN_CONNECT");
  }
  setOption(fd, OPTION.ipBindAddressNoPort, 1);
  check(bind(fd, { address: source, port: 0 }), "bind");
  return fd;
}

/** One request and its answer; the connection is closed afterwards. */
export async function ask(lab: Lab, request: Uint8Array, options: ConvertOptions = {}): Promise<ConvertOutcome> {
  const client = new ConvertClient(lab, request, options);
  try {
    const { message } = await client.answer();
    // An answer that is an error is followed by the end; one that is not leaves the connection open.
    return message?.some(({ type }) => type === "error") ? await client.ended() : client.outcome;
  } finally {
    client.close();
  }
}
