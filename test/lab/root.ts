/**
 * Root for the lab: the caller's own, or that of a user namespace with networks and mounts of its own, in which the same
 * command line is started again.
 */
import { spawnSync } from "node:child_process";
import { constants } from "node:os";
import { readSysctl } from "@hybrid-access/core/platform/sysctl";

const UNSHARE = ["--user", "--map-root-user", "--net", "--mount"];
/** `ip netns` keeps its names in /run/netns, which only the host's root may write. */
const OWN_RUN = 'mount -t tmpfs none /run && ip link set lo up && exec "$@"';

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/**
 * Returns at once for root. Otherwise the process goes on in a user namespace, and this one ends with its exit code;
 * where the host allows no user namespace, says why on standard error and returns: what needs a lab fails then.
 */
export function becomeRoot(): void {
  // Where sysctl and nft are: an ordinary user's search path leaves them out.
  process.env.PATH = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;
  if (isRoot()) return;
  const missing = whyNoUserNamespace();
  if (missing !== undefined) {
    process.stderr.write(`lab: ${missing}\n`);
    return;
  }
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status, signal } = spawnSync("unshare", [...UNSHARE, "sh", "-c", OWN_RUN, "sh", ...command], {
    stdio: "inherit",
  });
  process.exit(status ?? 128 + constants.signals[signal ?? "SIGTERM"]);
}

/** Tries one; undefined when it works. */
function whyNoUserNamespace(): string | undefined {
  const { error, status, stderr } = spawnSync("unshare", [...UNSHARE, "true"], { encoding: "utf8" });
  if (status === 0) return undefined;
  const said = error?.message ?? stderr.trim();
  const setting = [
    ["kernel.apparmor_restrict_unprivileged_userns", "1"],
    ["kernel.unprivileged_userns_clone", "0"],
    ["user.max_user_namespaces", "0"],
  ].find(([name = "", forbidding]) => readSysctl(name) === forbidding);
  const because = setting === undefined ? said : `${said}; sysctl ${setting.join("=")} forbids it`;
  return `network namespaces need root, or an unprivileged user namespace, which this host refuses (${because})`;
}
