import { formatEndpoint, formatIpAddress, ipAddress, networkBytes } from "@hybrid-access/core/base/ip-address";
import { AddressMap } from "@hybrid-access/core/engine/userspace/address-map";
import { InsideAddresses } from "@hybrid-access/core/engine/userspace/inside-addresses";
import { inwardRules, outwardRules } from "@hybrid-access/core/engine/userspace/nat";
import { servedEnds } from "@hybrid-access/core/engine/userspace/served-ends";
import { expect } from "chai";

const HOST = ["127.0.0.1", "10.9.9.9", "10.2.1.2", "::1", "fe80::1", "fd99::9"].map(ipAddress);

function end(address: string, port: number) {
  return { address: ipAddress(address), port };
}

describe("engine/userspace addresses", () => {
  it("the same address keeps the one that stands for it, whatever comes and goes beside it", () => {
    const inside = new InsideAddresses(84);
    const [first] = inside.map([ipAddress("10.1.1.2")]);
    const [, again] = inside.map([ipAddress("fd11::2"), ipAddress("10.1.1.2")]);
    expect(first && formatIpAddress(first.inside)).to.equal("198.18.84.1");
    expect(again).to.deep.equal(first);
    const [six] = inside.map([ipAddress("fd11::2")]);
    expect(six && formatIpAddress(six.inside)).to.equal("fd84:8684:0:54::2");
  });

  it("stand for no more than 255 addresses at once", () => {
    const many = Array.from({ length: 256 }, (_, index) => ipAddress(`10.1.${index >> 8}.${index & 255}`));
    expect(new InsideAddresses(84).map(many).length).to.equal(255);
  });

  it("are exchanged in both directions, and those that stand for themselves stay", () => {
    const pair = { address: ipAddress("10.1.1.2"), inside: ipAddress("198.18.84.1") };
    const own = { address: ipAddress("192.0.2.1"), inside: ipAddress("192.0.2.1") };
    const map = new AddressMap([pair, own]);
    expect(map.insideOf(pair.address)).to.equal(pair.inside);
    expect(map.insideOf(own.address)).to.equal(own.address);
    expect(map.behind(networkBytes(pair.inside))).to.equal(pair.address);
    expect(map.behind(networkBytes(own.inside))).to.equal(undefined);
    expect(map.addresses).to.deep.equal([pair.address, own.address]);
  });

  it("serve every address of the host that others can reach, where one listens at all", () => {
    const both = servedEnds([end("::", 5124)], [], HOST);
    expect(both.map(formatEndpoint)).to.deep.equal(["10.9.9.9:5124", "10.2.1.2:5124", "[fd99::9]:5124"]);
    expect(both.every(({ isHosts }) => isHosts)).to.equal(true);
    const four = servedEnds([end("0.0.0.0", 5124)], [], HOST);
    expect(four.map(formatEndpoint)).to.deep.equal(["10.9.9.9:5124", "10.2.1.2:5124"]);
  });

  it("serve an address that the host does not have, and what is announced, each once", () => {
    const listen = [end("192.0.2.1", 5124), end("10.9.9.9", 5124), end("10.9.9.9", 5124)];
    const served = servedEnds(listen, [end("10.2.1.2", 0), end("10.2.1.2", 6000)], HOST);
    expect(served.map((each) => `${formatEndpoint(each)} ${each.isHosts}`)).to.deep.equal([
      "192.0.2.1:5124 false",
      "10.9.9.9:5124 true",
      "10.2.1.2:5124 true",
      "10.2.1.2:6000 true",
    ]);
  });

  it("are translated by one rule for each family, and by none where there is nothing to translate", () => {
    const pairs = new InsideAddresses(84).map([ipAddress("10.9.9.9"), ipAddress("fd99::9")]);
    expect(outwardRules(pairs)).to.equal(
      `chain postrouting {
  type nat hook postrouting priority srcnat - 1; policy accept;
  snat ip to ip saddr map { 198.18.84.1 : 10.9.9.9 }
  snat ip6 to ip6 saddr map { fd84:8684:0:54::2 : fd99::9 }
}`,
    );
    expect(inwardRules(pairs.slice(0, 1).map((pair) => ({ ...pair, port: 5124 })))).to.equal(
      `chain prerouting {
  type nat hook prerouting priority dstnat - 1; policy accept;
  dnat ip to ip daddr . tcp dport map { 10.9.9.9 . 5124 : 198.18.84.1 }
}`,
    );
    expect(inwardRules([])).not.to.match(/dnat ip/);
  });
});
