/** Every legal packet, for properties: fast-check arbitraries of the values of wire/. */
import { type IpAddress, ipAddressFromBytes } from "@hybrid-access/core/base/ip-address";
import type { IpHeader } from "@hybrid-access/core/wire/ip-packet";
import type { DataNumber, DssMapping, MptcpOption } from "@hybrid-access/core/wire/mptcp/options";
import { optionsWithoutRoom, type SegmentOption } from "@hybrid-access/core/wire/tcp/options";
import type { TcpSegment } from "@hybrid-access/core/wire/tcp/segment";
import fc from "fast-check";

export const uint8 = fc.integer({ min: 0, max: 0xff });
export const uint16 = fc.integer({ min: 0, max: 0xffff });
export const uint32 = fc.integer({ min: 0, max: 0xffffffff });
const uint64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });

function bytes(length: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: length, maxLength: length });
}

export const ipv4Address = bytes(4).map((each) => ipAddressFromBytes(each) as IpAddress);
/** In 2000::/3, so that none is an IPv4-mapped one. */
export const ipv6Address = bytes(16).map((each) => {
  each[0] = 0x20 | ((each[0] ?? 0) & 0x1f);
  return each as IpAddress;
});

const dataNumber: fc.Arbitrary<DataNumber> = fc.oneof(
  uint64.map((value) => ({ octets: 8 as const, value })),
  uint32.map((value) => ({ octets: 4 as const, value: BigInt(value) })),
);

const mapping: fc.Arbitrary<DssMapping> = fc.record(
  { sequence: dataNumber, subflowSequence: uint32, length: uint16, dataFin: fc.boolean(), checksum: uint16 },
  { requiredKeys: ["sequence", "subflowSequence", "length", "dataFin"] },
);

const address = fc.oneof(ipv4Address, ipv6Address);
const key = bytes(8);

/** One arbitrary, or several, for each kind of option. */
const MPTCP: { readonly [Type in MptcpOption["type"]]: fc.Arbitrary<Extract<MptcpOption, { type: Type }>> } = {
  capable: fc.oneof(
    fc.record({ type: fc.constant("capable" as const), version: fc.integer({ min: 1, max: 15 }), flags: uint8 }),
    fc.record(
      { type: fc.constant("capable" as const), version: fc.nat(15), flags: uint8, senderKey: key, receiverKey: key },
      { requiredKeys: ["type", "version", "flags", "senderKey"] },
    ),
    fc.record({
      type: fc.constant("capable" as const),
      version: fc.constant(1),
      flags: uint8,
      senderKey: key,
      receiverKey: key,
      data: fc.record({ length: uint16, checksum: uint16 }, { requiredKeys: ["length"] }),
    }),
  ),
  joinSyn: fc.record({
    type: fc.constant("joinSyn"),
    backup: fc.boolean(),
    addressId: uint8,
    token: uint32,
    nonce: uint32,
  }),
  joinSynAck: fc.record({
    type: fc.constant("joinSynAck"),
    backup: fc.boolean(),
    addressId: uint8,
    hmac: bytes(8),
    nonce: uint32,
  }),
  joinAck: fc.record({ type: fc.constant("joinAck"), hmac: bytes(20) }),
  dss: fc.record({ type: fc.constant("dss" as const), dataAck: dataNumber, mapping }, { requiredKeys: ["type"] }),
  addAddress: fc.record(
    { type: fc.constant("addAddress" as const), addressId: uint8, address, port: uint16, hmac: bytes(8) },
    { requiredKeys: ["type", "addressId", "address"] },
  ),
  addAddressV0: fc.record(
    { type: fc.constant("addAddressV0" as const), addressId: uint8, address, port: uint16 },
    { requiredKeys: ["type", "addressId", "address"] },
  ),
  removeAddress: fc.record({
    type: fc.constant("removeAddress"),
    addressIds: fc.array(uint8, { minLength: 1, maxLength: 37 }),
  }),
  priority: fc.record(
    { type: fc.constant("priority" as const), backup: fc.boolean(), addressId: uint8 },
    { requiredKeys: ["type", "backup"] },
  ),
  fail: fc.record({ type: fc.constant("fail"), sequence: uint64 }),
  fastClose: fc.record({ type: fc.constant("fastClose"), receiverKey: key }),
  reset: fc.record({ type: fc.constant("reset"), transient: fc.boolean(), reason: uint8 }),
};

const KNOWN_KINDS = [2, 3, 4, 5, 8, 30, 34];
const unknownKind = fc.integer({ min: 2, max: 255 }).filter((kind) => !KNOWN_KINDS.includes(kind));

const PLAIN: readonly fc.Arbitrary<SegmentOption>[] = [
  fc.record({ type: fc.constant("maximumSegmentSize"), bytes: uint16 }),
  fc.record({ type: fc.constant("windowScale"), shift: uint8 }),
  fc.constant({ type: "sackPermitted" }),
  fc.record({
    type: fc.constant("sack"),
    blocks: fc.array(fc.record({ left: uint32, right: uint32 }), { minLength: 1, maxLength: 4 }),
  }),
  fc.record({ type: fc.constant("timestamps"), value: uint32, echoReply: uint32 }),
  fc.record({
    type: fc.constant("fastOpen"),
    cookie: fc.constantFrom(0, 4, 6, 8, 10, 12, 14, 16).chain((length) => bytes(length)),
  }),
  fc.record({ type: fc.constant("unknown"), kind: unknownKind, data: fc.uint8Array({ maxLength: 8 }) }),
];

export const mptcpOption: fc.Arbitrary<MptcpOption> = fc.oneof(...Object.values(MPTCP));
export const segmentOption: fc.Arbitrary<SegmentOption> = fc.oneof(mptcpOption, ...PLAIN);

/** As many options as fit into a header. */
export const segmentOptions = fc
  .array(segmentOption, { maxLength: 6 })
  .map((options) => options.slice(0, options.length - optionsWithoutRoom(options).length));

export const segment: fc.Arbitrary<TcpSegment> = fc.record({
  sourcePort: uint16,
  destinationPort: uint16,
  sequence: uint32,
  acknowledgment: uint32,
  flags: uint8,
  window: uint16,
  urgentPointer: uint16,
  options: segmentOptions,
  payload: fc.uint8Array({ maxLength: 64 }),
});

const common = { protocol: fc.constant(6), trafficClass: uint8, hopLimit: uint8 };

export const ipHeader: fc.Arbitrary<IpHeader> = fc.oneof(
  fc.record({
    ...common,
    family: fc.constant("ipv4" as const),
    source: ipv4Address,
    destination: ipv4Address,
    identification: uint16,
    dontFragment: fc.boolean(),
  }),
  fc.record({
    ...common,
    family: fc.constant("ipv6" as const),
    source: ipv6Address,
    destination: ipv6Address,
    flowLabel: fc.integer({ min: 0, max: 0xfffff }),
  }),
);
