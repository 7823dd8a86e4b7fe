import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { AddressIds } from "@hybrid-access/core/policy/path-manager/address-ids";
import { byStanding } from "@hybrid-access/core/policy/uplink-preference";
import { judgeAddresses, rankUplinks, type Standing } from "@hybrid-access/hcpe/uplink-standing";
import { type Uplink, uplinkAddresses, uplinkSources } from "@hybrid-access/hcpe/uplinks";
import { expect } from "chai";

const FINE: Standing = { quality: "good", quotaUsed: false, off: false };
const DEGRADED: Standing = { ...FINE, quality: "degraded" };
const USED: Standing = { ...FINE, quotaUsed: true };
const OFF: Standing = { ...USED, off: true };

function uplink(name: string, cost: number, address: string): Uplink {
  const path = { address: ipAddress(address), family: "ipv4" as const, gateway: undefined };
  const config = { name, interface: name, cost };
  return { config, state: "up", interfaceIndex: 1, receivedBytes: 0, sentBytes: 0, paths: [path] };
}

// The dearest there can be stands before those that are demoted.
const UPLINKS = [
  uplink("satellite", 1_000_000, "10.0.0.3"),
  uplink("dsl", 0, "10.0.0.1"),
  uplink("lte", 10, "10.0.0.2"),
];

describe("the standing of uplinks", () => {
  for (const [what, standings, expected] of [
    ["by cost where all are fine", {}, ["dsl", "lte", "satellite"]],
    ["degraded ones after all others", { dsl: DEGRADED }, ["lte", "satellite", "dsl"]],
    ["used-up ones after all others", { lte: USED }, ["dsl", "satellite", "lte"]],
    ["used-up ones after degraded ones", { dsl: USED, lte: DEGRADED }, ["satellite", "lte", "dsl"]],
    ["by cost where all are bad alike", { dsl: USED, lte: USED, satellite: USED }, ["dsl", "lte", "satellite"]],
    ["none that is off, whatever else there is", { dsl: OFF, lte: DEGRADED }, ["satellite", "lte"]],
    ["nothing where all are off", { dsl: OFF, lte: OFF, satellite: OFF }, []],
  ] as const) {
    it(`puts them in one order for new connections and for policies: ${what}`, () => {
      const standingOf = (name: string) => (standings as Record<string, Standing>)[name] ?? FINE;
      const sources = uplinkSources(rankUplinks(UPLINKS, standingOf));
      expect(sources.map(({ name }) => name)).to.deep.equal(expected);
      // A worker names an uplink by its place in the configuration, whatever its rank.
      expect(sources.map(({ index }) => UPLINKS[index]?.config.name)).to.deep.equal(expected);
      const addresses = judgeAddresses(uplinkAddresses(UPLINKS, new AddressIds()), standingOf);
      expect(byStanding(addresses).map(({ uplink: name }) => name)).to.deep.equal(expected);
    });
  }

  it("tells policies what each uplink is, at its own cost", () => {
    const standingOf = (name: string) => ({ dsl: DEGRADED, lte: USED })[name] ?? FINE;
    const addresses = judgeAddresses(uplinkAddresses(UPLINKS, new AddressIds()), standingOf);
    expect(
      addresses.map(({ uplink: name, cost, quality, quotaUsed }) => [name, cost, quality, quotaUsed]),
    ).to.deep.equal([
      ["dsl", 0, "degraded", false],
      ["lte", 10, "good", true],
      ["satellite", 1_000_000, "good", false],
    ]);
  });
});
