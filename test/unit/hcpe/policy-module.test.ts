import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { guarded, loadPolicyModule } from "@hybrid-access/hcpe/policy-module";
import { expect } from "chai";
import { DSL, Home, LTE, POLICIES, settings, shape } from "../policy/path-manager/fixture.ts";

const WORKS = `export const policy = { name: "mine", wanted: ({ remote }, { uplinks }) =>
  uplinks.slice(-1).map((local) => ({ local, remote, backup: false })) };`;

/** Module text by what is wrong with it, and what its error says. */
const BROKEN: Readonly<Record<string, readonly [string, RegExp]>> = {
  "does not parse": ["export const policy = {\n  wanted() { 1 2 },\n};", /policy\.mjs:2:16: Unexpected number/],
  "exports something else": ["export const other = 1;", /exports no `policy`/],
  throws: ["export const policy = { wanted() { throw new Error('my fault'); } };", /policy\.mjs:1:42: my fault/],
  "wants no list": ["export const policy = { wanted: () => 1 };", /did not return a list/],
  "invents an uplink": [
    "export const policy = { wanted: ({ remote }) => [{ local: {}, remote, backup: false }] };",
    /none of the uplinks/,
  ],
};

describe("the policy module", () => {
  let directory: string;
  const file = () => join(directory, "policy.mjs");
  const load = (text: string, loads = 0) => {
    writeFileSync(file(), text);
    return loadPolicyModule(file(), loads);
  };

  before(() => {
    directory = mkdtempSync(join(tmpdir(), "hybrid-access-policy-"));
  });
  after(() => rmSync(directory, { recursive: true }));

  it("decides about subflows like a built-in policy", async () => {
    const module = await load(WORKS, 1);
    const home = new Home(settings("module", { policies: [...POLICIES, module] }), [DSL, LTE]);
    expect(shape(home.connect())).to.deep.equal(["lte>9:5124"]);
  });

  let loads = 10;
  for (const [what, [text, message]] of Object.entries(BROKEN)) {
    it(`that ${what} is refused with its error`, async () => {
      const error = await load(text, loads++).then(
        () => undefined,
        (reason: Error) => reason,
      );
      expect(error?.message).to.match(message).and.include(file());
      expect(error?.message).to.match(/; expected an ECMAScript module that exports `policy`/);
    });
  }

  it("that is not there is refused with its error", async () => {
    const error = await loadPolicyModule(join(directory, "missing.mjs"), 1).catch((reason: Error) => reason);
    expect((error as Error).message).to.match(
      /^policy module \S+missing\.mjs: ENOENT: no such file or directory.*; expected an ECMAScript module/,
    );
  });

  it("that fails later tells it once and leaves its connections to the default", () => {
    const errors: unknown[] = [];
    const failing = { name: "mine", wanted: () => [{ local: LTE }] } as never;
    const [fallback] = POLICIES;
    if (fallback === undefined) throw new Error("no policies");
    const policies = [...POLICIES, guarded(failing, fallback, (error) => errors.push(error))];
    const home = new Home(settings("module", { policies }));
    expect(shape(home.connect())).to.deep.equal(["dsl>9:5124", "lte>9:5124"]);
    home.connect();
    expect(errors).to.have.lengthOf(1);
  });
});
