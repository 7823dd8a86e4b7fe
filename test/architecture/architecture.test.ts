import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { checkProject, checkSource, formatViolation, type ProjectFile, type Rule } from "./checker.ts";
import { LAYERS } from "./layers.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** Every TypeScript source of a folder that is not generated. */
function sourcesOf(folder: string): { path: string; text: string }[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ["dist", "node_modules"].includes(entry.name) ? [] : sourcesOf(path);
    return entry.name.endsWith(".ts") ? [{ path, text: readFileSync(join(ROOT, path), "utf8") }] : [];
  });
}

function projectOf(name: string): ProjectFile {
  return JSON.parse(readFileSync(join(ROOT, LAYERS[name]?.folder ?? "", "tsconfig.json"), "utf8")) as ProjectFile;
}

describe("architecture", () => {
  const sources = [...sourcesOf("packages"), ...sourcesOf("test")];

  it("is kept by every source file", () => {
    expect(sources.length).to.be.greaterThan(100);
    expect(sources.flatMap(checkSource).map(formatViolation)).to.deep.equal([]);
  });

  it("is what the compiler enforces: every layer's tsconfig.json says the same", () => {
    const found = Object.keys(LAYERS).flatMap((name) => checkProject(name, projectOf(name)));
    expect(found.map(formatViolation)).to.deep.equal([]);
  });

  it("has arrows that never point back", () => {
    const names = Object.keys(LAYERS);
    for (const [index, name] of names.entries()) {
      expect(names.slice(0, index), name).to.include.members(Array.from(LAYERS[name]?.uses ?? []));
    }
  });

  it("has a tsconfig.json for every layer and a layer for every tsconfig.json", () => {
    const folders = sources.map(({ path }) => path).filter((path) => path.startsWith("packages/"));
    const layers = new Set(
      folders.map((path) =>
        path
          .split("/")
          .slice(0, path.startsWith("packages/core/") ? 4 : 2)
          .join("/"),
      ),
    );
    expect(Array.from(layers).toSorted()).to.deep.equal(
      Object.values(LAYERS)
        .map(({ folder }) => folder)
        .toSorted(),
    );
  });
});

/** What the checker says about a made-up source: rule and line of each violation. */
function judge(path: string, ...lines: string[]): string[] {
  return checkSource({ path, text: `${lines.join("\n")}\n` }).map(({ rule, place }) =>
    place.startsWith(`${path}:`) ? `${rule}:${place.slice(path.length + 1)}` : rule,
  );
}

const BASE = "packages/core/src/base/made-up.ts";
const ENGINE = "packages/core/src/engine/made-up.ts";
const DATAPLANE = "packages/core/src/dataplane/made-up.ts";
const HCPE = "packages/hcpe/src/made-up.ts";
const HAG = "packages/hag/src/made-up.ts";

/** A violation of each rule: what it is, the file, its text. */
const FORBIDDEN: readonly (readonly [Rule, string, string, string])[] = [
  ["layer", "an arrow that points back", "packages/core/src/wire/x.ts", 'import type { A } from "../policy/a.ts";'],
  ["layer", "a layer beside it", "packages/core/src/services/x.ts", 'export { a } from "../engine/engine.ts";'],
  ["layer", "models of tests in the product", HCPE, 'import { Link } from "@hybrid-access/core/testing/link";'],
  ["layer", "a dynamic import", BASE, '  const { a } = await import("../wire/a.ts");'],
  ["unknown-folder", "a folder without a row", "packages/core/src/misc/x.ts", "export const a = 1;"],
  ["unknown-folder", "a package without a row", "packages/extra/src/x.ts", "export const a = 1;"],
  ["seam", "an engine named by the data plane", DATAPLANE, 'import { K } from "../engine/kernel/kernel-engine.ts";'],
  ["seam", "an engine named by a daemon", HAG, 'import { p } from "@hybrid-access/core/engine/kernel/probe";'],
  ["koffi", "koffi beside libc.ts", "packages/core/src/platform/x.ts", 'import koffi from "koffi";'],
  ["koffi", "koffi in a test", "test/e2e/x.ts", 'import koffi from "koffi";'],
  ["node-module", "I/O in pure code", BASE, 'import { readFileSync } from "node:fs";'],
  ["node-module", "Node's sockets in an engine", ENGINE, 'import { connect } from "node:net";'],
  ["node-module", "files in the data plane", DATAPLANE, 'import "node:fs";'],
  ["npm-package", "a package that is not the layer's", BASE, 'import { pino } from "pino";'],
  ["npm-package", "mocha in pure code", "packages/core/src/testing/x.ts", 'import { it } from "mocha";'],
  ["daemons-apart", "the HAG in the HCPE", HCPE, 'import { a } from "@hybrid-access/hag/converter";'],
  ["daemons-apart", "the HCPE in the HAG", HAG, 'import { a } from "../../hcpe/src/carrier.ts";'],
  ["test-stays-outside", "a test in the product", HCPE, 'import { Lab } from "../../../test/lab/lab.ts";'],
  ["package-by-name", "core by its path", HCPE, 'import { a } from "../../core/src/base/bytes.ts";'],
  ["clock", "the time of day", BASE, "const now = Date.now();"],
  ["clock", "a clock", "packages/core/src/policy/x.ts", "const now = performance.now();"],
  ["clock", "chance", "packages/core/src/testing/x.ts", "const die = Math.random();"],
  ["clock", "a timer", "packages/core/src/wire/x.ts", "setTimeout(() => {}, 1);"],
];

