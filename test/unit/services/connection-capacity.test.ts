import { AccessError } from "@hybrid-access/core/base/error";
import { shareDescriptors } from "@hybrid-access/core/services/connection-capacity";
import { expect } from "chai";

describe("services/connection-capacity", () => {
  it("gives each worker two descriptors for each connection and each pipe, after a reserve and its own", () => {
    const few = shareDescriptors(300, 1, 65_536);
    expect(few).to.deep.equal({ connectionsPerWorker: 104, pipesPerWorker: 6 });
    expect(2 * (few.connectionsPerWorker + few.pipesPerWorker)).to.equal(300 - 64 - 16);
    const many = shareDescriptors(20_000, 2, 65_536);
    expect(many).to.deep.equal({ connectionsPerWorker: (19_936 / 2 - 16 - 2 * 64) / 2, pipesPerWorker: 64 });
  });

  it("gives no more connections than wanted", () => {
    expect(shareDescriptors(1_000_000, 1, 1000)).to.include({ connectionsPerWorker: 1000 });
  });

  it("refuses to share what is not there, and says what is needed", () => {
    expect(() => shareDescriptors(80, 1, 1000))
      .to.throw(AccessError, "80 free descriptors are too few for 1 workers, which need 82")
      .with.property("code", "DESCRIPTOR_LIMIT");
    expect(shareDescriptors(82, 1, 1000)).to.deep.equal({ connectionsPerWorker: 1, pipesPerWorker: 0 });
  });
});
