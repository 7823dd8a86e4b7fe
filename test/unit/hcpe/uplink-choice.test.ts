import { ipAddress } from "@hybrid-access/core/base/ip-address";
import {
  attemptMs,
  chooseUplink,
  type UplinkSource,
  uplinkStateIndex,
  whyUplink,
} from "@hybrid-access/hcpe/uplink-choice";
import { expect } from "chai";

const DSL: UplinkSource = { name: "dsl", index: 1, ipv4: ipAddress("10.1.1.2") };
const LTE: UplinkSource = { name: "lte", index: 0, ipv4: ipAddress("10.1.2.2"), ipv6: ipAddress("fd12::2") };
const ALL = [DSL, LTE];
const every = () => true;
const none = () => false;

describe("the choice of an uplink for a connection", () => {
  it("takes the preferred one, then the next, then says that all have failed", () => {
    expect(chooseUplink(ALL, "ipv4", [], every)).to.equal(DSL);
    expect(chooseUplink(ALL, "ipv4", [DSL.index], every)).to.equal(LTE);
    expect(chooseUplink(ALL, "ipv4", [DSL.index, LTE.index], every)).to.equal(undefined);
  });

  it("skips uplinks without an address of the family", () => {
    expect(chooseUplink(ALL, "ipv6", [], every)).to.equal(LTE);
    expect(chooseUplink([DSL], "ipv6", [], every)).to.equal(undefined);
  });

  it("leaves what passes nothing for last, and still takes it when nothing else is left", () => {
    const silent = (source: UplinkSource) => source !== DSL;
    expect(chooseUplink(ALL, "ipv4", [], silent)).to.equal(LTE);
    expect(chooseUplink(ALL, "ipv4", [LTE.index], silent)).to.equal(DSL);
    expect(chooseUplink(ALL, "ipv4", [], none)).to.equal(DSL);
  });

  it("has a reason", () => {
    for (const [family, failed, passes, reason] of [
      ["ipv4", [], every, "preferred"],
      ["ipv6", [], every, "preferred"],
      ["ipv4", [], (source: UplinkSource) => source !== DSL, "others are silent"],
      ["ipv4", [DSL.index], every, "the next"],
      ["ipv6", [LTE.index], every, "kernel"],
    ] as const) {
      expect(whyUplink(ALL, family, failed, chooseUplink(ALL, family, failed, passes))).to.equal(reason);
    }
  });

  it("shares the time among the uplinks of the family, so that trying them all takes no longer than one budget", () => {
    expect(attemptMs(900, ALL, "ipv4")).to.equal(450);
    expect(attemptMs(900, ALL, "ipv6")).to.equal(900);
    expect(attemptMs(900, [], "ipv4")).to.equal(900);
  });

  it("gives every uplink and family a word of its own", () => {
    const words = [0, 1, 2].flatMap((uplink) => [uplinkStateIndex(uplink, "ipv4"), uplinkStateIndex(uplink, "ipv6")]);
    expect(words.toSorted()).to.deep.equal([0, 1, 2, 3, 4, 5]);
  });
});
