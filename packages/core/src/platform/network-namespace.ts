/** Network namespaces. Entering one moves the calling thread only: what it opens from then on belongs there. */
import { check, resultOf } from "./errno.ts";
import { libc } from "./libc.ts";

const O_RDONLY_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;

/** Moves this thread into the namespace at `path` (/run/netns/NAME, /proc/PID/ns/net). Needs CAP_SYS_ADMIN. */
export function enterNetworkNamespace(path: string): void {
  const fd = check(resultOf(libc.open(path, O_RDONLY_CLOEXEC)), `open ${path}`);
  const result = resultOf(libc.setns(fd, CLONE_NEWNET));
  libc.close(fd);
  check(result, `setns ${path}`);
}

/** Runs `action` in the namespace at `path` and comes back, whatever happens. What it opens at once belongs there. */
export function inNetworkNamespace<Result>(path: string, action: () => Result): Result {
  const home = check(resultOf(libc.open("/proc/thread-self/ns/net", O_RDONLY_CLOEXEC)), "open own namespace");
  try {
    enterNetworkNamespace(path);
    return action();
  } finally {
    const result = resultOf(libc.setns(home, CLONE_NEWNET));
    libc.close(home);
    check(result, "setns home");
  }
}
