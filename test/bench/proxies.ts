/** Starts relays in their nodes: the product's forwarder, and peers. Each returns when it accepts connections. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { check } from "@hybrid-access/core/platform/errno";
import { closeDescriptor, IPPROTO_MPTCP, OPTION, setOption } from "@hybrid-access/core/platform/socket";
import { connectFrom, openPlainListener } from "../lab/stream.ts";
import { until } from "../lab/until.ts";
import type { Variant } from "./comparison.ts";
import { PORT, ROLES } from "./load/protocol.ts";
import { ADDRESS, type OneCore, type RelayNode, relayAddress } from "./one-core.ts";
import { inheritance, PEERS, type Peer, type PeerName, type ProxyPlace } from "./peers.ts";

const START_LIMIT_MS = 15_000;

/** Where a relay runs, and to which group of the CPU's meter it belongs. */
export interface Home {
  readonly host: OneCore;
  readonly node: RelayNode;
  readonly group: string;
}

/** The name of the product's relay among the variants of one hop. */
export const OURS = "relay";

/** A relay of one hop on the node "access" that has begun to accept. */
export interface Hop extends Variant {
  readonly group: string;
  readonly process: ChildProcess;
}

/** Starts the product's relay or a peer, toward the server of one hop, on the node's address with this number. */
export async function startHop(host: OneCore, name: PeerName | typeof OURS, index: number): Promise<Hop> {
  const group = name.replaceAll(" ", "-");
  const home: Home = { host, node: "access", group };
  const place: ProxyPlace = {
    listen: relayAddress("access", index),
    server: ADDRESS.hopServer,
    multipath: "toServer",
  };
  const process = await (name === OURS ? startForwarder(home, place) : startPeer(home, name, place));
  return { name, kind: name === OURS ? "ours" : "peer", address: place.listen, group, process };
}

/** The product's relay and worker, without interception and Convert. */
async function startForwarder(home: Home, { listen, server }: ProxyPlace): Promise<ChildProcess> {
  const main = fileURLToPath(new URL("./forward/main.js", import.meta.url));
  const ports = ROLES.map((role) => String(PORT[role]));
  const child = home.host.spawn(home.node, home.group, [process.execPath, main, listen, server, ...ports], {
    stdio: ["ignore", 2, 2],
  });
  await accepting(home, child, listen);
  return child;
}

/** Starts a peer on a node. */
export async function startPeer(home: Home, name: PeerName, place: ProxyPlace): Promise<ChildProcess> {
  const peer: Peer = PEERS[name];
  const { host, node, group } = home;
  const base = `${name.replaceAll(" ", "-")}-${node}`;
  const file = host.pair.file(`${base}.conf`);
  writeFileSync(file, peer.configuration(place, host.pair.file(`${base}.pid`)));
  const inherited = place.multipath === "fromClient" ? multipathListeners(home, place.listen) : [];
  const command = [...(place.multipath === "toServer" ? ["mptcpize", "run"] : []), ...peer.command(file)];
  const child = host.spawn(node, group, command, {
    stdio: ["ignore", "ignore", 2, ...inherited],
    env: { ...process.env, ...inheritance(place) },
  });
  inherited.forEach(closeDescriptor);
  await accepting(home, child, place.listen);
  return child;
}

/** What a peer inherits: it needs no Multipath TCP of its own to accept from these. */
function multipathListeners({ host, node }: Home, address: string): number[] {
  return host.pair.lab.inside(node, () =>
    ROLES.map((role) => {
      const fd = openPlainListener(PORT[role], IPPROTO_MPTCP, address);
      check(setOption(fd, OPTION.tcpNoDelay, 1), "TCP_NODELAY");
      return fd;
    }),
  );
}

/** Returns when a connection to every port was accepted; throws when the process ends instead. */
async function accepting({ host, node, group }: Home, child: ChildProcess, address: string): Promise<void> {
  for (const role of ROLES) {
    await until(
      async () => {
        if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${group} ended at its start`);
        const socket = connectFrom(host.pair.lab, node, address, PORT[role]);
        const connected = await once(socket, "connect").then(
          () => true,
          () => false,
        );
        socket.destroy();
        return connected;
      },
      { what: `${group} accepts connections`, limitMs: START_LIMIT_MS },
    );
  }
}
