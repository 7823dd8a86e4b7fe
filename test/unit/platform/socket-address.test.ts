import { toHex } from "@hybrid-access/core/base/bytes";
import { ipAddress, ipAddressFromBytes, isIpv4 } from "@hybrid-access/core/base/ip-address";
import {
  AF_INET,
  AF_INET6,
  addressFamily,
  decodeSocketAddress,
  encodeSocketAddress,
} from "@hybrid-access/core/platform/socket-address";
import { expect } from "chai";
import fc from "fast-check";

const ENDPOINT = fc.record({
  address: fc
    .oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
    .map((bytes) => ipAddressFromBytes(bytes) ?? ipAddress("::")),
  port: fc.nat(0xffff),
});

describe("platform/socket-address", () => {
  it("lays out struct sockaddr_in and sockaddr_in6", () => {
    expect(toHex(encodeSocketAddress({ address: ipAddress("192.0.2.1"), port: 5124 }))).to.equal(
      "02001404c00002010000000000000000",
    );
    expect(toHex(encodeSocketAddress({ address: ipAddress("2001:db8::1"), port: 80 }))).to.equal(
      "0a0000500000000020010db800000000000000000000000100000000",
    );
  });

  it("reads back every endpoint that it writes", () => {
    fc.assert(
      fc.property(ENDPOINT, (endpoint) => {
        const bytes = encodeSocketAddress(endpoint);
        expect(decodeSocketAddress(bytes)).to.deep.equal(endpoint);
        expect(bytes[0]).to.equal(isIpv4(endpoint.address) ? AF_INET : AF_INET6);
        expect(addressFamily(endpoint.address)).to.equal(bytes[0]);
      }),
    );
  });

  it("takes a mapped address of an IPv6 socket for the IPv4 one, and no other family", () => {
    const mapped = new Uint8Array(28);
    mapped.set([AF_INET6, 0, 0, 80]);
    mapped.set(ipAddress("192.0.2.1"), 8);
    expect(decodeSocketAddress(mapped)).to.deep.equal({ address: ipAddress("192.0.2.1"), port: 80 });
    expect(decodeSocketAddress(new Uint8Array(28))).to.equal(undefined);
  });
});
