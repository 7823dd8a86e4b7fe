/** How many descriptors this process may hold open (RLIMIT_NOFILE). */
import { check, resultOf } from "./errno.ts";
import { libc } from "./libc.ts";

const RLIMIT_NOFILE = 7;

/** How many descriptors this process may have now. */
export function descriptorLimit(): number {
  const limit = new BigUint64Array(2);
  check(resultOf(libc.getrlimit(RLIMIT_NOFILE, limit)), "getrlimit");
  return toNumber(limit[0]);
}

/** Raises the soft limit to the hard one and returns it. */
export function raiseDescriptorLimit(): number {
  const limit = new BigUint64Array(2);
  check(resultOf(libc.getrlimit(RLIMIT_NOFILE, limit)), "getrlimit");
  limit[0] = limit[1] ?? 0n;
  check(resultOf(libc.setrlimit(RLIMIT_NOFILE, limit)), "setrlimit");
  return toNumber(limit[0]);
}

function toNumber(limit = 0n): number {
  return limit > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(limit);
}
