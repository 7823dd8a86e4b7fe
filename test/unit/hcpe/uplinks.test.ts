import { formatIpAddress, ipAddress } from "@hybrid-access/core/base/ip-address";
import { ERRNO, SystemError } from "@hybrid-access/core/platform/errno";
import type { DefaultRoute, OwnRoute, Rule } from "@hybrid-access/core/platform/netlink/route";
import { AddressIds } from "@hybrid-access/core/policy/path-manager/address-ids";
import { judgeUplinks, type Uplink, UplinkRouting } from "@hybrid-access/hcpe/uplinks";
import { expect } from "chai";

const address = (index: number) => ipAddress(`10.0.${index >> 8}.${index & 255}`);

describe("identifiers of uplink addresses", () => {
  it("stay with an address while it is there and when it comes back", () => {
    const ids = new AddressIds();
    expect(ids.number([address(1), address(2)])).to.deep.equal([1, 2]);
    expect(ids.number([address(2)])).to.deep.equal([2]);
    expect(ids.number([address(3), address(1)])).to.deep.equal([3, 1]);
  });

  it("beyond the 255th are those of addresses gone for the longest time, and never one in use", () => {
    const ids = new AddressIds();
    const dsl = address(0);
    for (let lte = 1; lte <= 2000; lte++) {
      const [dslId, lteId] = ids.number([dsl, address(lte)]);
      expect(dslId).to.equal(1);
      expect(lteId).to.equal(2 + ((lte - 1) % 254));
    }
  });

  it("are given to 255 addresses at once, and not to the 256th", () => {
    const ids = new AddressIds();
    const given = ids.number(Array.from({ length: 300 }, (_, index) => address(index)));
    expect(given.filter((id) => id !== undefined)).to.have.length(255);
    expect(new Set(given).size).to.equal(256);
    expect(given[255]).to.equal(undefined);
  });
});

const CONFIGS = [
  { name: "dsl", interface: "dsl", cost: 0 },
  { name: "lte", interface: "lte", cost: 10 },
];

function uplink(index: number, ...addresses: string[]): Uplink {
  const config = CONFIGS[index] ?? { name: "", interface: "", cost: 0 };
  const paths = addresses.map((text) => {
    const family = text.includes(":") ? ("ipv6" as const) : ("ipv4" as const);
    return { address: ipAddress(text), family, gateway: undefined };
  });
  return { config, state: "up", interfaceIndex: index + 1, receivedBytes: 0, sentBytes: 0, paths };
}

/** A kernel that refuses what `refuses` says. */
class Kernel {
  readonly done: string[] = [];
  /** Routes stay unseen: they are added again each time. */
  readonly routes = [];
  rules: Rule[] = [];
  refuses = (_what: string): boolean => false;

  #do(what: string): void {
    if (this.refuses(what)) throw new SystemError(ERRNO.EINVAL, what);
    this.done.push(what);
  }
  addRoute({ family, table }: OwnRoute): void {
    this.#do(`route ${family} ${table}`);
  }
  addRule(rule: Rule): void {
    this.#do(`rule ${rule.source && formatIpAddress(rule.source)}`);
    this.rules.push(rule);
  }
  deleteRule(rule: Rule): void {
    this.#do(`no rule ${rule.source && formatIpAddress(rule.source)}`);
    this.rules = this.rules.filter((present) => present !== rule);
  }
}

describe("gateways of uplinks", () => {
  const link = { name: "dsl", index: 1, up: true, carrier: true, receivedBytes: 0, sentBytes: 0 };
  const addresses = ["10.1.1.2", "fd11::2"].map((text) => {
    return { interfaceIndex: 1, address: ipAddress(text), prefixLength: 24, usable: true };
  });
  const route = (family: "ipv4" | "ipv6", gateway: string): DefaultRoute => {
    return { family, interfaceIndex: 1, gateway: ipAddress(gateway), table: 254, metric: 0, own: false };
  };
  const judge = (routes: readonly DefaultRoute[], known: Map<string, DefaultRoute>) =>
    judgeUplinks(CONFIGS, { links: [link], addresses, routes, rules: [] }, known)[0]?.paths.map(
      ({ gateway }) => gateway && formatIpAddress(gateway),
    );

  it("are remembered one for each uplink and family, the last one that was seen, and serve while there is none", () => {
    const known = new Map<string, DefaultRoute>();
    for (let count = 1; count <= 200; count++) {
      const routes = [route("ipv4", `10.1.1.${count}`), route("ipv6", `fd11::${count}`)];
      expect(judge(routes, known)).to.deep.equal([`10.1.1.${count}`, `fd11::${count}`]);
    }
    expect(known.size).to.equal(2);
    expect(judge([], known)).to.deep.equal(["10.1.1.200", "fd11::200"]);
  });
});

