import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { AddressTable, MOST_ADDRESSES } from "@hybrid-access/core/stack/address-table";
import { expect } from "chai";

const numbered = (index: number) => ipAddress(`10.0.${index >> 8}.${index & 255}`);

describe("stack/address-table", () => {
  it("gives one object for equal addresses", () => {
    const table = new AddressTable();
    const first = table.share(numbered(1));
    expect(table.share(numbered(1))).to.equal(first);
    expect(table.share(numbered(2))).not.to.equal(first);
  });

  it("forgets the oldest when it is full", () => {
    const table = new AddressTable();
    const first = table.share(numbered(0));
    for (let index = 1; index < MOST_ADDRESSES; index++) table.share(numbered(index));
    expect(table.share(numbered(0))).to.equal(first);
    const second = table.share(numbered(1));
    table.share(numbered(MOST_ADDRESSES));
    expect(table.share(numbered(0))).not.to.equal(first);
    expect(table.share(numbered(2))).to.not.equal(second);
  });
});
