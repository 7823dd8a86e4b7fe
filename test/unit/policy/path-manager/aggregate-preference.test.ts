import { type Endpoint, ipAddress } from "@hybrid-access/core/base/ip-address";
import { AggregatePathManager } from "@hybrid-access/core/policy/path-manager/aggregate";
import type { PathCommand, UplinkAddress } from "@hybrid-access/core/policy/path-manager/path-manager";
import { expect } from "chai";

const GATEWAY: Endpoint = { address: ipAddress("10.9.9.9"), port: 5124 };
const DSL: UplinkAddress = { uplink: "dsl", cost: 0, address: ipAddress("10.1.1.2"), localId: 1, interfaceIndex: 2 };
const LTE: UplinkAddress = { uplink: "lte", cost: 1, address: ipAddress("10.1.2.2"), localId: 2, interfaceIndex: 3 };

/** A connection with a subflow over each uplink. */
function established(): AggregatePathManager {
  const manager = new AggregatePathManager();
  manager.onUplinks([DSL, LTE]);
  const path = (uplink: UplinkAddress, localId: number) => ({
    token: 7,
    localId,
    remoteId: 0,
    local: { address: uplink.address, port: 1000 + uplink.localId },
    remote: GATEWAY,
  });
  const flags = { serverSide: false, denyJoinInitial: false };
  manager.onEvent({ type: "connectionEstablished", ...path(DSL, 0), ...flags }, 0);
  manager.onEvent({ type: "subflowEstablished", ...path(LTE, 2), backup: false }, 0);
  return manager;
}

/** "setPriority 1002 true": the command, the subflow's local port or the new one's address identifier, backup. */
function shown(commands: readonly PathCommand[]): string[] {
  return commands.map((command) => {
    const backup = "backup" in command ? ` ${command.backup}` : "";
    const subflow = "local" in command && "port" in command.local ? command.local.port : undefined;
    return `${command.type} ${subflow ?? ("localId" in command ? command.localId : "")}${backup}`;
  });
}

describe("the aggregate policy and uplinks that are not as they should be", () => {
  it("makes an uplink that has used its quota backup, and takes it back", () => {
    const manager = established();
    expect(shown(manager.onUplinks([DSL, { ...LTE, quotaUsed: true }]))).to.deep.equal(["setPriority 1002 true"]);
    expect(shown(manager.onUplinks([DSL, { ...LTE, quotaUsed: true }]))).to.deep.equal([]);
    expect(shown(manager.onUplinks([DSL, LTE]))).to.deep.equal(["setPriority 1002 false"]);
  });

  it("closes the subflow of an uplink that becomes degraded, and opens a fresh one as backup", () => {
    const manager = established();
    const commands = manager.onUplinks([DSL, { ...LTE, quality: "degraded" }]);
    expect(shown(commands)).to.include("destroySubflow 1002");
    const local = { address: LTE.address, port: 1002 };
    const closed = { token: 7, localId: 2, remoteId: 0, local, remote: GATEWAY, error: 0, resetReason: undefined };
    manager.onEvent({ type: "subflowClosed", ...closed }, 100);
    expect(shown(manager.onTimer(1100))).to.deep.equal(["createSubflow 2 true"]);
  });

  it("changes nothing while every uplink is degraded, and demotes the rest when one recovers", () => {
    const manager = established();
    const degraded = [DSL, LTE].map((uplink) => ({ ...uplink, quality: "degraded" as const }));
    expect(shown(manager.onUplinks(degraded))).to.deep.equal([]);
    expect(shown(manager.onUplinks([DSL, { ...LTE, quality: "degraded" }]))).to.deep.equal(["setPriority 1002 true"]);
  });

  it("closes no subflow when the connection has no other over a good uplink", () => {
    const manager = established();
    const local = { address: DSL.address, port: 1001 };
    const closed = { token: 7, localId: 0, remoteId: 0, local, remote: GATEWAY, error: 110, resetReason: undefined };
    manager.onEvent({ type: "subflowClosed", ...closed }, 0);
    expect(shown(manager.onUplinks([DSL, { ...LTE, quality: "degraded" }])).join()).not.to.include("destroySubflow");
  });
});
