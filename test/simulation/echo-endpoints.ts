/**
 * The smallest endpoints that a path can be tested with: a server that sends back every segment, and a client that asks it
 * chunk by chunk, repeating what is not answered. TCP's packets, but none of its machinery.
 */
import { equalBytes } from "@hybrid-access/core/base/bytes";
import { endpointKey, familyOf, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type { PacketEndpoint } from "@hybrid-access/core/stack/endpoint";
import { IP_PROTOCOL, type IpHeader } from "@hybrid-access/core/wire/ip-packet";
import { emitTcpPacket, parseTcpPacket, type TcpPacket } from "@hybrid-access/core/wire/tcp/packet";
import { TCP_FLAG, type TcpSegment } from "@hybrid-access/core/wire/tcp/segment";

export const ECHO_PORT = 7;
const SERVER_INITIAL_SEQUENCE = 5000;
const CLIENT_INITIAL_SEQUENCE = 0xffffff00;
const FIRST_REPEAT_MS = 400;
const LONGEST_REPEAT_MS = 6000;
/** A bad link of the random paths lasts for ten packets in the mean, so that many in a row mean something else. */
const MOST_TRIES = 150;

const EMPTY: Omit<TcpSegment, "sourcePort" | "destinationPort" | "sequence" | "acknowledgment" | "flags"> = {
  window: 0xffff,
  urgentPointer: 0,
  options: [],
  payload: new Uint8Array(),
};

/** Sends each byte back at the place in its stream that it had in the client's. */
export class EchoServer implements PacketEndpoint {
  readonly #ready: Uint8Array[] = [];
  /** Of each client, what to add to its sequence numbers. */
  readonly #shifts = new Map<string, number>();

  onPacket(_nowMs: number, packet: Uint8Array): void {
    const read = parseTcpPacket(packet);
    if (typeof read === "string" || read.segment.destinationPort !== ECHO_PORT) return;
    const { flags, sequence, payload, sourcePort } = read.segment;
    const client = endpointKey({ address: read.ip.source, port: sourcePort });
    const isSyn = (flags & TCP_FLAG.syn) !== 0;
    if (isSyn) this.#shifts.set(client, SERVER_INITIAL_SEQUENCE - sequence);
    const shift = this.#shifts.get(client);
    if (shift === undefined || (!isSyn && payload.length === 0)) return;
    this.#answer(read, {
      ...EMPTY,
      sourcePort: ECHO_PORT,
      destinationPort: sourcePort,
      sequence: (sequence + shift) >>> 0,
      acknowledgment: (sequence + (isSyn ? 1 : payload.length)) >>> 0,
      flags: isSyn ? TCP_FLAG.syn | TCP_FLAG.ack : TCP_FLAG.ack,
      payload,
    });
  }

  #answer({ ip }: TcpPacket, segment: TcpSegment): void {
    this.#ready.push(emitTcpPacket({ ip: { ...ip, source: ip.destination, destination: ip.source }, segment }));
  }

  onTimeout(): void {}

  pollTransmit(): Uint8Array | undefined {
    return this.#ready.shift();
  }

  pollTimeout(): undefined {}
}

/** What has become of a client's flow. */
export type EchoOutcome = "open" | "complete" | "gaveUp" | "wrongBytes";

/** One flow: opens it, has each chunk echoed, and ends. */
export class EchoClient implements PacketEndpoint {
  outcome: EchoOutcome = "open";
  readonly #ip: IpHeader;
  readonly #chunks: readonly Uint8Array[];
  #chunk = -1;
  /** 1 for each byte of the chunk that has come back. */
  #echoed = new Uint8Array();
  #offset = 0;
  #serverInitial = 0;
  #tries = 0;
  #sendAtMs: number | undefined = 0;

  constructor(source: IpAddress, destination: IpAddress, chunks: readonly Uint8Array[]) {
    const common = { source, destination, protocol: IP_PROTOCOL.tcp, trafficClass: 0, hopLimit: 64 };
    this.#ip =
      familyOf(source) === "ipv4"
        ? { ...common, family: "ipv4", identification: 0, dontFragment: true }
        : { ...common, family: "ipv6", flowLabel: 0 };
    this.#chunks = chunks;
  }

  onPacket(nowMs: number, packet: Uint8Array): void {
    const read = parseTcpPacket(packet);
    if (typeof read === "string" || !this.#isMine(read) || this.outcome !== "open") return;
    const { flags, sequence, payload } = read.segment;
    if ((flags & TCP_FLAG.syn) !== 0) this.#onAccepted(nowMs, sequence);
    else if (payload.length > 0) this.#onEcho(nowMs, sequence, payload);
  }

  #isMine({ ip, segment }: TcpPacket): boolean {
    return equalBytes(ip.destination, this.#ip.source) && segment.sourcePort === ECHO_PORT;
  }

  #onAccepted(nowMs: number, sequence: number): void {
    if (this.#chunk !== -1) return;
    this.#serverInitial = sequence;
    this.#begin(nowMs, 0);
  }

  #onEcho(nowMs: number, sequence: number, payload: Uint8Array): void {
    const chunk = this.#chunks[this.#chunk];
    const at = (sequence - this.#serverInitial - 1 - this.#offset) | 0;
    // An echo of an earlier chunk that comes late.
    if (chunk === undefined || at < 0 || at + payload.length > chunk.length) return;
    if (!equalBytes(chunk.subarray(at, at + payload.length), payload)) {
      this.#end("wrongBytes");
      return;
    }
    this.#echoed.fill(1, at, at + payload.length);
    if (!this.#echoed.includes(0)) this.#begin(nowMs, this.#chunk + 1);
  }

  #begin(nowMs: number, chunk: number): void {
    this.#offset += this.#chunks[this.#chunk]?.length ?? 0;
    this.#chunk = chunk;
    this.#echoed = new Uint8Array(this.#chunks[chunk]?.length ?? 0);
    this.#tries = 0;
    this.#sendAtMs = nowMs;
    if (chunk >= this.#chunks.length) this.#end("complete");
  }

  #end(outcome: EchoOutcome): void {
    this.outcome = outcome;
    this.#sendAtMs = undefined;
  }

  onTimeout(): void {}

  pollTimeout(): number | undefined {
    return this.#sendAtMs;
  }

  pollTransmit(nowMs: number): Uint8Array | undefined {
    if (this.#sendAtMs === undefined || this.#sendAtMs > nowMs) return undefined;
    if (this.#tries === MOST_TRIES) {
      this.#end("gaveUp");
      return undefined;
    }
    this.#sendAtMs = nowMs + Math.min(FIRST_REPEAT_MS * 2 ** this.#tries, LONGEST_REPEAT_MS);
    this.#tries += 1;
    return emitTcpPacket({ ip: this.#ip, segment: this.#segment() });
  }

  #segment(): TcpSegment {
    const isSyn = this.#chunk === -1;
    const position = isSyn ? 0 : 1 + this.#offset;
    return {
      ...EMPTY,
      sourcePort: 40_000,
      destinationPort: ECHO_PORT,
      sequence: (CLIENT_INITIAL_SEQUENCE + position) >>> 0,
      acknowledgment: isSyn ? 0 : (this.#serverInitial + position) >>> 0,
      flags: isSyn ? TCP_FLAG.syn : TCP_FLAG.ack,
      payload: isSyn ? new Uint8Array() : (this.#chunks[this.#chunk] ?? new Uint8Array()),
    };
  }
}
