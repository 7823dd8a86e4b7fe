import { fromHex } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type { SegmentOption } from "@hybrid-access/core/wire/tcp/options";

const KEY_A = fromHex("0102030405060708");
const KEY_B = fromHex("1112131415161718");
const HMAC = fromHex("a1a2a3a4a5a6a7a8");
const V4 = ipAddress("192.0.2.1");
const V6 = ipAddress("2001:db8::1");
const V6_HEX = "20010db8000000000000000000000001";

/** Byte vectors worked out by hand from the figures of the RFCs: every option in every one of its forms. */
export const OPTION_VECTORS: readonly { section: string; what: string; option: SegmentOption; hex: string }[] = [
  {
    section: "RFC 9293 3.7.1",
    what: "maximum segment size 1460",
    option: { type: "maximumSegmentSize", bytes: 1460 },
    hex: "02 04 05b4",
  },
  { section: "RFC 7323 2.2", what: "window scale 7", option: { type: "windowScale", shift: 7 }, hex: "03 03 07" },
  { section: "RFC 2018 2", what: "SACK permitted", option: { type: "sackPermitted" }, hex: "04 02" },
  {
    section: "RFC 2018 3",
    what: "SACK of two blocks",
    option: {
      type: "sack",
      blocks: [
        { left: 5500, right: 6000 },
        { left: 0xfffffff0, right: 16 },
      ],
    },
    hex: "05 12 0000157c 00001770 fffffff0 00000010",
  },
  {
    section: "RFC 7323 3.2",
    what: "timestamps",
    option: { type: "timestamps", value: 0x80000001, echoReply: 2 },
    hex: "08 0a 80000001 00000002",
  },
  {
    section: "RFC 7413 4.1.1",
    what: "Fast Open request",
    option: { type: "fastOpen", cookie: fromHex("") },
    hex: "22 02",
  },
  {
    section: "RFC 7413 4.1.1",
    what: "Fast Open cookie",
    option: { type: "fastOpen", cookie: HMAC },
    hex: "22 0a a1a2a3a4a5a6a7a8",
  },
  {
    section: "RFC 8684 3.1",
    what: "MP_CAPABLE, SYN of version 1, checksum required",
    option: { type: "capable", version: 1, flags: 0x81 },
    hex: "1e 04 01 81",
  },
  {
    section: "RFC 8684 3.1",
    what: "MP_CAPABLE, SYN/ACK with flag C",
    option: { type: "capable", version: 1, flags: 0x21, senderKey: KEY_B },
    hex: "1e 0c 01 21 1112131415161718",
  },
  {
    section: "RFC 8684 3.1",
    what: "MP_CAPABLE, third ACK",
    option: { type: "capable", version: 1, flags: 0x01, senderKey: KEY_A, receiverKey: KEY_B },
    hex: "1e 14 01 01 0102030405060708 1112131415161718",
  },
  {
    section: "RFC 8684 3.1",
    what: "MP_CAPABLE, third ACK with data",
    option: { type: "capable", version: 1, flags: 0x01, senderKey: KEY_A, receiverKey: KEY_B, data: { length: 1400 } },
    hex: "1e 16 01 01 0102030405060708 1112131415161718 0578",
  },
  {
    section: "RFC 8684 3.1",
    what: "MP_CAPABLE, third ACK with data and checksum",
    option: {
      type: "capable",
      version: 1,
      flags: 0x81,
      senderKey: KEY_A,
      receiverKey: KEY_B,
      data: { length: 1400, checksum: 0xbeef },
    },
    hex: "1e 18 01 81 0102030405060708 1112131415161718 0578 beef",
  },
  {
    section: "RFC 6824 3.1",
    what: "MP_CAPABLE, SYN of version 0",
    option: { type: "capable", version: 0, flags: 0x81, senderKey: KEY_A },
    hex: "1e 0c 00 81 0102030405060708",
  },
  {
    section: "RFC 6824 3.1",
    what: "MP_CAPABLE, third ACK of version 0",
    option: { type: "capable", version: 0, flags: 0x81, senderKey: KEY_A, receiverKey: KEY_B },
    hex: "1e 14 00 81 0102030405060708 1112131415161718",
  },
  {
    section: "RFC 8684 3.2",
    what: "MP_JOIN of a SYN, backup",
    option: { type: "joinSyn", backup: true, addressId: 5, token: 0xfedcba98, nonce: 0x01020304 },
    hex: "1e 0c 11 05 fedcba98 01020304",
  },
  {
    section: "RFC 8684 3.2",
    what: "MP_JOIN of a SYN/ACK",
    option: { type: "joinSynAck", backup: false, addressId: 6, hmac: HMAC, nonce: 0xf1f2f3f4 },
    hex: "1e 10 10 06 a1a2a3a4a5a6a7a8 f1f2f3f4",
  },
  {
    section: "RFC 8684 3.2",
    what: "MP_JOIN of the third ACK",
    option: { type: "joinAck", hmac: fromHex("000102030405060708090a0b0c0d0e0f10111213") },
    hex: "1e 18 10 00 000102030405060708090a0b0c0d0e0f10111213",
  },
  { section: "RFC 8684 3.3", what: "DSS that says nothing", option: { type: "dss" }, hex: "1e 04 20 00" },
  {
    section: "RFC 8684 3.3",
    what: "DSS with a data acknowledgment of 32 bits",
    option: { type: "dss", dataAck: { octets: 4, value: 0xfffffffen } },
    hex: "1e 08 20 01 fffffffe",
  },
  {
    section: "RFC 8684 3.3",
    what: "DSS with a data acknowledgment of 64 bits",
    option: { type: "dss", dataAck: { octets: 8, value: 0xfedcba9876543210n } },
    hex: "1e 0c 20 03 fedcba9876543210",
  },
  {
    section: "RFC 8684 3.3",
    what: "DSS with everything, as long as it can be",
    option: {
      type: "dss",
      dataAck: { octets: 8, value: 1n },
      mapping: { sequence: { octets: 8, value: 2n }, subflowSequence: 3, length: 4, dataFin: true, checksum: 0xbeef },
    },
    hex: "1e 1c 20 1f 0000000000000001 0000000000000002 00000003 0004 beef",
  },
  {
    section: "RFC 8684 3.3",
    what: "DSS with a mapping of 32 bits, without checksum",
    option: {
      type: "dss",
      mapping: { sequence: { octets: 4, value: 2n }, subflowSequence: 3, length: 1, dataFin: false },
    },
    hex: "1e 0e 20 04 00000002 00000003 0001",
  },
  {
    section: "RFC 8684 3.3.3",
    what: "DSS of a DATA_FIN that stands alone",
    option: {
      type: "dss",
      dataAck: { octets: 4, value: 9n },
      mapping: { sequence: { octets: 8, value: 7n }, subflowSequence: 0, length: 1, dataFin: true },
    },
    hex: "1e 16 20 1d 00000009 0000000000000007 00000000 0001",
  },
  {
    section: "RFC 8684 3.4.1",
    what: "ADD_ADDR of an IPv4 address",
    option: { type: "addAddress", addressId: 3, address: V4, hmac: HMAC },
    hex: "1e 10 30 03 c0000201 a1a2a3a4a5a6a7a8",
  },
  {
    section: "RFC 8684 3.4.1",
    what: "ADD_ADDR of an IPv4 address and port",
    option: { type: "addAddress", addressId: 3, address: V4, port: 5124, hmac: HMAC },
    hex: "1e 12 30 03 c0000201 1404 a1a2a3a4a5a6a7a8",
  },
  {
    section: "RFC 8684 3.4.1",
    what: "ADD_ADDR of an IPv6 address",
    option: { type: "addAddress", addressId: 3, address: V6, hmac: HMAC },
    hex: `1e 1c 30 03 ${V6_HEX} a1a2a3a4a5a6a7a8`,
  },
  {
    section: "RFC 8684 3.4.1",
    what: "ADD_ADDR of an IPv6 address and port",
    option: { type: "addAddress", addressId: 3, address: V6, port: 5124, hmac: HMAC },
    hex: `1e 1e 30 03 ${V6_HEX} 1404 a1a2a3a4a5a6a7a8`,
  },
  {
    section: "RFC 8684 3.4.1",
    what: "ADD_ADDR, echo",
    option: { type: "addAddress", addressId: 3, address: V4 },
    hex: "1e 08 31 03 c0000201",
  },
  {
    section: "RFC 8684 3.4.1",
    what: "ADD_ADDR, echo with a port, IPv6",
    option: { type: "addAddress", addressId: 3, address: V6, port: 5124 },
    hex: `1e 16 31 03 ${V6_HEX} 1404`,
  },
  {
    section: "RFC 6824 3.4.1",
    what: "ADD_ADDR of version 0, IPv4 and port",
    option: { type: "addAddressV0", addressId: 3, address: V4, port: 5124 },
    hex: "1e 0a 34 03 c0000201 1404",
  },
  {
    section: "RFC 6824 3.4.1",
    what: "ADD_ADDR of version 0, IPv6",
    option: { type: "addAddressV0", addressId: 3, address: V6 },
    hex: `1e 14 36 03 ${V6_HEX}`,
  },
  {
    section: "RFC 8684 3.4.2",
    what: "REMOVE_ADDR of three addresses",
    option: { type: "removeAddress", addressIds: [3, 0, 255] },
    hex: "1e 06 40 03 00 ff",
  },
  { section: "RFC 8684 3.3.8", what: "MP_PRIO", option: { type: "priority", backup: true }, hex: "1e 03 51" },
  {
    section: "RFC 6824 3.3.8",
    what: "MP_PRIO of version 0 with an address",
    option: { type: "priority", backup: false, addressId: 4 },
    hex: "1e 04 50 04",
  },
  {
    section: "RFC 8684 3.7",
    what: "MP_FAIL",
    option: { type: "fail", sequence: 0xfedcba9876543210n },
    hex: "1e 0c 60 00 fedcba9876543210",
  },
  {
    section: "RFC 8684 3.5",
    what: "MP_FASTCLOSE",
    option: { type: "fastClose", receiverKey: KEY_B },
    hex: "1e 0c 70 00 1112131415161718",
  },
  {
    section: "RFC 8684 3.6",
    what: "MP_TCPRST, transient, lack of resources",
    option: { type: "reset", transient: true, reason: 2 },
    hex: "1e 04 81 02",
  },
  {
    section: "RFC 9293 3.1",
    what: "an option that is not known",
    option: { type: "unknown", kind: 28, data: fromHex("8123") },
    hex: "1c 04 8123",
  },
];
