/**
 * The operator's own policy: a module that exports `policy`, a SubflowPolicy (core/policy/path-manager/path-manager.ts).
 * It runs with the daemon's rights. One that is broken, when it is loaded or later, is refused with its error.
 */
import { execFile } from "node:child_process";
import { access } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import { AccessError, describeError } from "@hybrid-access/core/base/error";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import type {
  ConnectionView,
  PolicyContext,
  SubflowPolicy,
  UplinkAddress,
  WantedSubflow,
} from "@hybrid-access/core/policy/path-manager/path-manager";
import { reaching } from "@hybrid-access/core/policy/path-manager/selection";

const EXPECTED = "an ECMAScript module that exports `policy`, with a function `wanted` that gives a list of subflows";

/** Loads `file` anew each time, and tries it. Throws an AccessError with the cause. */
export async function loadPolicyModule(file: string, nowMs: number): Promise<SubflowPolicy> {
  try {
    // What import() says of a file that is not there is not about the file.
    await access(file);
    // A module is loaded once for each URL; a query makes it another one.
    const loaded = (await import(`${pathToFileURL(file).href}?loaded=${nowMs}`)) as { policy?: Partial<SubflowPolicy> };
    const wanted = loaded.policy?.wanted;
    if (typeof wanted !== "function") throw new TypeError("it exports no `policy` with a function `wanted`");
    const policy = { name: "module", wanted: wanted.bind(loaded.policy) };
    checkWanted(policy.wanted(SAMPLE, SAMPLE_CONTEXT), SAMPLE_CONTEXT.uplinks);
    return policy;
  } catch (error) {
    const place = await placeOf(error, file);
    const message = `policy module ${place}: ${describeError(error)}; expected ${EXPECTED}`;
    throw new AccessError("POLICY_MODULE", "configuration", message, error);
  }
}

/** "/etc/hcpe/policy.mjs:3:7" where the error tells; the file alone otherwise. */
async function placeOf(error: unknown, file: string): Promise<string> {
  if (error instanceof SyntaxError) return (await syntaxPlace(file)) ?? file;
  const stack = error instanceof Error ? (error.stack ?? "") : "";
  const place = stack.split("\n").find((line) => line.includes(pathToFileURL(file).href));
  const [, line, column] = /:(\d+):(\d+)\)?$/.exec(place ?? "") ?? [];
  return line === undefined ? file : `${file}:${line}:${column}`;
}

/** Where Node cannot parse the file: errors of import() do not tell, `node --check` does, with a mark under the place. */
async function syntaxPlace(file: string): Promise<string | undefined> {
  const said = await new Promise<string>((resolve) => {
    execFile(process.execPath, ["--check", file], (_error, _stdout, stderr) => resolve(stderr));
  });
  const [, line, before] = /:(\d+)\n.*\n( *)\^/.exec(said) ?? [];
  return line === undefined ? undefined : `${file}:${line}:${(before?.length ?? 0) + 1}`;
}

/**
 * The policy `module`, which is asked about the uplinks that reach the gateway, tells its first error, and leaves every
 * connection from then on to `fallback`.
 */
export function guarded(
  module: SubflowPolicy,
  fallback: SubflowPolicy,
  onError: (error: unknown) => void,
): SubflowPolicy {
  let broken = false;
  return {
    name: "module",
    wanted(connection, context) {
      if (broken) return fallback.wanted(connection, context);
      try {
        const uplinks = reaching(connection, context.uplinks);
        return checkWanted(module.wanted(connection, { ...context, uplinks }), uplinks);
      } catch (error) {
        broken = true;
        onError(error);
        return fallback.wanted(connection, context);
      }
    },
  };
}

function checkWanted(wanted: unknown, uplinks: readonly UplinkAddress[]): readonly WantedSubflow[] {
  if (!Array.isArray(wanted)) throw new TypeError("`wanted` did not return a list");
  for (const { local, remote, backup, count = 1 } of wanted as WantedSubflow[]) {
    if (!uplinks.includes(local)) throw new TypeError("`local` of a wanted subflow is none of the uplinks given");
    if (remote?.address?.length !== 16 || !Number.isInteger(remote.port)) {
      throw new TypeError("`remote` of a wanted subflow is no end of a connection");
    }
    if (typeof backup !== "boolean") throw new TypeError("`backup` of a wanted subflow is neither true nor false");
    if (!Number.isInteger(count) || count < 1)
      throw new TypeError("`count` of a wanted subflow is no whole number above 0");
  }
  return wanted as WantedSubflow[];
}

/** A connection over two uplinks (addresses of RFC 5737), for trying a policy out. */
const SAMPLE_UPLINKS: readonly UplinkAddress[] = [
  { uplink: "first", cost: 0, address: ipAddress("192.0.2.1"), localId: 1, interfaceIndex: 1 },
  { uplink: "second", cost: 10, address: ipAddress("198.51.100.1"), localId: 2, interfaceIndex: 2 },
];

const SAMPLE: ConnectionView = {
  local: { address: ipAddress("192.0.2.1"), port: 40_000 },
  remote: { address: ipAddress("203.0.113.1"), port: 5124 },
  denyJoinInitial: false,
  announced: [],
  joinPort: undefined,
  subflows: [],
};

const SAMPLE_CONTEXT: PolicyContext = { uplinks: SAMPLE_UPLINKS, isFull: () => false };
