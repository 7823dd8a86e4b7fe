/** nftables, through the nft program: one table of a daemon's own, replaced as a whole in one transaction. */
import { spawnSync } from "node:child_process";
import { AccessError } from "../../base/error.ts";

function nft(input: string, ...options: string[]): void {
  const { error, status, stderr } = spawnSync("nft", [...options, "-f", "-"], { input, encoding: "utf8" });
  if (error !== undefined) {
    throw new AccessError("NFT_MISSING", "system", `nft cannot be started (package nftables): ${error.message}`, error);
  }
  if (status !== 0) {
    throw new AccessError("NFT_REFUSED", "system", `nftables: ${stderr.trim().split("\n")[0]}`);
  }
}

/** Creates "table inet NAME" with `body`, in place of an earlier one. */
export function replaceTable(name: string, body: string): void {
  nft(`table inet ${name}\ndelete table inet ${name}\ntable inet ${name} {\n${body}\n}\n`);
}

/** Has nft and the kernel judge `rules` without applying them. Throws an AccessError. */
export function checkRules(rules: string): void {
  nft(rules, "--check");
}

/** Removes the table, whether it is there or not. */
export function removeTable(name: string): void {
  nft(`table inet ${name}\ndelete table inet ${name}\n`);
}
