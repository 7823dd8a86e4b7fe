import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { prefix } from "@hybrid-access/core/base/prefix";
import { findRule, type PolicyRule } from "@hybrid-access/core/policy/rules";
import { expect } from "chai";

const ANY: PolicyRule = { lan: [], destinations: [], ports: [], dscp: [], policy: "aggregate", joinPort: 0 };
const FLOW = {
  client: ipAddress("192.168.1.2"),
  destination: { address: ipAddress("198.51.100.7"), port: 443 },
  dscp: 46,
};

describe("policy rules", () => {
  it("match by client, destination, port and traffic class, all of which must fit", () => {
    const rule = {
      ...ANY,
      lan: [prefix("192.168.1.0/24")],
      destinations: [prefix("198.51.100.0/24"), prefix("fd00::/8")],
      ports: [80, 443],
      dscp: [46],
    };
    expect(findRule([rule], FLOW)).to.equal(rule);
    expect(findRule([rule], { ...FLOW, client: ipAddress("192.168.2.2") })).to.equal(undefined);
    expect(findRule([rule], { ...FLOW, dscp: 0 })).to.equal(undefined);
    expect(findRule([rule], { ...FLOW, dscp: undefined })).to.equal(undefined);
    expect(findRule([rule], { ...FLOW, destination: { ...FLOW.destination, port: 22 } })).to.equal(undefined);
    const elsewhere = { address: ipAddress("203.0.113.1"), port: 443 };
    expect(findRule([rule], { ...FLOW, destination: elsewhere })).to.equal(undefined);
  });

  it("are tried in their order, and one without conditions matches everything", () => {
    const narrow = { ...ANY, ports: [443], policy: "backup" };
    expect(findRule([narrow, ANY], FLOW)).to.equal(narrow);
    expect(findRule([ANY, narrow], FLOW)).to.equal(ANY);
    expect(findRule([], FLOW)).to.equal(undefined);
    expect(findRule([narrow, ANY], undefined)).to.equal(ANY);
  });
});
