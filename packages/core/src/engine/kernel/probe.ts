/** What Linux on this host can do for the kernel engine, found out by trying, never by version. */
import { AVAILABLE, type Capability, unavailable } from "../../base/capability.ts";
import { ERRNO, errnoName } from "../../platform/errno.ts";
import { hasProcessCapability } from "../../platform/process-capability.ts";
import * as socket from "../../platform/socket.ts";
import { AF_INET } from "../../platform/socket-address.ts";
import { readSysctl } from "../../platform/sysctl.ts";
import type { Capabilities } from "../engine.ts";

/** Tries everything once; takes well under a millisecond. */
export function probeCapabilities(): Capabilities {
  const multipathTcp = probeMultipathTcp();
  return {
    multipathTcp,
    fastOpenConnect: probeFastOpen(multipathTcp, 1, "client"),
    fastOpenListen: probeFastOpen(multipathTcp, 2, "server"),
    transparent: probeTransparent(),
    pathControl: probePathControl(multipathTcp),
    acceptedPaths: probeAcceptedPaths(multipathTcp),
  };
}

const MULTIPATH_REASONS: Record<number, string> = {
  [ERRNO.EINVAL]: "this kernel is older than 5.6 and has no Multipath TCP",
  [ERRNO.EPROTONOSUPPORT]: "this kernel was built without Multipath TCP (CONFIG_MPTCP)",
  [ERRNO.ENOPROTOOPT]: "Multipath TCP is switched off: sysctl net.mptcp.enabled=1",
};

function probeMultipathTcp(): Capability {
  const fd = socket.openStreamSocket(AF_INET, socket.IPPROTO_MPTCP);
  if (fd < 0) return unavailable(MULTIPATH_REASONS[-fd] ?? `socket(IPPROTO_MPTCP): ${errnoName(-fd)}`);
  socket.closeDescriptor(fd);
  return AVAILABLE;
}

/** net.ipv4.tcp_fastopen is a bit mask: 1 lets clients send, 2 lets servers accept data in the SYN. */
function probeFastOpen(multipathTcp: Capability, bit: number, role: string): Capability {
  if (!multipathTcp.available) return multipathTcp;
  const setting = readSysctl("net.ipv4.tcp_fastopen");
  if ((Number(setting ?? 0) & bit) === 0) {
    return unavailable(`Fast Open is off for the ${role}: sysctl net.ipv4.tcp_fastopen=${setting} lacks bit ${bit}`);
  }
  const fd = socket.openStreamSocket(AF_INET, socket.IPPROTO_MPTCP);
  const result = socket.setOption(fd, socket.OPTION.tcpFastOpenNoCookie, 1);
  socket.closeDescriptor(fd);
  return result < 0 ? unavailable(`TCP_FASTOPEN_NO_COOKIE on Multipath TCP: ${errnoName(-result)}`) : AVAILABLE;
}

function probeTransparent(): Capability {
  const fd = socket.openStreamSocket(AF_INET, socket.IPPROTO_TCP);
  if (fd < 0) return unavailable(`socket: ${errnoName(-fd)}`);
  const result = socket.setOption(fd, socket.OPTION.ipTransparent, 1);
  socket.closeDescriptor(fd);
  return result < 0 ? unavailable(`IP_TRANSPARENT needs CAP_NET_ADMIN (${errnoName(-result)})`) : AVAILABLE;
}

function probePathControl(multipathTcp: Capability): Capability {
  if (!multipathTcp.available) return multipathTcp;
  const managers = readSysctl("net.mptcp.available_path_managers")?.split(/\s+/) ?? [];
  if (readSysctl("net.mptcp.pm_type") === undefined && !managers.includes("userspace")) {
    return unavailable("this kernel has no userspace path manager (net.mptcp.pm_type, since Linux 5.19)");
  }
  return hasProcessCapability("CAP_NET_ADMIN") ? AVAILABLE : unavailable("path control needs CAP_NET_ADMIN");
}

function probeAcceptedPaths(multipathTcp: Capability): Capability {
  if (!multipathTcp.available) return multipathTcp;
  return hasProcessCapability("CAP_NET_ADMIN")
    ? AVAILABLE
    : unavailable("the kernel's limit of subflows needs CAP_NET_ADMIN");
}
