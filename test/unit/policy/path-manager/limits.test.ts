import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { expect } from "chai";
import { DSL, GATEWAY, Home, LTE, SECOND, settings, shape } from "./fixture.ts";
import { uplink } from "./kernel-model.ts";

const SAT = uplink("sat", 20, ipAddress("10.1.3.2"), 4);
const ALL = [DSL, LTE, SAT];
const LIMITS = { perConnection: 8, perPair: 8, perGateway: 1000, total: 1000 };

function home(policy: string, limits: Partial<typeof LIMITS> = {}): Home {
  return new Home(settings(policy, { limits: { ...LIMITS, ...limits } }), ALL);
}

/** What the gateway of the connection that leaves from `local` allows. */
function tell(of: Home, local: typeof GATEWAY | undefined, subflows: number): void {
  if (local === undefined) throw new Error("no such connection");
  of.run(of.reconciler.limit(local, GATEWAY.address, subflows, of.nowMs));
}

describe("limits of subflows", () => {
  it("of a connection: no more, the preferred ones first", () => {
    const connection = home("aggregate", { perConnection: 2 }).connect();
    expect(shape(connection, ALL)).to.deep.equal(["dsl>9:5124", "lte>9:5124"]);
  });

  it("between one pair of addresses: no more, whatever the policy wants", () => {
    const connection = home("ndiffports", { perPair: 2 }).connect();
    expect(shape(connection, ALL)).to.deep.equal(["dsl>9:5124", "dsl>9:5124"]);
  });

  it("toward a gateway, and of all connections: later connections do without further subflows until one ends", () => {
    for (const limit of ["perGateway", "total"] as const) {
      const full = home("aggregate", { [limit]: 4 });
      const first = full.connect();
      const second = full.connect();
      expect(first.subflows, limit).to.have.length(3);
      expect(second.subflows, limit).to.have.length(1);
      full.event(full.kernel.close(first));
      full.pass(2000);
      expect(second.subflows, limit).to.have.length(3);
    }
  });

  describe("that the gateway tells", () => {
    it("hold for that connection, down and up again", () => {
      const told = home("aggregate");
      const connection = told.connect();
      const local = connection.subflows[0]?.local;
      tell(told, local, 2);
      expect(shape(connection, ALL)).to.deep.equal(["dsl>9:5124", "lte>9:5124"]);
      tell(told, local, 3);
      expect(connection.subflows).to.have.length(3);
    });

    it("hold from the start for the next connections to it, and for no other gateway", () => {
      const told = home("aggregate");
      tell(told, told.connect().subflows[0]?.local, 1);
      told.commands.length = 0;
      expect(told.connect().subflows).to.have.length(1);
      expect(told.commands).to.deep.equal([]);
      const other = told.kernel.connect(DSL.address, { ...SECOND, port: 5124 });
      told.event(other);
      expect(told.kernel.connections.get(other.token)?.subflows).to.have.length(3);
    });

    it("are remembered of 64 addresses: the one told longest ago is forgotten", () => {
      const told = home("aggregate");
      tell(told, told.connect().subflows[0]?.local, 1);
      const others = Array.from({ length: 64 }, (_, index) => ipAddress(`203.0.113.${index}`));
      for (const other of others.slice(1)) told.reconciler.limit(GATEWAY, other, 1, told.nowMs);
      expect(told.connect().subflows).to.have.length(1);
      told.reconciler.limit(GATEWAY, ipAddress("203.0.113.0"), 1, told.nowMs);
      expect(told.connect().subflows).to.have.length(3);
    });

    it("are nothing against a smaller one of our own", () => {
      const told = home("aggregate", { perConnection: 2 });
      const connection = told.connect();
      tell(told, connection.subflows[0]?.local, 8);
      expect(connection.subflows).to.have.length(2);
    });
  });
});

describe("announced ends", () => {
  const announce = (of: Home, token: number, remoteId: number, remote: typeof GATEWAY) =>
    of.event({ type: "addressAnnounced", token, remoteId, remote });

  it("with another port of a known address are no further address for fullmesh", () => {
    const mesh = home("fullmesh");
    const connection = mesh.connect();
    announce(mesh, connection.token, 6, { ...GATEWAY, port: 443 });
    expect(shape(connection, ALL)).to.deep.equal(["dsl>9:5124", "lte>9:5124", "sat>9:5124"]);
    announce(mesh, connection.token, 7, SECOND);
    expect(connection.subflows).to.have.length(6);
  });

  it("of the other family are left alone", () => {
    const mesh = home("fullmesh");
    const connection = mesh.connect();
    announce(mesh, connection.token, 6, { address: ipAddress("fd99::8"), port: 0 });
    expect(connection.subflows).to.have.length(3);
  });
});
