import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const MODULE = fileURLToPath(new URL("../lab/root.js", import.meta.url));
const AS_NOBODY = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/** A program that wants a lab, and says who and where it is. */
const PROGRAM = `import { execFileSync } from "node:child_process";
import { becomeRoot, isRoot } from ${JSON.stringify(MODULE)};
becomeRoot();
if (isRoot()) execFileSync("ip", ["netns", "add", "halab0-root"]);
console.log(isRoot(), process.argv[2]);
process.exit(7);
`;

describe("a lab without root", function () {
  this.timeout(20_000);
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-root-"));
  const program = join(directory, "program.mjs");

  before(function () {
    writeFileSync(program, PROGRAM);
    chmodSync(directory, 0o755);
    const reachable = spawnSync("setpriv", [...AS_NOBODY, "cat", MODULE, process.execPath], { stdio: "ignore" });
    if (reachable.status !== 0) {
      process.stdout.write(
        "    skipped: an ordinary user may not read this checkout, or this user may not become one\n",
      );
      this.skip();
    }
  });
  after(() => rmSync(directory, { recursive: true }));

  function runAsNobody(path: string) {
    const command = [...AS_NOBODY, process.execPath, program, "argument"];
    // Where coverage is measured, an ordinary user may not write it.
    const environment = { HOME: "/", PATH: path, NODE_V8_COVERAGE: "" };
    return spawnSync("setpriv", command, { encoding: "utf8", env: environment });
  }

  it("goes on in a user namespace with the same arguments, and ends with the same exit code", function () {
    const allowed = spawnSync("setpriv", [...AS_NOBODY, "unshare", "--user", "--map-root-user", "--net", "true"]);
    if (allowed.status !== 0) {
      process.stdout.write(`      skipped: ${allowed.stderr.toString().trim()}\n`);
      this.skip();
    }
    const { status, stdout, stderr } = runAsNobody("/usr/bin:/bin");
    expect({ status, stdout, stderr }).to.deep.equal({ status: 7, stdout: "true argument\n", stderr: "" });
  });

  it("says in one line why the host allows no user namespace", () => {
    const refusing = join(directory, "unshare");
    writeFileSync(refusing, "#!/bin/sh\necho 'unshare: Operation not permitted' >&2\nexit 1\n");
    chmodSync(refusing, 0o755);
    const { status, stdout, stderr } = runAsNobody(`${directory}:/usr/bin:/bin`);
    expect({ status, stdout }).to.deep.equal({ status: 7, stdout: "false argument\n" });
    expect(stderr).to.match(/^lab: network namespaces need root, .* \(unshare: Operation not permitted.*\)\n$/);
  });
});