describe("routing of uplinks", () => {
  const addressesOf = (uplinks: readonly Uplink[]) =>
    uplinks.map(({ paths }) => paths.map(({ address: of }) => formatIpAddress(of)));

  it("has a route for each family of an uplink and a rule for each address, made once", () => {
    const kernel = new Kernel();
    const routing = new UplinkRouting(kernel, CONFIGS);
    const { uplinks, refusals } = routing.apply([uplink(0, "10.1.1.2", "fd11::2"), uplink(1, "10.1.2.2")], kernel);
    expect(refusals).to.deep.equal([]);
    expect(addressesOf(uplinks)).to.deep.equal([["10.1.1.2", "fd11::2"], ["10.1.2.2"]]);
    expect(kernel.done).to.have.members([
      "route ipv4 5130",
      "route ipv6 5130",
      "route ipv4 5131",
      "rule 10.1.1.2",
      "rule fd11::2",
      "rule 10.1.2.2",
    ]);
    kernel.done.length = 0;
    routing.apply([uplink(0, "10.1.1.2"), uplink(1)], kernel);
    expect(kernel.done.filter((what) => what.includes("rule"))).to.have.members([
      "no rule fd11::2",
      "no rule 10.1.2.2",
    ]);
  });

  it("puts back a rule that somebody has removed, and leaves rules of others alone", () => {
    const kernel = new Kernel();
    const routing = new UplinkRouting(kernel, CONFIGS);
    const wanted = [uplink(0, "10.1.1.2"), uplink(1, "10.1.2.2")];
    const foreign: Rule = { family: "ipv4", priority: 5124, table: 5124, mark: 0x5124 };
    kernel.rules.push(foreign);
    routing.apply(wanted, kernel);
    kernel.rules = kernel.rules.filter(({ table }) => table !== 5130);
    kernel.done.length = 0;
    routing.apply(wanted, kernel);
    expect(kernel.done.filter((what) => what.includes("rule"))).to.deep.equal(["rule 10.1.1.2"]);
    expect(kernel.rules).to.include(foreign);
  });

  it("leaves a path out whose route is refused, says why, keeps the others, and tries again", () => {
    const kernel = new Kernel();
    const routing = new UplinkRouting(kernel, CONFIGS);
    const wanted = [uplink(0, "10.1.1.2", "fd11::2"), uplink(1, "10.1.2.2")];
    kernel.refuses = (what) => what === "route ipv4 5130" || what === "route ipv4 5131";
    const { uplinks, refusals } = routing.apply(wanted, kernel);
    expect(addressesOf(uplinks)).to.deep.equal([["fd11::2"], []]);
    expect(uplinks.map(({ state }) => state)).to.deep.equal(["up", "no route"]);
    expect(refusals).to.deep.equal(["dsl: route ipv4 5130: EINVAL", "lte: route ipv4 5131: EINVAL"]);
    kernel.refuses = () => false;
    expect(routing.apply(wanted, kernel)).to.deep.equal({ uplinks: wanted, refusals: [] });
  });

  it("does the same for a refused rule, and tries again to remove one", () => {
    const kernel = new Kernel();
    const routing = new UplinkRouting(kernel, CONFIGS);
    kernel.refuses = (what) => what === "rule 10.1.1.2" || what.startsWith("no rule");
    expect(addressesOf(routing.apply([uplink(0, "10.1.1.2", "fd11::2"), uplink(1)], kernel).uplinks)[0]).to.deep.equal([
      "fd11::2",
    ]);
    expect(routing.apply([uplink(0), uplink(1)], kernel).refusals).to.deep.equal([
      "fd11::2 5130: no rule fd11::2: EINVAL",
    ]);
    kernel.refuses = () => false;
    kernel.done.length = 0;
    routing.apply([uplink(0), uplink(1)], kernel);
    expect(kernel.done).to.deep.equal(["no rule fd11::2"]);
  });
});
