import { toHex } from "@hybrid-access/core/base/bytes";
import {
  addressKey,
  endpointKey,
  equalEndpoints,
  familyOf,
  formatEndpoint,
  formatIpAddress,
  ipAddress,
  ipAddressFromBytes,
  isIpv4,
  networkBytes,
  parseIpAddress,
} from "@hybrid-access/core/base/ip-address";
import { expect } from "chai";
import fc from "fast-check";

const BYTES = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
  // Runs of zeros are where RFC 5952 shortens.
  fc.array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 }).map((bytes) => Uint8Array.from(bytes)),
);

describe("base/ip-address", () => {
  it("reads back every address that it writes, and the bytes of every address it was made from", () => {
    fc.assert(
      fc.property(BYTES, (bytes) => {
        const address = ipAddressFromBytes(bytes);
        if (address === undefined) throw new Error("no address");
        expect(parseIpAddress(formatIpAddress(address))).to.deep.equal(address);
        expect(ipAddressFromBytes(networkBytes(address))).to.deep.equal(address);
        expect(networkBytes(address).length).to.equal(isIpv4(address) ? 4 : 16);
        expect(familyOf(address)).to.equal(formatIpAddress(address).includes(":") ? "ipv6" : "ipv4");
      }),
    );
  });

  it("writes IPv6 as RFC 5952 section 4 wants it", () => {
    for (const [given, written] of [
      ["2001:0db8:0000:0000:0000:0000:0002:0001", "2001:db8::2:1"],
      ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["0:0:0:0:0:0:0:0", "::"],
      ["FF02::1", "ff02::1"],
    ] as const) {
      expect(formatIpAddress(ipAddress(given))).to.equal(written);
    }
  });

  it("holds IPv4 as its mapped address (RFC 4291 section 2.5.5.2)", () => {
    expect(toHex(ipAddress("192.0.2.1"))).to.equal("00000000000000000000ffffc0000201");
    expect(ipAddress("::ffff:192.0.2.1")).to.deep.equal(ipAddress("192.0.2.1"));
    // The deprecated "compatible" form is not the mapped one, and is refused.
    expect(parseIpAddress("::192.0.2.1")).to.equal(undefined);
    expect(familyOf(ipAddress("::c000:201"))).to.equal("ipv6");
  });

  it("takes no other number of bytes, and copies what it takes", () => {
    for (const length of [0, 3, 5, 15, 17]) expect(ipAddressFromBytes(new Uint8Array(length))).to.equal(undefined);
    const bytes = Uint8Array.of(192, 0, 2, 1);
    const address = ipAddressFromBytes(bytes);
    bytes[3] = 9;
    expect(address && formatIpAddress(address)).to.equal("192.0.2.1");
  });

  it("never takes text for an address that it could not write", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f:.%/]{0,20}$/), (text) => {
        const address = parseIpAddress(text);
        if (address !== undefined) expect(parseIpAddress(formatIpAddress(address))).to.deep.equal(address);
      }),
    );
    expect(() => ipAddress("10.0.0.0/8")).to.throw(RangeError, "not an IP address: 10.0.0.0/8");
  });

  it("has one key for an address and an endpoint, and no other", () => {
    // Few values, so that equal ones come up.
    const address = fc
      .array(fc.constantFrom(0, 1, 0xd8, 0xff), { minLength: 16, maxLength: 16 })
      .map((bytes) => ipAddressFromBytes(Uint8Array.from(bytes)) ?? ipAddress("::"));
    const endpoint = fc.record({ address, port: fc.constantFrom(0, 1, 0xd800, 0xffff) });
    fc.assert(
      fc.property(endpoint, endpoint, (left, right) => {
        const sameAddress = toHex(left.address) === toHex(right.address);
        expect(addressKey(left.address) === addressKey(right.address)).to.equal(sameAddress);
        expect(endpointKey(left) === endpointKey(right)).to.equal(equalEndpoints(left, right));
        expect(endpointKey(left)).to.equal(
          endpointKey({ ...left, address: left.address.slice() as typeof left.address }),
        );
      }),
    );
  });

  it("compares and writes endpoints", () => {
    const endpoint = { address: ipAddress("192.0.2.1"), port: 80 };
    expect(equalEndpoints(endpoint, { address: ipAddress("::ffff:192.0.2.1"), port: 80 })).to.equal(true);
    expect(equalEndpoints(endpoint, { ...endpoint, port: 81 })).to.equal(false);
    expect(equalEndpoints(endpoint, { ...endpoint, address: ipAddress("192.0.2.2") })).to.equal(false);
    expect(formatEndpoint(endpoint)).to.equal("192.0.2.1:80");
  });
});
