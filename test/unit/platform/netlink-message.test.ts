import { concatBytes, toHex } from "@hybrid-access/core/base/bytes";
import {
  AttributeList,
  attribute,
  decodeAttributes,
  decodeMessages,
  encodeMessage,
  integer,
  nested,
  text,
  value,
} from "@hybrid-access/core/platform/netlink/message";
import { expect } from "chai";
import fc from "fast-check";

const MESSAGE = fc.record({
  type: fc.nat(0xffff),
  sequence: fc.nat(),
  body: fc.uint8Array({ maxLength: 40 }),
});
const ATTRIBUTE = fc.record({ type: fc.nat(0x3fff), bytes: fc.uint8Array({ maxLength: 40 }) });

/** Messages of a datagram begin at multiples of 4. */
function padded(bytes: Uint8Array): Uint8Array {
  return concatBytes([bytes, new Uint8Array(-bytes.length & 3)]);
}

describe("platform/netlink/message", () => {
  it("lays a message out as struct nlmsghdr of linux/netlink.h", () => {
    expect(toHex(encodeMessage(0x0102, 0x0304, 5, Uint8Array.of(0xaa)))).to.equal(
      "1100000002010403" + "0500000000000000aa",
    );
  });

  it("lays an attribute out as struct nlattr, padded to 4 bytes", () => {
    expect(toHex(attribute(3, Uint8Array.of(1, 2, 3, 4, 5)))).to.equal("090003000102030405000000");
    expect(toHex(nested(1, [attribute(2, value.uint8(7))]))).to.equal("0c000180" + "0500020007000000");
  });

  it("reads back every message of a datagram", () => {
    fc.assert(
      fc.property(fc.array(MESSAGE, { maxLength: 6 }), (messages) => {
        const datagram = concatBytes(
          messages.map(({ type, sequence, body }) => padded(encodeMessage(type, 0, sequence, body))),
        );
        expect(decodeMessages(datagram)).to.deep.equal(messages);
      }),
    );
  });

  it("reads back attributes, of a repeated one the last", () => {
    fc.assert(
      fc.property(fc.array(ATTRIBUTE, { maxLength: 8 }), (attributes) => {
        const bytes = concatBytes(attributes.map((one) => attribute(one.type, one.bytes)));
        const model = new Map(attributes.map((one) => [one.type, toHex(one.bytes)]));
        const read = new Map(Array.from(decodeAttributes(bytes), ([type, found]) => [type, toHex(found)]));
        expect(read).to.deep.equal(model);
        const list = new AttributeList(concatBytes([Uint8Array.of(0, 1, 2, 3), bytes]), 4);
        for (const [type, found] of model) expect(toHex(list.get(type) ?? Uint8Array.of())).to.equal(found);
      }),
    );
  });

  it("ends the list at what is cut off, and loses nothing before it", () => {
    fc.assert(
      fc.property(MESSAGE, MESSAGE, fc.nat(15), (first, second, kept) => {
        const start = padded(encodeMessage(first.type, 0, first.sequence, first.body));
        const cut = encodeMessage(second.type, 0, second.sequence, second.body).subarray(0, kept);
        expect(decodeMessages(concatBytes([start, cut]))).to.deep.equal([first]);
        const whole = attribute(1, first.body);
        const rest = attribute(2, Uint8Array.of(1, 2, 3, 4)).subarray(0, kept % 8);
        expect(Array.from(decodeAttributes(concatBytes([whole, rest])).keys())).to.deep.equal([1]);
      }),
    );
  });

  it("never throws nor loops on any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        for (const { body } of decodeMessages(bytes)) decodeAttributes(body);
        const decoded = decodeAttributes(bytes);
        const list = new AttributeList(bytes);
        for (let type = 0; type < 256; type++) {
          expect(list.get(type)).to.deep.equal(decoded.get(type));
          expect(list.integer(type)).to.equal(integer(decoded.get(type)));
        }
      }),
    );
    const lengthOfZero = new Uint8Array(32);
    expect(decodeMessages(lengthOfZero)).to.deep.equal([]);
    expect(decodeAttributes(lengthOfZero).size).to.equal(0);
  });

  it("reads integers of every width and text without its zero", () => {
    expect(integer(value.uint8(0xfe))).to.equal(0xfe);
    expect(integer(value.uint16(0xfedc))).to.equal(0xfedc);
    expect(integer(value.uint32(0xfedcba98))).to.equal(0xfedcba98);
    expect(integer(Uint8Array.of(1, 0, 0, 0, 1, 0, 0, 0))).to.equal(2 ** 32 + 1);
    expect(integer(new Uint8Array(3))).to.equal(undefined);
    expect(integer(undefined)).to.equal(undefined);
    expect(text(value.text("mptcp_pm"))).to.equal("mptcp_pm");
    expect(text(undefined)).to.equal(undefined);
  });
});
