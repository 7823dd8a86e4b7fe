import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { SimulatedHost } from "@hybrid-access/core/engine/simulated/simulated-host";
import { openUserspace } from "@hybrid-access/core/engine/userspace/open";
import { Epoll } from "@hybrid-access/core/platform/epoll";
import type { StackHost } from "@hybrid-access/core/stack/host";
import { expect } from "chai";
import { seededPorts } from "../../stack/host-pair.ts";

const HOME = ipAddress("10.1.1.2");
const PEER = { address: ipAddress("10.9.9.9"), port: 443 };

// That a transport without room takes nothing more is shown in stack/host.test.ts.
describe("engine/userspace: connections of an engine", () => {
  function roomOf(host: StackHost): number[] {
    const before = host.room;
    expect(host.connect(HOME, PEER, 0)).to.be.an("object");
    return [before, host.room];
  }

  it("are 65,536 at most", () => {
    const epoll = new Epoll(1);
    const { host, close } = openUserspace({ uplinks: [] }, epoll);
    expect(roomOf(host)).to.deep.equal([65_536, 65_535]);
    close();
    epoll.close();
  });

  it("are as many in a simulation", () => {
    const { host } = new SimulatedHost({ addresses: [HOME], ports: seededPorts(1), nowMs: () => 0 });
    expect(roomOf(host)).to.deep.equal([65_536, 65_535]);
  });
});
