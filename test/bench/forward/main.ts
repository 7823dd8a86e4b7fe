/** A process around the forwarder's worker: `main.js <own address> <server> <port>...`. */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { NEAR } from "@hybrid-access/core/dataplane/relay";
import { WorkerPool } from "@hybrid-access/core/dataplane/worker-pool";
import { connectionCapacity } from "@hybrid-access/core/services/connection-capacity";
import type { ForwarderSetup } from "./worker.ts";

/** As in both daemons and their default configuration. */
const MAX_CONNECTIONS = 65_536;
const BUFFER_BYTES = 256 * 1024;
const PENDING_LIMIT_BYTES = 64 * 1024 * 1024;
const IDLE_MS = 124 * 60_000;
const HALF_CLOSED_MS = 60 * 60_000;

const [ownAddress = "", server = "", ...ports] = process.argv.slice(2);
const capacity = connectionCapacity(1, MAX_CONNECTIONS);
const setup: ForwarderSetup = {
  engine: "kernel",
  relay: {
    maxConnections: capacity.connectionsPerWorker,
    bufferBytes: BUFFER_BYTES,
    pipes: { from: NEAR, most: capacity.pipesPerWorker },
    pendingLimitBytes: PENDING_LIMIT_BYTES,
    idleMs: IDLE_MS,
    halfClosedMs: HALF_CLOSED_MS,
  },
  listen: ports.map((port) => ({ address: ipAddress(ownAddress), port: Number(port) })),
  server: ipAddress(server),
};
const pool = new WorkerPool({
  entry: new URL("./worker.js", import.meta.url),
  workers: 1,
  setup: () => setup,
  onReport: () => {},
  onDeath(_, error) {
    process.stderr.write(`forwarder: ${error.stack}\n`);
    process.exitCode = 1;
  },
});
await pool.start();
