import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Schema, Setting } from "@hybrid-access/core/services/config/load";
import { hagSchema, loadHagConfig } from "@hybrid-access/hag/config";
import { hcpeSchema, loadHcpeConfig } from "@hybrid-access/hcpe/config";
import { expect } from "chai";

const ROOT = fileURLToPath(new URL("../../../../", import.meta.url));
const DOCUMENT = readFileSync(join(ROOT, "docs/configuration.md"), "utf8");
const README = readFileSync(join(ROOT, "README.md"), "utf8");

const DAEMONS = [
  { file: "hcpe.yaml", schema: hcpeSchema as Schema, load: loadHcpeConfig },
  { file: "hag.yaml", schema: hagSchema as Schema, load: loadHagConfig },
] as const;

function isSetting(entry: Setting<unknown> | Schema): entry is Setting<unknown> {
  return typeof entry.doc === "string";
}

/** Every setting of a schema by its dotted key. */
function settingsOf(schema: Schema, path: readonly string[] = []): [string, Setting<unknown>][] {
  return Object.entries(schema).flatMap(([name, entry]): [string, Setting<unknown>][] =>
    isSetting(entry) ? [[[...path, name].join("."), entry]] : settingsOf(entry, [...path, name]),
  );
}

/** The fields of a list of mappings, which its format names for people: "a list of: a mapping of name, cost". */
function fieldsOf(key: string, { format }: Setting<unknown>): string[] {
  const [, names] = /^a list of: a mapping of (.*)$/.exec(format.expects) ?? [];
  return names === undefined ? [] : names.split(", ").map((name) => `${key}[].${name}`);
}

/** What the table under a file's heading says: key to default. */
function documented(file: string): Map<string, string> {
  const [, section = ""] = DOCUMENT.split(`\n## ${file}\n`);
  const [own = ""] = section.split("\n## ");
  const rows = own.matchAll(/^\| `([^`]+)` \| [^|]+ \| (?:`([^`]+)`|required) \|/gm);
  return new Map(Array.from(rows, ([, key = "", value = "required"]) => [key, value]));
}

/** A default as the document writes it. */
function written(value: unknown): string {
  if (value === undefined) return "required";
  if (!Array.isArray(value)) return String(value);
  const items = value.map((item) => {
    const fields = Object.entries(item as object).map(([name, field]) => `${name}: ${JSON.stringify(field)}`);
    return `{ ${fields.join(", ")} }`;
  });
  return `[${items.join(", ")}]`;
}

/** The fenced YAML blocks that begin with the comment "# FILE". */
function examples(text: string, file: string): string[] {
  return Array.from(text.matchAll(/```yaml\n([\s\S]*?)```/g), ([, body = ""]) => body).filter((body) =>
    body.startsWith(`# ${file}\n`),
  );
}

describe("docs/configuration.md", () => {
  for (const { file, schema, load } of DAEMONS) {
    const settings = settingsOf(schema);

    it(`names every key of ${file}, and no key that does not exist`, () => {
      const keys = settings.flatMap(([key, setting]) => [key, ...fieldsOf(key, setting)]);
      expect(Array.from(documented(file).keys()).toSorted()).to.deep.equal(keys.toSorted());
    });

    it(`gives the default of every key of ${file}`, () => {
      const rows = documented(file);
      for (const [key, setting] of settings) expect(rows.get(key), key).to.equal(written(setting.default));
    });

    it(`has examples of ${file}, here and in the README, that are valid`, () => {
      const found = [examples(DOCUMENT, file), examples(README, file)];
      expect(found.every((blocks) => blocks.length > 0)).to.equal(true);
      const directory = mkdtempSync(join(tmpdir(), "hybrid-access-docs-"));
      try {
        const config = join(directory, file);
        for (const block of found.flat()) {
          writeFileSync(config, block);
          expect(() => load({ config, set: [] })).not.to.throw();
        }
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  }
});
