/** What this host offers beside its sockets, found out by trying, never by version. Nothing is left behind. */

import { concatBytes } from "../../base/bytes.ts";
import { AVAILABLE, type Capability, unavailable } from "../../base/capability.ts";
import { describeError } from "../../base/error.ts";
import { ERRNO, errnoName, SystemError } from "../../platform/errno.ts";
import { attribute } from "../../platform/netlink/message.ts";
import { NETLINK_NETFILTER, NetlinkClient } from "../../platform/netlink/socket.ts";
import { openPacketSocket } from "../../platform/packet-socket.ts";
import { hasProcessCapability } from "../../platform/process-capability.ts";
import { closeDescriptor } from "../../platform/socket.ts";
import { probeTun } from "../../platform/tun.ts";
import { checkRules } from "./nftables.ts";

export interface HostCapabilities {
  /** Redirecting the LAN's connections to this host, without changing them. */
  readonly nftablesTproxy: Capability;
  /** Network interfaces whose packets a process reads and writes. */
  readonly tun: Capability;
  /** Seeing and sending whole packets on an interface (AF_PACKET). */
  readonly packetSocket: Capability;
  /** Verdicts on packets from user space (NFQUEUE). */
  readonly netfilterQueue: Capability;
}

/** Tries everything once; takes some milliseconds, since nft is a program. */
export function probeHost(): HostCapabilities {
  return {
    nftablesTproxy: probeTproxy(),
    tun: probeTun(),
    packetSocket: probePacketSocket(),
    netfilterQueue: probeNetfilterQueue(),
  };
}

const TPROXY_RULES = `table inet hybrid_access_probe {
  chain prerouting {
    type filter hook prerouting priority mangle;
    meta nfproto ipv4 meta l4proto tcp socket transparent 0 tproxy ip to 127.0.0.1:1;
    meta nfproto ipv6 meta l4proto tcp socket transparent 0 tproxy ip6 to [::1]:1;
  }
}
`;

function probeTproxy(): Capability {
  if (!hasProcessCapability("CAP_NET_ADMIN")) return unavailable("nftables needs CAP_NET_ADMIN");
  try {
    checkRules(TPROXY_RULES);
    return AVAILABLE;
  } catch (error) {
    return unavailable(`${describeError(error)}; interception needs nft and the kernel's nft_tproxy and nft_socket`);
  }
}

function probePacketSocket(): Capability {
  const fd = openPacketSocket();
  if (fd === -ERRNO.EPERM) return unavailable("packet sockets need CAP_NET_RAW");
  if (fd < 0) return unavailable(`this kernel has no packet sockets (CONFIG_PACKET): ${errnoName(-fd)}`);
  closeDescriptor(fd);
  return AVAILABLE;
}

const NFQUEUE_CONFIG = (3 << 8) | 2;
const CONFIG_COMMAND = 1;
/** Does nothing since Linux 3.8, and says so only where queues are there and allowed. */
const PROTOCOL_FAMILY_BIND = 3;

function probeNetfilterQueue(): Capability {
  let client: NetlinkClient | undefined;
  try {
    client = new NetlinkClient(NETLINK_NETFILTER);
    const header = new Uint8Array(4);
    const command = attribute(CONFIG_COMMAND, Uint8Array.of(PROTOCOL_FAMILY_BIND, 0, 0, 0));
    client.request(NFQUEUE_CONFIG, 0, concatBytes([header, command]), "NFQUEUE");
    return AVAILABLE;
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    return error.errno === ERRNO.EPERM
      ? unavailable("NFQUEUE needs CAP_NET_ADMIN")
      : unavailable(`this kernel has no NFQUEUE (nfnetlink_queue): ${error.code}`);
  } finally {
    client?.close();
  }
}
