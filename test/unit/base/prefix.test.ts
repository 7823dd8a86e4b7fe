import { toHex } from "@hybrid-access/core/base/bytes";
import {
  formatEndpoint,
  formatIpAddress,
  type IpAddress,
  ipAddress,
  parseIpAddress,
} from "@hybrid-access/core/base/ip-address";
import { contains, findPrefix, formatPrefix, makePrefix, parsePrefix, prefix } from "@hybrid-access/core/base/prefix";
import { expect } from "chai";
import fc from "fast-check";

const ADDRESS = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => bytes as IpAddress);

/** The first `length` bits as a number. */
function leadingBits(address: Uint8Array, length: number): bigint {
  return BigInt(`0x${toHex(address)}`) >> BigInt(128 - length);
}

describe("base/prefix and base/ip-address", () => {
  it("reads and writes addresses of both families", () => {
    for (const text of ["0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "2001:db8::1", "fe80::1"]) {
      expect(formatIpAddress(ipAddress(text))).to.equal(text);
    }
    expect(formatIpAddress(ipAddress("::ffff:10.0.0.1"))).to.equal("10.0.0.1");
    expect(formatEndpoint({ address: ipAddress("2001:db8::1"), port: 80 })).to.equal("[2001:db8::1]:80");
  });

  it("refuses what is no address", () => {
    for (const text of ["", "1.2.3", "1.2.3.256", "0x7f.0.0.1", "127.1", "fe80::1%eth0", "example.org", "1::2::3"]) {
      expect(parseIpAddress(text), text).to.equal(undefined);
    }
  });

  it("clears host bits and prints the prefix as it was meant", () => {
    expect(formatPrefix(prefix("10.1.2.3/9"))).to.equal("10.0.0.0/9");
    expect(formatPrefix(prefix("fd11::abcd/64"))).to.equal("fd11::/64");
    expect(formatPrefix(prefix("192.0.2.1"))).to.equal("192.0.2.1/32");
  });

  it("refuses what is no prefix", () => {
    for (const text of ["10.0.0.0/33", "fd00::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "x/8"]) {
      expect(parsePrefix(text), text).to.equal(undefined);
    }
  });

  it("knows what lies inside, to the bit", () => {
    expect(contains(prefix("10.1.0.0/15"), ipAddress("10.1.255.255"))).to.equal(true);
    expect(contains(prefix("10.1.0.0/16"), ipAddress("10.0.255.255"))).to.equal(false);
    expect(contains(prefix("10.0.0.0/8"), ipAddress("fd00::1"))).to.equal(false);
    expect(contains(prefix("::/0"), ipAddress("10.0.0.1"))).to.equal(true);
    expect(contains(prefix("0.0.0.0/0"), ipAddress("2001:db8::1"))).to.equal(false);
    expect(contains(prefix("2001:db8::/33"), ipAddress("2001:db8:8000::"))).to.equal(false);
  });

  it("holds exactly the addresses that share its first bits", () => {
    fc.assert(
      fc.property(
        ADDRESS,
        ADDRESS,
        fc.integer({ min: 0, max: 128 }),
        fc.integer({ min: 0, max: 127 }),
        (own, other, length, bit) => {
          const made = makePrefix(own, length);
          expect(contains(made, other)).to.equal(leadingBits(own, length) === leadingBits(other, length));
          // Most random pairs differ in their first bits: one bit of difference is the interesting case.
          const near = Uint8Array.from(own) as IpAddress;
          near[bit >> 3] = (near[bit >> 3] ?? 0) ^ (0x80 >> (bit & 7));
          expect(contains(made, near)).to.equal(bit >= length);
        },
      ),
    );
  });

  it("reads back every prefix that it writes", () => {
    fc.assert(
      fc.property(ADDRESS, fc.integer({ min: 0, max: 128 }), (address, length) => {
        const made = makePrefix(address, length);
        expect(parsePrefix(formatPrefix(made))).to.deep.equal(made);
      }),
    );
  });

  it("finds the first prefix that holds an address", () => {
    const prefixes = [prefix("10.1.0.0/16"), prefix("10.0.0.0/8"), prefix("::/0")];
    expect(findPrefix(prefixes, ipAddress("10.1.2.3"))).to.equal(prefixes[0]);
    expect(findPrefix(prefixes, ipAddress("10.2.2.3"))).to.equal(prefixes[1]);
    expect(findPrefix(prefixes.slice(0, 2), ipAddress("192.0.2.1"))).to.equal(undefined);
  });
});
