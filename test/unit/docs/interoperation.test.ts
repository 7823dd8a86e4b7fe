import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { CELLS } from "../../interop/matrix.ts";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));

describe("docs/interoperation.md", () => {
  it("has a row for every cell that is tested, and no other", () => {
    const document = readFileSync(join(ROOT, "docs/interoperation.md"), "utf8");
    const rows = Array.from(document.matchAll(/^\| ([^|]+) \| yes \|/gm), ([, name]) => name);
    expect(rows).to.deep.equal(CELLS.map(({ name }) => name));
  });
});
