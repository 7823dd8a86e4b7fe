import { renderStatus } from "@hybrid-access/core/cli/status";
import { expect } from "chai";

describe("cli/status", () => {
  it("prints values in one column, lists on one line, and nothing as a dash", () => {
    expect(renderStatus({ ready: true, uptimeSeconds: 3, names: ["dsl", "lte"], none: [], reason: null })).to.equal(
      [
        "ready          yes",
        "uptimeSeconds  3",
        "names          dsl, lte",
        "none           -",
        "reason         -",
        "",
      ].join("\n"),
    );
  });

  it("prints a capability with its reason on one line", () => {
    const capabilities = { tun: { available: true }, transparent: { available: false, reason: "needs CAP_NET_ADMIN" } };
    expect(renderStatus({ capabilities })).to.equal(
      "capabilities\n  tun          yes\n  transparent  no: needs CAP_NET_ADMIN\n",
    );
  });

  it("prints a list of mappings as a table", () => {
    const uplinks = [
      { name: "dsl", state: "up", addresses: ["10.1.1.2", "fd11::2"] },
      { name: "lte", state: "no carrier", addresses: [] },
    ];
    expect(renderStatus({ uplinks })).to.equal(
      "uplinks\n  name  state       addresses\n  dsl   up          10.1.1.2, fd11::2\n  lte   no carrier  -\n",
    );
  });
});
