import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type { AddressState, DefaultRoute, LinkState, OwnRoute } from "@hybrid-access/core/platform/netlink/route";
import { AddressIds } from "@hybrid-access/core/policy/path-manager/address-ids";
import {
  judgeUplinks,
  type KernelState,
  UplinkRouting,
  uplinkAddresses,
  uplinkSources,
} from "@hybrid-access/hcpe/uplinks";
import { expect } from "chai";

const DSL = { name: "dsl", interface: "ppp0", cost: 10 };
const LTE = { name: "lte", interface: "wwan0", cost: 0 };
const ROUTER = ipAddress("10.1.1.1");

function link(name: string, index: number, changes: Partial<LinkState> = {}): LinkState {
  return { name, index, up: true, carrier: true, receivedBytes: 7, sentBytes: 8, ...changes };
}

function address(interfaceIndex: number, text: string, usable = true): AddressState {
  return { interfaceIndex, address: ipAddress(text), prefixLength: 24, usable };
}

function route(interfaceIndex: number, changes: Partial<DefaultRoute> = {}): DefaultRoute {
  return { family: "ipv4", interfaceIndex, gateway: ROUTER, table: 254, metric: 0, own: false, ...changes };
}

/** A host with DSL's interface up, but for the changes. */
function host(changes: Partial<KernelState> = {}): KernelState {
  return { links: [link("ppp0", 4)], addresses: [address(4, "10.1.1.2")], routes: [route(4)], rules: [], ...changes };
}

function judge(kernel: KernelState, gateways = new Map<string, DefaultRoute>()) {
  const [dsl = expect.fail("no uplink")] = judgeUplinks([DSL], kernel, gateways);
  return dsl;
}

describe("the state of an uplink", () => {
  for (const [what, changes, state] of [
    ["has no interface", { links: [link("ppp1", 4)] }, "absent"],
    ["is set down", { links: [link("ppp0", 4, { up: false })] }, "down"],
    ["has no carrier", { links: [link("ppp0", 4, { carrier: false })] }, "no carrier"],
    ["has no address", { addresses: [] }, "no address"],
    ["has only another interface's address", { addresses: [address(5, "10.1.1.2")] }, "no address"],
    [
      "has only an address that is tentative or deprecated",
      { addresses: [address(4, "10.1.1.2", false)] },
      "no address",
    ],
    ["has no default route", { routes: [] }, "no route"],
    ["has only another interface's route", { routes: [route(5)] }, "no route"],
    ["has only a route that is this daemon's", { routes: [route(4, { own: true, table: 5130 })] }, "no route"],
    ["has only the other family's route", { routes: [route(4, { family: "ipv6" })] }, "no route"],
    ["has all of them", {}, "up"],
  ] as const) {
    it(`is "${state}" when it ${what}`, () => {
      const { state: judged, paths } = judge(host(changes));
      expect(judged).to.equal(state);
      expect(paths).to.have.lengthOf(state === "up" ? 1 : 0);
    });
  }

  it("comes with its interface and what that has counted, as far as there is one", () => {
    expect(judge(host())).to.include({ interfaceIndex: 4, receivedBytes: 7, sentBytes: 8 });
    expect(judge(host({ links: [] }))).to.include({ interfaceIndex: 0, receivedBytes: 0, sentBytes: 0 });
  });

  it("has a path for every usable address whose family has a route, over the route with the least metric", () => {
    const better = ipAddress("10.1.1.254");
    const { paths } = judge(
      host({
        addresses: [
          address(4, "10.1.1.2"),
          address(4, "10.1.1.3"),
          address(4, "fd11::2"),
          address(4, "fd11::3", false),
        ],
        routes: [route(4, { metric: 20 }), route(4, { metric: 10, gateway: better })],
      }),
    );
    expect(paths).to.deep.equal([
      { address: ipAddress("10.1.1.2"), family: "ipv4", gateway: better },
      { address: ipAddress("10.1.1.3"), family: "ipv4", gateway: better },
    ]);
  });

  it("is up over the gateway it had, when its link is back and nobody has put the route back", () => {
    const gateways = new Map<string, DefaultRoute>();
    judge(host(), gateways);
    expect(judge(host({ links: [link("ppp0", 4, { carrier: false })], routes: [] }), gateways).state).to.equal(
      "no carrier",
    );
    expect(judge(host({ routes: [] }), gateways).paths[0]?.gateway).to.deep.equal(ROUTER);
  });

  it("follows a gateway that changes", () => {
    const gateways = new Map<string, DefaultRoute>();
    const next = ipAddress("10.1.1.9");
    judge(host(), gateways);
    judge(host({ routes: [route(4, { gateway: next })] }), gateways);
    expect(judge(host({ routes: [] }), gateways).paths[0]?.gateway).to.deep.equal(next);
  });
});

