import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { gatewayHost, isPossibleGateway } from "@hybrid-access/hcpe/gateway-host";
import { GatewayTable, MOST_ADDRESSES } from "@hybrid-access/hcpe/gateway-table";
import { expect } from "chai";
import fc from "fast-check";

const addressOf = (number: number) => ipAddress(`10.0.${number >> 8}.${number & 255}`);

describe("hcpe: gateway-table", () => {
  it("keeps an address in its place for as long as the name has it, and takes no more than eight", () => {
    fc.assert(
      fc.property(fc.array(fc.uniqueArray(fc.nat(40), { maxLength: 12 }), { maxLength: 30 }), (answers) => {
        const table = new GatewayTable([
          { address: addressOf(500), port: 1 },
          { address: "hag.example", port: 2 },
        ]);
        const placeOf = new Map<string, number>();
        for (const answer of answers) {
          table.setAddresses("hag.example", answer.map(addressOf));
          const used = table.places.flatMap(({ endpoint, used: taken, name }, place) =>
            taken && name !== null ? [{ key: String(endpoint?.address), place }] : [],
          );
          expect(used.map(({ key }) => key)).to.have.members(
            answer.slice(0, MOST_ADDRESSES).map((one) => String(addressOf(one))),
          );
          for (const { key, place } of used) if (placeOf.has(key)) expect(placeOf.get(key)).to.equal(place);
          placeOf.clear();
          for (const { key, place } of used) placeOf.set(key, place);
        }
        expect(table.places[0]?.used).to.equal(true);
      }),
    );
  });

  it("says whether an answer changed anything", () => {
    const table = new GatewayTable([{ address: "hag.example", port: 2 }]);
    expect(table.setAddresses("hag.example", [addressOf(1), addressOf(2)])).to.equal(true);
    expect(table.setAddresses("hag.example", [addressOf(2), addressOf(1)])).to.equal(false);
    expect(table.setAddresses("hag.example", [addressOf(2)])).to.equal(true);
    expect(table.endpoints()).to.deep.equal([{ address: addressOf(2), port: 2 }]);
  });
});

describe("hcpe: gateway-host", () => {
  const parse = (raw: unknown) => {
    const reported: string[] = [];
    return { host: gatewayHost.parse(raw, [], (_path, message) => reported.push(message)), reported };
  };

  it("takes addresses and names, and refuses what is neither", () => {
    expect(parse("198.51.100.9").host).to.deep.equal(ipAddress("198.51.100.9"));
    expect(parse("HAG.example.net").host).to.equal("hag.example.net");
    for (const bad of ["10.0.0.300", "hag_1.example", "-a.example", "a..example", "", 7, null, "a".repeat(64)]) {
      expect(parse(bad).reported, String(bad)).to.have.length(1);
    }
  });

  it("does not believe that a gateway is nowhere, here, or everywhere", () => {
    const impossible = ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "::", "::1", "ff02::1"];
    for (const text of impossible) expect(isPossibleGateway(ipAddress(text)), text).to.equal(false);
    for (const text of ["10.9.9.9", "2001:db8::1"]) expect(isPossibleGateway(ipAddress(text)), text).to.equal(true);
  });
});
