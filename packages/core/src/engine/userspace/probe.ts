/** What this host can do for the userspace engine, found out by trying, never by version. */
import { type Capability, unavailable } from "../../base/capability.ts";
import { readSysctl } from "../../platform/sysctl.ts";
import { probeTun } from "../../platform/tun.ts";
import type { Capabilities } from "../engine.ts";
import { probeCapabilities } from "../kernel/probe.ts";

/** Plain TCP is the kernel's, and so is taking foreign addresses. */
export function probeUserspace(): Capabilities {
  const packets = probePackets();
  const { transparent } = probeCapabilities();
  return {
    multipathTcp: packets,
    fastOpenConnect: packets,
    fastOpenListen: packets,
    transparent,
    pathControl: packets,
    acceptedPaths: packets,
  };
}

/** Whether packets can go from a device of ours to the network and back. */
function probePackets(): Capability {
  const tun = probeTun();
  if (!tun.available || readSysctl("net.ipv4.ip_forward") === "1") return tun;
  return unavailable("this host does not forward packets to and from a TUN interface: sysctl net.ipv4.ip_forward=1");
}
