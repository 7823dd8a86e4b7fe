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
import { PEERS, type Peer, type PeerName, type ProxyPlace } from "./peers.ts";

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
async function startForwarder(home: Home, place: ProxyPlace): Promise<ChildProcess> {
  const main = fileURLToPath(new URL("./forward/main.js", import.meta.url));
  const ports = ROLES.map((role) => String(PORT[role]));
  const child = home.host.spawn(home.node, home.group, [process.execPath, main, place.listen, place.server, ...ports], {
    stdio: ["ignore", 2, 2],
  });
  await carrying(home, child, place);
  return child;
}

/** Starts a peer on a node. */
export async function startPeer(home: Home, name: PeerName, place: ProxyPlace): Promise<ChildProcess> {
  const peer: Peer = PEERS[name];
  const { host, node, group } = home;
  const base = `${name.replaceAll(" ", "-")}-${node}`;
  const file = host.pair.file(`${base}.conf`);
  writeFileSync(file, peer.configuration(place, host.pair.file(`${base}.pid`)));
  const inherited = place.multipath === "fromClient" && peer.inherits ? multipathListeners(home, place.listen) : [];
  const command = [...(inherited.length === 0 ? ["mptcpize", "run"] : []), ...peer.command(file)];
  const child = host.spawn(node, group, command, { stdio: ["ignore", "ignore", 2, ...inherited] });
  inherited.forEach(closeDescriptor);
  await carrying(home, child, place);
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

/**
 * Returns when a byte has gone to the server and back. Throws when the process ends instead, or when a relay that is to
 * connect by Multipath TCP, to the node "core", does not.
 */
async function carrying({ host, node, group }: Home, child: ChildProcess, place: ProxyPlace): Promise<void> {
  const before = await host.multipathConnections("core");
  await until(
    () => {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${group} ended at its start`);
      return echoes(host, node, place.listen);
    },
    { what: `${group} carries a byte to the server and back`, limitMs: START_LIMIT_MS },
  );
  if (place.multipath === "toServer" && (await host.multipathConnections("core")) === before) {
    throw new Error(`${group} does not use Multipath TCP`);
  }
}

async function echoes({ pair }: OneCore, node: string, address: string): Promise<boolean> {
  const socket = connectFrom(pair.lab, node, address, PORT.echo);
  socket.once("connect", () => socket.write("x"));
  const answered = once(socket, "data").then(
    () => true,
    () => false,
  );
  const ended = once(socket, "close").then(
    () => false,
    () => false,
  );
  const echoed = await Promise.race([answered, ended]);
  socket.destroy();
  return echoed;
}
