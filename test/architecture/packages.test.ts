import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly engines: object;
  readonly bin?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

function readJson<Shape>(...path: string[]): Shape {
  return JSON.parse(readFileSync(join(ROOT, ...path), "utf8")) as Shape;
}

/** What `npm publish` would send. */
function packedFiles(folder: string): string[] {
  const answer = execFileSync("npm", ["pack", "--dry-run", "--json"], {
    cwd: join(ROOT, "packages", folder),
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [packed] = JSON.parse(answer) as [{ files: { path: string }[] }];
  return packed.files.map(({ path }) => path);
}

describe("the npm packages", function () {
  this.timeout(30_000);
  const root = readJson<Manifest>("package.json");

  for (const folder of readdirSync(join(ROOT, "packages"))) {
    const manifest = readJson<Manifest>("packages", folder, "package.json");

    it(`${manifest.name} has the version, license and engines of the whole`, () => {
      expect(manifest.name).to.equal(`@hybrid-access/${folder}`);
      expect(manifest.version).to.equal(readJson<{ version: string }>("lerna.json").version);
      expect(manifest).to.deep.include({ license: root.license, engines: root.engines });
      for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
        if (name.startsWith("@hybrid-access/")) expect(range, name).to.equal(manifest.version);
      }
    });

    it(`${manifest.name} ships what it was compiled to, its command, and nothing else`, () => {
      const files = packedFiles(folder);
      const commands = Object.values(manifest.bin ?? {});
      expect(files).to.include.members([...commands, "package.json"]);
      expect(files.some((path) => /^dist\/.*\.js$/.test(path))).to.equal(true);
      const others = files.filter((path) => !/^dist\/.*\.(js|js\.map|d\.ts)$/.test(path) && !commands.includes(path));
      expect(others.filter((path) => !/^(package\.json|LICENSE|README\.md)$/.test(path))).to.deep.equal([]);
      expect(files.filter((path) => /\btest(ing)?\b/.test(path))).to.deep.equal([]);
    });
  }
});
