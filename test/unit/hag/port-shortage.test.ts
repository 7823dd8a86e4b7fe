import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { PortShortage } from "@hybrid-access/hag/port-shortage";
import { expect } from "chai";

const SERVER = { address: ipAddress("192.0.2.1"), port: 443 };

describe("hag/port-shortage", () => {
  it("holds for 100 ms, for this source and server alone", () => {
    const shortage = new PortShortage();
    const client = ipAddress("10.1.0.2");
    shortage.note(client, SERVER, 1000);
    expect(shortage.holds(client, SERVER, 1099.9)).to.equal(true);
    expect(shortage.holds(undefined, SERVER, 1000)).to.equal(false);
    expect(shortage.holds(ipAddress("10.1.0.3"), SERVER, 1000)).to.equal(false);
    expect(shortage.holds(client, { ...SERVER, port: 80 }, 1000)).to.equal(false);
    expect(shortage.holds(client, SERVER, 1100)).to.equal(false);
    shortage.note(client, SERVER, 1200);
    expect(shortage.holds(client, SERVER, 1250)).to.equal(true);
  });

  it("remembers 64 servers, and forgets the one noted first", () => {
    const shortage = new PortShortage();
    const servers = Array.from({ length: 65 }, (_, index) => ({ ...SERVER, port: 1000 + index }));
    for (const server of servers) shortage.note(undefined, server, 0);
    expect(servers.map((server) => shortage.holds(undefined, server, 1)).indexOf(true)).to.equal(1);
    shortage.note(undefined, { ...SERVER, port: 1001 }, 2);
    shortage.note(undefined, SERVER, 2);
    const forgotten = servers.filter((server) => !shortage.holds(undefined, server, 3));
    expect(forgotten.map(({ port }) => port)).to.deep.equal([1000, 1002]);
  });
});
