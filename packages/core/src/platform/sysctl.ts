/** Kernel settings under /proc/sys. They belong to the network namespace of the calling process. */
import { readFileSync, writeFileSync } from "node:fs";
import { AccessError, describeError } from "../base/error.ts";

function pathOf(name: string): string {
  return `/proc/sys/${name.replaceAll(".", "/")}`;
}

/** The value of "net.mptcp.enabled" and the like, or undefined when this kernel has no such setting. */
export function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(pathOf(name), "utf8").trim();
  } catch {
    return undefined;
  }
}

/** Sets a value. Throws an AccessError that names the setting. */
export function writeSysctl(name: string, value: string): void {
  try {
    writeFileSync(pathOf(name), value);
  } catch (error) {
    throw new AccessError("SYSCTL_REFUSED", "system", `sysctl ${name}=${value}: ${describeError(error)}`, error);
  }
}
