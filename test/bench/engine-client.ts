/**
 * One bulk transfer over either engine, through the seam that the data plane uses: a process of its own, in a node.
 * Arguments: the engine's name, "mptcp" or "tcp", "up" or "down", seconds, the server's address; of the userspace
 * engine the name of its congestion control, and the bytes of its buffers. Prints a {@link TransferResult} as JSON.
 */
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { type Engine, type Leg, READY } from "@hybrid-access/core/engine/engine";
import { KernelEngine } from "@hybrid-access/core/engine/kernel/kernel-engine";
import { openUserspace } from "@hybrid-access/core/engine/userspace/open";
import { TunUplink } from "@hybrid-access/core/engine/userspace/tun-uplink";
import { Epoll, type Poller } from "@hybrid-access/core/platform/epoll";
import { CONGESTION_ALGORITHMS } from "@hybrid-access/core/policy/congestion/algorithms";
import { DEFAULT_MPTCP_SETTINGS } from "@hybrid-access/core/stack/mptcp/settings";
import { CHUNK_BYTES, COUNT_BYTES, PORT, USERSPACE_ADDRESS } from "./load/protocol.ts";

export interface TransferResult {
  /** Up: what the server says that it got. */
  readonly bytes: number;
  /** Up: until the server has said so. */
  readonly seconds: number;
  /** Of this process, user and system, in seconds. */
  readonly cpuSeconds: number;
}

/** For rates of some Gbit/s. */
const LARGE_BUFFER_BYTES = 8 * 1024 * 1024;
const EVENTS_PER_WAIT = 16;
const CALLS_PER_TURN = 8;
const WAIT_MS = 100;

interface Running {
  readonly engine: Engine;
  readonly poller: Poller;
}

function start(name: string, congestionName: string, bufferBytes: number): Running {
  const epoll = new Epoll(EVENTS_PER_WAIT);
  if (name === "kernel") return { engine: new KernelEngine(epoll), poller: epoll };
  const uplink = TunUplink.open({ name: "bench0", addresses: [ipAddress(USERSPACE_ADDRESS)], offloads: true });
  const buffers = { sendBufferBytes: bufferBytes, receiveBufferBytes: bufferBytes };
  const congestion = CONGESTION_ALGORITHMS.find((algorithm) => algorithm.name === congestionName);
  if (congestion === undefined) throw new Error(`no congestion control is called ${congestionName}`);
  const tcp = { ...DEFAULT_MPTCP_SETTINGS.tcp, ...buffers, bulkBytes: 60_000, congestion };
  const { engine, reactor } = openUserspace({ uplinks: [uplink], settings: { ...DEFAULT_MPTCP_SETTINGS, tcp } }, epoll);
  return { engine, poller: reactor };
}

/** Waits for readiness of the one leg there is. */
function waitFor({ engine, poller }: Running, leg: Leg, timeoutMs: number): number {
  let bits = 0;
  for (let count = poller.wait(timeoutMs), index = 0; index < count; index++) bits |= poller.bits(index);
  const error = (bits & (READY.error | READY.hangUp)) === 0 ? 0 : engine.takeError(leg);
  if (error !== 0) throw new Error(`the connection failed: errno ${error}`);
  return bits;
}

function transfer(running: Running, leg: Leg, up: boolean, seconds: number): TransferResult {
  const { engine } = running;
  const chunk = new Uint8Array(CHUNK_BYTES);
  while ((waitFor(running, leg, WAIT_MS) & READY.write) === 0);
  const move = up ? () => engine.write(leg, chunk, chunk.length) : () => engine.read(leg, chunk, chunk.length);
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  let bytes = 0;
  let ready = true;
  while (performance.now() - startMs < 1000 * seconds) {
    for (let call = 0; ready && call < CALLS_PER_TURN; call++) {
      const moved = move();
      if (moved > 0) bytes += moved;
      ready = moved === chunk.length || (moved > 0 && running.poller instanceof Epoll);
    }
    const bits = waitFor(running, leg, ready ? 0 : WAIT_MS);
    ready ||= (bits & (up ? READY.write : READY.read)) !== 0;
  }
  if (up) bytes = receivedByPeer(running, leg);
  const { user, system } = process.cpuUsage(cpuBefore);
  return { bytes, seconds: (performance.now() - startMs) / 1000, cpuSeconds: (user + system) / 1e6 };
}

/** Ends the stream, and waits for the server's count of it: what is still in a buffer is not yet carried. */
function receivedByPeer(running: Running, leg: Leg): number {
  running.engine.shutdownWrite(leg);
  const message = new Uint8Array(COUNT_BYTES);
  const rest = new Uint8Array(COUNT_BYTES);
  for (let have = 0; have < COUNT_BYTES; waitFor(running, leg, WAIT_MS)) {
    const moved = running.engine.read(leg, rest, COUNT_BYTES - have);
    if (moved === 0) throw new Error("the server has ended without an answer");
    if (moved < 0) continue;
    message.set(rest.subarray(0, moved), have);
    have += moved;
  }
  return Number(new DataView(message.buffer).getBigUint64(0));
}

const [name = "", protocol = "mptcp", direction = "up", seconds = "1", address = "", ...settings] =
  process.argv.slice(2);
const [congestion = "cubic", bufferBytes = LARGE_BUFFER_BYTES] = settings;
const running = start(name, congestion, Number(bufferBytes));
const peer = { address: ipAddress(address), port: direction === "up" ? PORT.sink : PORT.source };
const { leg } = running.engine.connect({ peer, protocol: protocol === "tcp" ? "tcp" : "mptcp" });
running.engine.watch(leg, 0, true);
process.stdout.write(JSON.stringify(transfer(running, leg, direction === "up", Number(seconds))), () =>
  process.exit(0),
);
