/** The sockets of this process, and how much the kernel lets them keep. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Descriptors of this process's sockets, by the kernel's name of each. */
function openSockets(): Map<string, number> {
  const open = readdirSync("/proc/self/fd").flatMap((fd): [string, number][] => {
    try {
      const link = readlinkSync(`/proc/self/fd/${fd}`);
      return link.startsWith("socket:") ? [[link, Number(fd)]] : [];
    } catch {
      // That of the listing itself, which is closed by now.
      return [];
    }
  });
  return new Map(open);
}

/** Descriptors of the sockets that `action` has opened and left open, and what it gave. */
export function socketsOpenedBy<Result>(action: () => Result): { readonly result: Result; readonly opened: number[] } {
  const before = openSockets();
  const result = action();
  const opened = Array.from(openSockets()).flatMap(([socket, fd]) => (before.has(socket) ? [] : [fd]));
  return { result, opened };
}

/** What the kernel makes of a receive buffer of `bytes`: it doubles it, and without CAP_NET_ADMIN on the host it cuts it before. */
export function grantedReceiveBytes(bytes: number): number {
  // A user namespace of our own has another map.
  const isHosts = /^\s*0\s+0\s+4294967295/.test(readFileSync("/proc/self/uid_map", "utf8"));
  return 2 * (isHosts ? bytes : Math.min(bytes, Number(readFileSync("/proc/sys/net/core/rmem_max", "utf8"))));
}
