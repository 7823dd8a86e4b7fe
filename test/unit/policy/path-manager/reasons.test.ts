/** Every command says why; the log shows it. */
import { expect } from "chai";
import { DSL, GATEWAY, Home, LTE, settings } from "./fixture.ts";
import type { ModelConnection } from "./kernel-model.ts";

const ERROR = 110;
const FULL = [20, 0.3] as const;

/** "createSubflow: policy" of what was commanded since the last look. */
function said(home: Home): string[] {
  return home.commands.splice(0).map(({ type, reason }) => `${type}: ${reason}`);
}

function subflowOf({ subflows }: ModelConnection, local: typeof LTE) {
  return subflows.find((subflow) => subflow.local.address === local.address) ?? expect.fail("no such subflow");
}

describe("the reasons of path commands", () => {
  it("are the policy's, for what it wants of a new connection and of one after a reload", () => {
    const home = new Home(settings("aggregate"));
    home.connect();
    expect(said(home)).to.deep.equal(["createSubflow: policy"]);
    home.run(home.reconciler.configure(settings("backup"), home.nowMs));
    expect(said(home)).to.deep.equal(["setPriority: policy"]);
    home.run(home.reconciler.configure(settings("single-path"), home.nowMs));
    expect(said(home)).to.deep.equal(["destroySubflow: policy"]);
  });

  it("name full uplinks, with overflow", () => {
    const home = new Home(settings("overflow"));
    home.connect();
    home.load(2000, FULL);
    expect(said(home)).to.deep.equal(["createSubflow: load"]);
    home.load(10_000, [1, 1]);
    expect(said(home)).to.deep.equal(["destroySubflow: policy"]);
  });

  it("name an uplink that is gone, and one that is back for its subflow that waits", () => {
    const home = new Home(settings("single-path"));
    home.connect();
    home.uplinks([LTE]);
    expect(said(home)).to.deep.equal(["createSubflow: policy", "remove: uplink gone", "destroySubflow: uplink gone"]);
    home.uplinks([]);
    home.uplinks([LTE]);
    expect(said(home)).to.deep.equal(["createSubflow: uplink gone", "destroySubflow: uplink gone"].toSorted());
  });

  it("name a degraded uplink and a used-up quota, where the subflow stays as backup and where it goes", () => {
    const home = new Home(settings("aggregate"));
    home.connect();
    said(home);
    home.uplinks([DSL, { ...LTE, quotaUsed: true }]);
    expect(said(home)).to.deep.equal(["setPriority: quota"]);
    home.uplinks([DSL, LTE]);
    expect(said(home)).to.deep.equal(["setPriority: policy"]);
    home.uplinks([DSL, { ...LTE, quality: "degraded" }]);
    expect(said(home)).to.deep.equal(["createSubflow: quality", "destroySubflow: quality"]);
    const single = new Home(settings("single-path"));
    single.connect();
    single.uplinks([{ ...DSL, quality: "degraded" }, LTE]);
    expect(said(single)).to.deep.equal(["createSubflow: policy", "destroySubflow: quality"]);
    single.uplinks([DSL, LTE]);
    single.uplinks([{ ...DSL, quotaUsed: true }, LTE]);
    expect(said(single).at(-1)).to.equal("destroySubflow: quota");
  });

  it("name a stall", () => {
    const home = new Home(settings("aggregate"));
    const connection = home.connect();
    said(home);
    home.run(home.reconciler.onStalled(connection.token, subflowOf(connection, LTE), home.nowMs));
    expect(said(home)).to.deep.equal(["createSubflow: stall", "destroySubflow: stall"]);
  });

  it("say that it is a repair, where a subflow was lost or an attempt has failed", () => {
    const home = new Home(settings("aggregate"));
    const connection = home.connect();
    said(home);
    home.outcome = ERROR;
    home.event(home.kernel.end(connection, subflowOf(connection, LTE), ERROR));
    home.pass(5000);
    expect(said(home)).to.deep.equal(["createSubflow: repair", "createSubflow: repair"]);
  });

  it("say that a new subflow has settled, and that a priority is said again", () => {
    const home = new Home(settings("aggregate", { settleMs: 100 }));
    home.connect();
    home.pass(5000);
    expect(said(home)).to.deep.equal(["createSubflow: policy", "setPriority: settled", "setPriority: again"]);
    home.uplinks([DSL, { ...LTE, quotaUsed: true }]);
    home.uplinks([DSL, LTE]);
    expect(said(home)).to.deep.equal(["setPriority: quota", "setPriority: policy"]);
  });

  it("name the policy, and not that it has settled, where a backup subflow is promoted later", () => {
    const home = new Home(settings("backup", { settleMs: 100 }));
    home.connect();
    home.pass(5000);
    expect(said(home)).to.deep.equal(["createSubflow: policy"]);
    home.uplinks([LTE]);
    expect(said(home)[0]).to.equal("setPriority: policy");
  });

  it("say that a connection is held, once, and that the hold is over", () => {
    const home = new Home(settings("aggregate", { hold: { ms: 1000, bytes: 0 } }));
    const { token } = home.connect();
    home.uplinks([DSL, LTE]);
    home.pass(999);
    expect(home.withheld).to.deep.equal([{ token, reason: "hold" }]);
    expect(said(home)).to.deep.equal([]);
    home.pass(1);
    expect(said(home)).to.deep.equal(["createSubflow: hold"]);
    expect(home.withheld).to.have.lengthOf(1);
  });

  it("name the limit: of a connection, once; of all, and when there is room again", () => {
    const limits = { perConnection: 8, perPair: 8, perGateway: 1000, total: 1000 };
    const one = new Home(settings("aggregate", { limits: { ...limits, perConnection: 1 } }));
    const { token } = one.connect();
    one.uplinks([DSL, LTE]);
    expect(one.withheld).to.deep.equal([{ token, reason: "limit" }]);
    const all = new Home(settings("aggregate", { limits: { ...limits, total: 3 } }));
    const first = all.connect();
    const second = all.connect();
    expect(said(all)).to.deep.equal(["createSubflow: policy"]);
    expect(all.withheld).to.deep.equal([{ token: second.token, reason: "limit" }]);
    all.event(all.kernel.close(first));
    all.pass(5000);
    expect(said(all)).to.deep.equal(["createSubflow: limit"]);
  });

  it("name the limit where one subflow makes room for another", () => {
    const limits = { perConnection: 1, perPair: 8, perGateway: 1000, total: 1000 };
    const home = new Home(settings("single-path", { limits }));
    home.connect(LTE.address);
    expect(said(home)).to.deep.equal(["destroySubflow: limit", "createSubflow: policy"]);
  });

  it("are as many as there are commands, to whatever end", () => {
    const home = new Home(settings("fullmesh", { settleMs: 100 }));
    const connection = home.connect();
    home.event({ type: "addressAnnounced", token: connection.token, remoteId: 5, remote: { ...GATEWAY, port: 0 } });
    home.uplinks([LTE]);
    home.uplinks([]);
    home.uplinks([DSL, LTE]);
    home.pass(10_000);
    expect(home.commands.length).to.be.above(5);
    for (const command of home.commands) expect(command.reason, command.type).to.be.a("string");
  });
});
