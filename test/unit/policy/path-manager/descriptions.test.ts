/** What is known of connections beside their subflows: what they carry, and which addresses their peers have. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { Connection } from "@hybrid-access/core/policy/path-manager/connection";
import type { Flow } from "@hybrid-access/core/policy/rules";
import { expect } from "chai";
import { DSL, GATEWAY, Home, settings, shape } from "./fixture.ts";

const FLOW: Flow = {
  client: ipAddress("192.168.1.2"),
  destination: { address: ipAddress("192.0.2.1"), port: 22 },
  dscp: 0,
};
const ONE = ["dsl>9:5124"];
const BOTH = ["dsl>9:5124", "lte>9:5124"];
/** The port of the model's first connection. */
const FIRST_PORT = 40_000;

/** Connections that are described stay on one uplink, others are under the default policy. */
function home(descriptionMs = 0): Home {
  return new Home(
    settings("aggregate", { choose: (flow) => ({ policy: flow ? "single-path" : "aggregate" }), descriptionMs }),
  );
}

function describeFrom(of: Home, port: number): void {
  of.run(of.reconciler.describe({ address: DSL.address, port }, FLOW, of.nowMs));
}

describe("what connections carry", () => {
  it("is kept of 4096 that are not known yet; of one more the one told first is forgotten", () => {
    for (const [told, shapes] of [
      [4096, ONE],
      [4097, BOTH],
    ] as const) {
      const of = home();
      for (let port = FIRST_PORT; port < FIRST_PORT + told; port++) describeFrom(of, port);
      expect(shape(of.connect()), `${told}`).to.deep.equal(shapes);
      expect(shape(of.connect()), `${told}`).to.deep.equal(ONE);
    }
  });

  it("takes no room any more once the connection is known", () => {
    const of = home();
    describeFrom(of, FIRST_PORT + 1);
    describeFrom(of, FIRST_PORT);
    of.connect();
    for (let port = FIRST_PORT + 2; port < FIRST_PORT + 2 + 4095; port++) describeFrom(of, port);
    expect(shape(of.connect())).to.deep.equal(ONE);
  });

  it("is waited for, and no longer than for its time: then the default policy holds", () => {
    const of = home(200);
    const connection = of.connect();
    of.pass(199);
    expect(shape(connection)).to.deep.equal(ONE);
    of.pass(1);
    expect(shape(connection)).to.deep.equal(BOTH);
    const described = of.connect();
    describeFrom(of, described.subflows[0]?.local.port ?? 0);
    of.pass(1000);
    expect(shape(described)).to.deep.equal(ONE);
  });
});

describe("addresses that a peer has announced", () => {
  it("are one for each identifier, the last one that was told", () => {
    const ends = { local: { address: DSL.address, port: FIRST_PORT }, remote: GATEWAY, localId: 0, remoteId: 0 };
    const flags = { serverSide: false, denyJoinInitial: false };
    const connection = new Connection({ type: "connectionEstablished", token: 1, ...ends, ...flags }, 0);
    for (let told = 0; told < 10_000; told++) {
      connection.announce(told % 256, { address: ipAddress(`10.9.${told >> 8}.${told & 255}`), port: 443 });
    }
    expect(connection.announced).to.have.length(256);
    expect(connection.announced.at(0)?.address).to.deep.equal(ipAddress("10.9.39.0"));
  });
});
