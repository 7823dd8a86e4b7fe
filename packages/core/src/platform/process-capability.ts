/** What this process may do beyond an ordinary one (capabilities(7)). */
import { readFileSync } from "node:fs";

/** Bit numbers of linux/capability.h. */
const CAPABILITY_BITS = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13 } as const;

/** Whether the capability is in effect. In a user namespace of one's own it counts for that namespace's networks. */
export function hasProcessCapability(name: keyof typeof CAPABILITY_BITS): boolean {
  const [, effective = "0"] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return ((BigInt(`0x${effective}`) >> BigInt(CAPABILITY_BITS[name])) & 1n) === 1n;
}
