/** The operator's own policy of docs/policies.md: what people copy must work. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SubflowPolicy } from "@hybrid-access/core/policy/path-manager/path-manager";
import { loadPolicyModule } from "@hybrid-access/hcpe/policy-module";

const DOCUMENT = fileURLToPath(new URL("../../../docs/policies.md", import.meta.url));

/** The module's text. */
export function examplePolicy(): string {
  const [, text] = /```js\n([\s\S]*?)```/.exec(readFileSync(DOCUMENT, "utf8")) ?? [];
  if (text === undefined) throw new Error(`${DOCUMENT} has no example of a policy module`);
  return text;
}

/** Loaded as the HCPE loads it. */
export async function loadExamplePolicy(): Promise<SubflowPolicy> {
  const directory = mkdtempSync(join(tmpdir(), "hybrid-access-example-"));
  try {
    const file = join(directory, "policy.mjs");
    writeFileSync(file, examplePolicy());
    return await loadPolicyModule(file, 1);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
