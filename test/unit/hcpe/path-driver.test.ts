import type { PathControl } from "@hybrid-access/core/engine/engine";
import type { PathCommand, PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";
import type { ReconcilerSettings } from "@hybrid-access/core/policy/path-manager/settings";
import { PathDriver } from "@hybrid-access/hcpe/path-driver";
import { expect } from "chai";
import pino from "pino";
import { DSL, GATEWAY, LTE, settings } from "../policy/path-manager/fixture.ts";

interface Line {
  readonly msg: string;
  readonly [key: string]: unknown;
}

/** An engine that carries everything out. */
class Control implements PathControl {
  readonly unknownEvents = 0;
  readonly executed: PathCommand[] = [];
  tell: (event: PathEvent) => void = () => {};

  onEvent(listener: (event: PathEvent) => void): void {
    this.tell = listener;
  }
  execute(command: PathCommand): boolean {
    this.executed.push(command);
    return true;
  }
  close(): void {}
}

describe("what drives the policies", () => {
  function drive(chosen: ReconcilerSettings) {
    const lines: Line[] = [];
    const control = new Control();
    const driver = new PathDriver({
      settings: chosen,
      control,
      log: pino({ level: "debug" }, { write: (line: string) => lines.push(JSON.parse(line)) }),
      readCounters: () => [],
      readSamples: () => ({ connections: [], subflows: [] }),
    });
    driver.setUplinks([DSL, LTE]);
    const local = { address: DSL.address, port: 40_000 };
    control.tell({
      type: "connectionEstablished",
      token: 7,
      localId: 0,
      remoteId: 0,
      local,
      remote: GATEWAY,
      serverSide: false,
      denyJoinInitial: false,
    });
    driver.close();
    return { lines, control };
  }

  it("logs every command with its reason and its policy, and tells the engine only the command", () => {
    const { lines, control } = drive(settings("aggregate", { rates: new Map() }));
    const [line = expect.fail()] = lines.filter(({ msg }) => msg === "path command");
    expect(line).to.deep.include({ reason: "policy", policy: "aggregate", done: true });
    expect(line.command).to.include({ type: "createSubflow", token: 7 });
    expect(control.executed).to.have.lengthOf(1);
    expect(control.executed[0]).not.to.have.property("reason");
  });

  it("logs why a connection gets no further subflow", () => {
    const { lines, control } = drive(settings("aggregate", { rates: new Map(), hold: { ms: 60_000, bytes: 0 } }));
    expect(control.executed).to.deep.equal([]);
    expect(lines.filter(({ msg }) => msg === "no further subflow")).to.have.lengthOf(1);
    expect(lines.at(-1)).to.deep.include({ token: 7, reason: "hold" });
  });
});
