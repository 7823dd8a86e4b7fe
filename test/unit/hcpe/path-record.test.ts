import { type IpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { EventLog } from "@hybrid-access/hcpe/event-log";
import { PATH_RECORD_BYTES, type PathMessage, readPathRecord, writePathRecord } from "@hybrid-access/hcpe/path-record";
import { expect } from "chai";
import fc from "fast-check";

const uint8 = fc.integer({ min: 0, max: 0xff });
const token = fc.integer({ min: 0, max: 0xffffffff });
const address = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => bytes as IpAddress);
const endpoint = fc.record({ address, port: fc.integer({ min: 0, max: 0xffff }) });
const path = { localId: uint8, remoteId: uint8, local: endpoint, remote: endpoint };
const oneWay = { localId: uint8, local: endpoint, remote: endpoint };
const backup = fc.boolean();
const opened = { token, ...path, serverSide: fc.boolean(), denyJoinInitial: fc.boolean() };

function kind<Type extends string, Fields extends object>(
  type: Type,
  fields: { [Name in keyof Fields]: fc.Arbitrary<Fields[Name]> },
) {
  return fc.record({ type: fc.constant(type), ...fields });
}

const message: fc.Arbitrary<PathMessage> = fc.oneof(
  kind("connectionCreated", opened),
  kind("connectionEstablished", opened),
  kind("connectionClosed", { token }),
  kind("addressAnnounced", { token, remoteId: uint8, remote: endpoint }),
  kind("addressRemoved", { token, remoteId: uint8 }),
  kind("subflowEstablished", { token, ...path, backup }),
  kind("subflowClosed", {
    token,
    ...path,
    error: fc.integer({ min: 0, max: 4095 }),
    resetReason: fc.option(fc.integer({ min: 1, max: 0xff }), { nil: undefined }),
  }),
  kind("subflowPriority", { token, ...path, backup }),
  kind("createSubflow", { token, localId: uint8, local: address, interfaceIndex: token, remote: endpoint, backup }),
  kind("destroySubflow", { token, ...oneWay }),
  kind("setPriority", { token, ...oneWay, backup }),
  kind("announce", { token, localId: uint8, local: endpoint }),
  kind("remove", { token, localId: uint8 }),
) as fc.Arbitrary<PathMessage>;

describe("hcpe/path-record", () => {
  it("gives back every event and command, whatever stood there before, and touches nothing beside it", () => {
    fc.assert(
      fc.property(message, message, (earlier, later) => {
        const bytes = new Uint8Array(3 * PATH_RECORD_BYTES).fill(0xaa);
        for (const each of [earlier, later]) writePathRecord(bytes, PATH_RECORD_BYTES, each);
        expect(readPathRecord(bytes, PATH_RECORD_BYTES)).to.deep.equal(later);
        for (const beside of [0, 2 * PATH_RECORD_BYTES]) {
          expect(bytes.subarray(beside, beside + PATH_RECORD_BYTES).every((byte) => byte === 0xaa)).to.equal(true);
        }
      }),
    );
  });

  it("is shown among other events in their order, commands with their outcome", () => {
    const log = new EventLog(3);
    const heard: unknown[] = [];
    log.add("gone from the ring", () => ({}));
    log.follow((event) => heard.push(event));
    const local = { address: ipAddress("10.1.1.2"), port: 4000 };
    log.addPath({ type: "announce", token: 0xc3, localId: 2, local }, false);
    log.add("uplinkQuota", () => ({ uplink: "lte" }));
    log.addPath({ type: "connectionClosed", token: 0xc3 });
    const shown = log.since(0);
    expect(shown).to.deep.equal(heard);
    expect(shown.map(({ time: _, ...rest }) => rest)).to.deep.equal([
      { token: "000000c3", localId: 2, local: "10.1.1.2:4000", done: false, sequence: 2, event: "announce" },
      { uplink: "lte", sequence: 3, event: "uplinkQuota" },
      { token: "000000c3", sequence: 4, event: "connectionClosed" },
    ]);
  });
});
