/** nftables, through the nft program: one table of a daemon's own, replaced as a whole in one transaction. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { AccessError, describeError } from "../../base/error.ts";

function nft(input: string, ...options: string[]): void {
  const { error, status, stderr } = spawnSync("nft", [...options, "-f", "-"], { input, encoding: "utf8" });
  if (error !== undefined) throw missing(error);
  if (status !== 0) throw refused(stderr);
}

function missing(error: unknown): AccessError {
  const why = describeError(error);
  return new AccessError("NFT_MISSING", "system", `nft cannot be started (package nftables): ${why}`, error);
}

function refused(stderr: string): AccessError {
  return new AccessError("NFT_REFUSED", "system", `nftables: ${stderr.trim().split("\n")[0]}`);
}

/** Carries out what nft's language says, in one transaction. Throws an AccessError. */
export function applyRules(input: string): void {
  nft(input);
}

/** As {@link applyRules}, while this process goes on: starting nft takes some ten milliseconds. */
export async function applyRulesMeanwhile(input: string): Promise<void> {
  const child = spawn("nft", ["-f", "-"], { stdio: ["pipe", "ignore", "pipe"] });
  const exited = once(child, "close");
  child.stdin.end(input);
  const [stderr, [status]] = await Promise.all([text(child.stderr), exited]).catch((error: unknown) => {
    throw missing(error);
  });
  if (status !== 0) throw refused(stderr);
}

/** Creates "table inet NAME" with `body`, in place of an earlier one. */
export function replaceTable(name: string, body: string): void {
  applyRules(`table inet ${name}\ndelete table inet ${name}\ntable inet ${name} {\n${body}\n}\n`);
}

/** Has nft and the kernel judge `rules` without applying them. Throws an AccessError. */
export function checkRules(rules: string): void {
  nft(rules, "--check");
}

/** Removes the table, whether it is there or not. */
export function removeTable(name: string): void {
  applyRules(`table inet ${name}\ndelete table inet ${name}\n`);
}