describe("the architecture's checker", () => {
  for (const [rule, what, path, text] of FORBIDDEN) {
    it(`refuses ${what} (${rule})`, () => {
      expect(judge(path, "", text).map((found) => found.split(":")[0])).to.deep.equal([rule]);
    });
  }

  it("refuses a file of more than 500 lines", () => {
    expect(judge(BASE, ...Array.from({ length: 500 }, () => "a();"))).to.deep.equal([]);
    expect(judge(BASE, ...Array.from({ length: 501 }, () => "a();"))).to.deep.equal(["file-length"]);
    expect(judge("test/e2e/x.test.ts", ...Array.from({ length: 501 }, () => "a();"))).to.deep.equal(["file-length"]);
  });

  it("sees imports over several lines, and says in which line each begins", () => {
    expect(judge(BASE, "import {", "  a,", "  b,", '} from "../wire/a.ts";', 'import "node:fs";')).to.deep.equal([
      "layer:1",
      "node-module:5",
    ]);
  });

  it("takes no comment for code", () => {
    expect(judge(BASE, '// import "node:fs";', "/**", " * Date.now() is forbidden here.", " */")).to.deep.equal([]);
    expect(judge(BASE, "const a = 1; // not Math.random()")).to.deep.equal([]);
  });

  it("lets pass what the layers allow", () => {
    expect(judge("packages/core/src/platform/libc.ts", 'import koffi from "koffi";')).to.deep.equal([]);
    expect(judge(DATAPLANE, 'import { E } from "../engine/engines.ts";', "const now = performance.now();")).to.be.empty;
    expect(judge(HAG, 'import { a } from "@hybrid-access/core/engine/engine";', 'import "./b.ts";')).to.deep.equal([]);
    expect(judge("test/unit/x.ts", 'import { a } from "@hybrid-access/core/engine/kernel/probe";')).to.deep.equal([]);
  });

  it("gives rule, place, reason and where to read on", () => {
    const [violation] = checkSource({ path: BASE, text: 'import "node:fs";\n' });
    expect(violation && formatViolation(violation)).to.match(
      /^packages\/core\/src\/base\/made-up\.ts:1: \[node-module\] base imports node:fs: pure code .* \(docs\/adr\/0001/,
    );
  });

  it("refuses a tsconfig.json that allows more or less than the layers, or Node's types to pure code", () => {
    const base = "../../../../tsconfig.base.json";
    const wire = { extends: base, references: [{ path: "../base" }] };
    expect(checkProject("wire", wire)).to.deep.equal([]);
    const said = (project: ProjectFile) => checkProject("wire", project).map(({ message }) => message);
    expect(said({ extends: base, references: [] })).to.deep.equal(["lacks the reference to base, which wire may use"]);
    expect(said({ extends: base, references: [{ path: "../base" }, { path: "../platform" }] })).to.deep.equal([
      "references platform, which wire may not use",
    ]);
    expect(said({ ...wire, extends: "../../../../tsconfig.node.json" })).to.deep.equal([
      "extends ../../../../tsconfig.node.json, and must extend tsconfig.base.json",
    ]);
  });
});
