/**
 * A NAPT (RFC 3022 section 2.2): connections from the inside get another source address and port. Its mappings depend on
 * both ends, and nothing comes in that did not go out before. ICMP errors are translated with what they quote
 * (RFC 5508 section 4.2).
 */
import { writeUint16 } from "../../base/bytes.ts";
import { type Endpoint, endpointKey, type IpAddress, networkBytes } from "../../base/ip-address.ts";
import { emitIcmpError, parseIcmpError, parseQuotedSegment } from "../../wire/icmp.ts";
import { findTransport, parseIpPacket } from "../../wire/ip-packet.ts";
import { parseTcpPacket, type TcpPacket } from "../../wire/tcp/packet.ts";
import { FlowTable, flowEnds, flowKey } from "./flow-table.ts";
import { type Direction, type Middlebox, type Passed, passTcp, type TcpResult } from "./middlebox.ts";

export interface NatOptions {
  /** The address that the outside sees; of the family of the inside's. */
  readonly address: IpAddress;
  /** How long a connection may be silent; for ever when left out. */
  readonly idleMs?: number;
}

/** The dynamic ports (RFC 6335 section 6), handed out in their order. */
const FIRST_PORT = 49_152;
const PORTS = 65_536 - FIRST_PORT;

export class Nat implements Middlebox {
  readonly #address: IpAddress;
  /** By inside and outside end: the port outside. */
  readonly #outgoing: FlowTable<number>;
  /** By port outside and outside end: the inside end. */
  readonly #incoming: FlowTable<Endpoint>;
  #ports = 0;

  constructor({ address, idleMs }: NatOptions) {
    this.#address = address;
    this.#outgoing = new FlowTable(idleMs, PORTS);
    this.#incoming = new FlowTable(idleMs, PORTS);
  }

  onPacket(nowMs: number, packet: Uint8Array, direction: Direction): readonly Passed[] {
    if (direction === "forward") return passTcp(packet, direction, (tcp) => this.#goOut(nowMs, tcp));
    // What is no TCP would go to the NAT itself, errors about TCP aside.
    if (typeof parseTcpPacket(packet) === "string") return this.#bringErrorIn(nowMs, packet);
    return passTcp(packet, direction, (tcp) => this.#comeIn(nowMs, tcp));
  }

  #goOut(nowMs: number, tcp: TcpPacket): TcpResult {
    const ends = flowEnds(tcp, "forward");
    const port = this.#outgoing.getOrMake(flowKey(ends), nowMs, () => FIRST_PORT + (this.#ports++ % PORTS));
    this.#incoming.set(this.#incomingKey(port, ends.outside), ends.inside, nowMs);
    const ip = { ...tcp.ip, source: this.#address };
    return [{ direction: "forward", packet: { ip, segment: { ...tcp.segment, sourcePort: port } } }];
  }

  #comeIn(nowMs: number, tcp: TcpPacket): TcpResult {
    const { inside, outside } = flowEnds(tcp, "backward");
    const found = this.#incoming.get(this.#incomingKey(inside.port, outside), nowMs);
    if (found === undefined) return [];
    this.#outgoing.get(flowKey({ inside: found, outside }), nowMs);
    const ip = { ...tcp.ip, destination: found.address };
    return [{ direction: "backward", packet: { ip, segment: { ...tcp.segment, destinationPort: found.port } } }];
  }

  #bringErrorIn(nowMs: number, packet: Uint8Array): readonly Passed[] {
    const ip = parseIpPacket(packet);
    const error = typeof ip === "string" ? undefined : parseIcmpError(ip);
    const about = error && parseQuotedSegment(error.quoted);
    if (typeof ip === "string" || error === undefined || about === undefined) return [];
    const inside = this.#incoming.get(this.#incomingKey(about.source.port, about.destination), nowMs);
    if (inside === undefined) return [];
    const quoted = quotedFrom(error.quoted, inside);
    const { payload: _payload, ...header } = ip;
    const translated = emitIcmpError({ ...header, destination: inside.address }, error.reason, quoted);
    return [{ direction: "backward", packet: translated }];
  }

  #incomingKey(port: number, outside: Endpoint): string {
    return endpointKey({ address: this.#address, port }) + endpointKey(outside);
  }
}

/** The quoted packet as the inside had sent it; its checksums are left alone, as RFC 5508 allows. */
function quotedFrom(quoted: Uint8Array, inside: Endpoint): Uint8Array {
  const changed = quoted.slice();
  const isIpv4 = (changed[0] ?? 0) >> 4 === 4;
  changed.set(networkBytes(inside.address), isIpv4 ? 12 : 8);
  const transport = findTransport(changed);
  if (transport !== undefined) writeUint16(changed, transport.offset, inside.port);
  return changed;
}
