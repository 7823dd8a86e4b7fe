/**
 * Other TCP proxies, in the settings that suit them best here, all of them with one process and one thread. Neither of
 * Debian 12's knows Multipath TCP. `mptcpize` makes it every socket's protocol. Where only the clients' side needs it,
 * HAProxy inherits Multipath TCP listening sockets from the benchmark instead, so that its connections to the server are
 * plain TCP; nginx 1.22 crashes when it inherits sockets and has no master process.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { PORT, ROLES } from "./load/protocol.ts";

/** One proxy in front of a server: listens on every load port of `listen`, connects to the same port of `server`. */
export interface ProxyPlace {
  readonly listen: string;
  readonly server: string;
  /** The side with Multipath TCP. */
  readonly multipath: "toServer" | "fromClient";
}

export interface Peer {
  /** Takes Multipath TCP listening sockets of {@link ROLES} over, as descriptors from {@link FIRST_INHERITED_DESCRIPTOR}. */
  readonly inherits: boolean;
  /** The file's content, given to `command` by its path. */
  configuration(place: ProxyPlace, pidFile: string): string;
  command(file: string): string[];
}

/** Buffers of HAProxy when it copies, and nginx's: as large as the product's. HAProxy's own 16 KiB halve its rate. */
const BUFFER_BYTES = 256 * 1024;
/** HAProxy's pipes when it splices: four times the kernel's 64 KiB give it half as much again. */
const PIPE_BYTES = 256 * 1024;
/** Two descriptors each must fit into the usual limit of 20,000. */
const MAX_CONNECTIONS = 9_000;

export const FIRST_INHERITED_DESCRIPTOR = 3;

function haproxy(splice: boolean): Peer {
  return {
    inherits: true,
    configuration: ({ listen, server, multipath }) => `global
  nbthread 1
  maxconn ${MAX_CONNECTIONS}
  ${splice ? `maxpipes 64\n  tune.pipesize ${PIPE_BYTES}` : `tune.bufsize ${BUFFER_BYTES}`}
defaults
  mode tcp
  timeout connect 10s
  timeout client 1h
  timeout server 1h
  ${splice ? "option splice-auto\n  option splice-request\n  option splice-response" : ""}
${ROLES.map(
  (role, index) => `listen ${role}
  bind ${multipath === "fromClient" ? `fd@${FIRST_INHERITED_DESCRIPTOR + index}` : `${listen}:${PORT[role]}`}
  server s ${server}:${PORT[role]}
`,
).join("")}`,
    command: (file) => ["haproxy", "-db", "-f", file],
  };
}

const nginx: Peer = {
  inherits: false,
  configuration: ({ listen, server }, pidFile) => `load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile ${2 * MAX_CONNECTIONS + 64};
error_log stderr crit;
pid ${pidFile};
events { worker_connections ${2 * MAX_CONNECTIONS + 64}; multi_accept on; }
stream {
  access_log off;
  tcp_nodelay on;
  proxy_buffer_size ${BUFFER_BYTES / 1024}k;
  proxy_timeout 1h;
  proxy_half_close on;
${ROLES.map((role) => `  server { listen ${listen}:${PORT[role]} backlog=8192; proxy_pass ${server}:${PORT[role]}; }\n`).join("")}}
`,
  command: (file) => ["nginx", "-e", "stderr", "-c", file],
};

export const PEERS = {
  "haproxy splice": haproxy(true),
  "haproxy copy": haproxy(false),
  nginx,
} as const satisfies Record<string, Peer>;

export type PeerName = keyof typeof PEERS;

export const PEER_NAMES = Object.keys(PEERS) as PeerName[];

/** Installs the Debian packages of the peers where they are missing; what it does it says on standard error. */
export async function installPeers(): Promise<void> {
  const script = fileURLToPath(new URL("../../../tools/prepare-host.mjs", import.meta.url));
  const [code] = await once(spawn(process.execPath, [script, "--peers"], { stdio: ["ignore", 2, 2] }), "exit");
  if (code !== 0) throw new Error("the proxies to compare with could not be installed");
}