describe("a point-to-point uplink (PPPoE)", () => {
  const onLink = (index: number) => route(index, { gateway: undefined });

  it("has a default route without a gateway, and so has the daemon's own", () => {
    const dsl = judge(host({ routes: [onLink(4)] }));
    expect(dsl.paths).to.deep.equal([{ address: ipAddress("10.1.1.2"), family: "ipv4", gateway: undefined }]);
    const added: OwnRoute[] = [];
    const client = { addRoute: (own: OwnRoute) => added.push(own), addRule: () => {}, deleteRule: () => {} };
    const routing = new UplinkRouting(client, [DSL]);
    expect(routing.apply([dsl], { routes: [], rules: [] }).refusals).to.deep.equal([]);
    expect(added).to.deep.equal([{ family: "ipv4", table: 5130, kind: "unicast", interfaceIndex: 4 }]);
    // Once it is there nothing is added; one over a gateway is another one.
    const own = (changes: Partial<DefaultRoute>) => route(4, { own: true, table: 5130, ...changes });
    routing.apply([dsl], { routes: [own({ gateway: undefined })], rules: [] });
    expect(added).to.have.lengthOf(1);
    routing.apply([dsl], { routes: [own({})], rules: [] });
    expect(added).to.have.lengthOf(2);
  });

  it("whose interface is made anew is absent meanwhile, then waits for its route, and is up under the new index", () => {
    const gateways = new Map<string, DefaultRoute>();
    const ids = new AddressIds();
    const idOf = (kernel: KernelState) => uplinkAddresses([judge(kernel, gateways)], ids)[0];
    expect(idOf(host({ routes: [onLink(4)] }))).to.include({ interfaceIndex: 4, localId: 1 });
    expect(judge(host({ links: [], addresses: [], routes: [] }), gateways).state).to.equal("absent");
    const again = { links: [link("ppp0", 9)], addresses: [address(9, "10.1.1.2")] };
    // What was remembered belongs to an interface that is no more.
    expect(judge(host({ ...again, routes: [] }), gateways).state).to.equal("no route");
    const now = host({ ...again, routes: [onLink(9)] });
    expect(judge(now, gateways)).to.include({ state: "up", interfaceIndex: 9 });
    // The same address: peers know it by the identifier that it had.
    expect(idOf(now)).to.include({ interfaceIndex: 9, localId: 1 });
  });

  it("has routes of its own over the new interface, where the old one's are gone with it", () => {
    const added: number[] = [];
    const client = {
      addRoute: ({ interfaceIndex }: OwnRoute) => added.push(interfaceIndex),
      addRule: () => {},
      deleteRule: () => {},
    };
    const routing = new UplinkRouting(client, [DSL]);
    const at = (index: number) =>
      judge(host({ links: [link("ppp0", index)], addresses: [address(index, "10.1.1.2")], routes: [onLink(index)] }));
    routing.apply([at(4)], { routes: [], rules: [] });
    const stale = route(4, { own: true, table: 5130, gateway: undefined });
    routing.apply([at(9)], { routes: [stale], rules: [] });
    expect(added).to.deep.equal([4, 9]);
  });
});

describe("uplinks in order of preference", () => {
  const kernel = {
    links: [link("ppp0", 4), link("wwan0", 5)],
    addresses: [address(4, "10.1.1.2"), address(5, "10.1.2.2"), address(5, "fd12::2")],
    routes: [route(4), route(5), route(5, { family: "ipv6" })],
    rules: [],
  };

  it("are the cheapest first, for workers by their place in the configuration", () => {
    const uplinks = judgeUplinks([DSL, LTE], kernel, new Map());
    expect(uplinkSources(uplinks)).to.deep.equal([
      { name: "lte", index: 1, ipv4: ipAddress("10.1.2.2"), ipv6: ipAddress("fd12::2") },
      { name: "dsl", index: 0, ipv4: ipAddress("10.1.1.2") },
    ]);
    const addresses = uplinkAddresses(uplinks, new AddressIds());
    expect(addresses.map(({ uplink, localId }) => [uplink, localId])).to.deep.equal([
      ["lte", 1],
      ["lte", 2],
      ["dsl", 3],
    ]);
  });

  it("are those that are up only", () => {
    const uplinks = judgeUplinks([DSL, LTE], { ...kernel, links: [link("ppp0", 4)] }, new Map());
    expect(uplinkSources(uplinks).map(({ name }) => name)).to.deep.equal(["dsl"]);
    expect(uplinks.map(({ state }) => state)).to.deep.equal(["up", "absent"]);
  });
});
