/** Other users of a node's ports. */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Lab } from "./lab.ts";

const HOLDER = fileURLToPath(new URL("./port-holder.js", import.meta.url));

export interface HeldPorts {
  /** Where the connections go. */
  readonly address: string;
  readonly port: number;
  /** Their own ports. */
  readonly first: number;
  readonly count: number;
}

/** Lets another process hold connections from a node; gives what ends them, and frees their ports. */
export async function holdPorts(
  lab: Lab,
  node: string,
  { address, port, first, count }: HeldPorts,
): Promise<() => Promise<void>> {
  const command = [process.execPath, HOLDER, address, ...[port, first, count].map(String)];
  const holder = lab.spawn(node, command, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(holder, "exit");
  if (holder.stdout === null) throw new Error("the holder of ports has no output");
  const [said] = await Promise.race([once(createInterface(holder.stdout), "line"), ended]);
  if (said !== "held") throw new Error(`the holder of ${count} ports ended: ${said}`);
  return async () => {
    holder.stdin?.end();
    await ended;
  };
}
