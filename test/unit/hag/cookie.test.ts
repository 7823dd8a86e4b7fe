import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { isCookieValid, makeCookie } from "@hybrid-access/hag/cookie";
import { expect } from "chai";
import fc from "fast-check";

const KEY = new Uint8Array(16).fill(1);
const OTHER_KEY = new Uint8Array(16).fill(2);
const CLIENT = ipAddress("10.1.1.2");

describe("the HAG's cookies (RFC 8803 section 6.2.7)", () => {
  it("are valid for their client under any of the keys, and for nobody else", () => {
    const cookie = makeCookie(KEY, CLIENT);
    expect(isCookieValid([KEY], CLIENT, cookie)).to.equal(true);
    expect(isCookieValid([OTHER_KEY, KEY], CLIENT, cookie)).to.equal(true);
    expect(isCookieValid([OTHER_KEY], CLIENT, cookie)).to.equal(false);
    expect(isCookieValid([KEY], ipAddress("10.1.1.3"), cookie)).to.equal(false);
    expect(isCookieValid([KEY], ipAddress("::a01:102"), cookie)).to.equal(false);
  });

  it("cannot be guessed: no other bytes are one", () => {
    const cookie = makeCookie(KEY, CLIENT);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 32 }), (bytes) => {
        fc.pre(Buffer.compare(bytes, cookie) !== 0);
        expect(isCookieValid([KEY], CLIENT, bytes)).to.equal(false);
      }),
    );
  });
});
