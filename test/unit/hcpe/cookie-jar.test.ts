import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { CookieJar } from "@hybrid-access/hcpe/cookie-jar";
import { expect } from "chai";

const HERE = ipAddress("10.1.1.2");
const THERE = ipAddress("10.1.2.2");

describe("the cookies of gateways", () => {
  it("belong to one gateway and one source address", () => {
    const jar = new CookieJar();
    jar.set(0, HERE, Uint8Array.of(1));
    expect(jar.get(0, HERE)).to.deep.equal(Uint8Array.of(1));
    expect(jar.get(1, HERE)).to.equal(undefined);
    expect(jar.get(0, THERE)).to.equal(undefined);
    expect(jar.get(0, undefined)).to.equal(undefined);
  });

  it("can be replaced and given up", () => {
    const jar = new CookieJar();
    jar.set(0, HERE, Uint8Array.of(1));
    jar.set(0, HERE, Uint8Array.of(2));
    expect(jar.get(0, HERE)).to.deep.equal(Uint8Array.of(2));
    jar.delete(0, HERE);
    expect(jar.get(0, HERE)).to.equal(undefined);
  });

  it("are at most 64: a changing address does not make them grow, and the latest stay", () => {
    const jar = new CookieJar();
    const address = (index: number) => ipAddress(`10.0.${index >> 8}.${index & 255}`);
    for (let index = 0; index < 1000; index++) jar.set(0, address(index), Uint8Array.of(index & 255));
    expect(jar.size).to.equal(64);
    expect(jar.get(0, address(936))).to.deep.equal(Uint8Array.of(936 & 255));
    expect(jar.get(0, address(935))).to.equal(undefined);
  });
});
