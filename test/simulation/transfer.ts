/** One transfer over paths that are given, in virtual time: how long it takes, and how long its blocks do. */
import { SeededRandom } from "@hybrid-access/core/base/random";
import { PLATFORM_HASHES } from "@hybrid-access/core/platform/hashes";
import { StackHost } from "@hybrid-access/core/stack/host";
import type { MptcpConnection } from "@hybrid-access/core/stack/mptcp/connection";
import { DEFAULT_MPTCP_SETTINGS, type MptcpSettings } from "@hybrid-access/core/stack/mptcp/settings";
import type { LinkOptions } from "@hybrid-access/core/testing/link";
import { FAR_ADDRESSES, nearAddresses } from "@hybrid-access/core/testing/simulator/random-paths";
import { type PathPlan, Simulator } from "@hybrid-access/core/testing/simulator/simulator";

export interface TransferPlan {
  readonly seed: number;
  /** From the near host to the far one, which the bytes take; the way back has the same, without loss. */
  readonly paths: readonly LinkOptions[];
  readonly settings?: Partial<MptcpSettings>;
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
  readonly bytes: number;
  /** Written at this rate, in blocks of {@link BLOCK_BYTES}; as fast as it goes without it. */
  readonly writtenBitsPerSecond?: number;
  readonly limitMs: number;
  /** What happens meanwhile: to the paths, or to subflows. */
  readonly incident?: (transfer: Transfer) => void;
}

export interface TransferResult {
  /** From the connection's first segment to the last byte at the far host. */
  readonly goodputBitsPerSecond: number;
  /** From being written to being read, of each whole block. */
  readonly blockDelaysMs: readonly number[];
  /** The longest time in which nothing was read, between the first bytes and the last ones. */
  readonly longestStallMs: number;
  readonly reinjectedBytes: number;
  readonly penalizations: number;
  readonly recycled: number;
  /** Of the near host's subflows, those that are over left out. */
  readonly repeatedBytes: number;
}

/** An application-limited stream is written so (Paasch et al., CSWS 2014). */
export const BLOCK_BYTES = 8192;
const MTU_BYTES = 1500;
const PORT = 443;

export class Transfer {
  readonly simulator: Simulator;
  readonly near: StackHost;
  readonly connection: MptcpConnection;
  readonly #plan: TransferPlan;
  readonly #far: StackHost;
  readonly #into = new Uint8Array(65_536);
  readonly #blockWrittenMs: number[] = [];
  readonly #blockDelaysMs: number[] = [];
  #accepted: MptcpConnection | undefined;
  #joined = 1;
  /** Paths whose subflow is gone. */
  readonly #lost = new Set<number>();
  #dueBytes: number;
  #writtenBytes = 0;
  #readBytes = 0;
  #doneMs: number | undefined;
  #lastReadMs: number | undefined;
  #longestStallMs = 0;

  constructor(plan: TransferPlan) {
    this.#plan = plan;
    const { seed, paths, bytes, writtenBitsPerSecond } = plan;
    this.near = this.#host(seed);
    this.#far = this.#host(seed + 1);
    const listener = this.#far.listen(PORT, { multipath: true });
    const plans = paths.map((link, index): [string, PathPlan] => [pathName(index), pathPlan(link, index)]);
    const hosts = {
      near: { endpoint: this.near, application: (nowMs: number) => this.#useNear(nowMs) },
      far: {
        endpoint: this.#far,
        application: () => {
          this.#accepted ??= listener.accept();
          this.#readAll();
        },
      },
    };
    this.simulator = new Simulator({ hosts, paths: Object.fromEntries(plans), seed });
    const remote = { address: FAR_ADDRESSES.ipv4, port: PORT };
    const connection = this.near.connect(nearAddresses(1).ipv4, remote, 0, { multipath: true });
    if (connection === undefined) throw new Error("no connection");
    this.connection = connection;
    this.#dueBytes = writtenBitsPerSecond === undefined ? bytes : 0;
    if (writtenBitsPerSecond !== undefined) this.#planBlocks((8000 * BLOCK_BYTES) / writtenBitsPerSecond);
    plan.incident?.(this);
  }

  #host(seed: number): StackHost {
    const { settings, sendBufferBytes, receiveBufferBytes } = this.#plan;
    const random = new SeededRandom(seed);
    const randomBytes = (length: number) => Uint8Array.from({ length }, () => Math.floor(256 * random.next()));
    const tcp = { ...DEFAULT_MPTCP_SETTINGS.tcp, ...settings?.tcp, sendBufferBytes, receiveBufferBytes };
    return new StackHost({
      settings: { ...DEFAULT_MPTCP_SETTINGS, ...settings, tcp },
      ports: { hashes: PLATFORM_HASHES, randomBytes },
      mtuBytes: MTU_BYTES,
      mostConnections: 10,
    });
  }

  #planBlocks(everyMs: number): void {
    const blocks = Math.floor(this.#plan.bytes / BLOCK_BYTES);
    for (let block = 0; block < blocks; block++) {
      this.simulator.at((block + 1) * everyMs, () => {
        this.#dueBytes += BLOCK_BYTES;
        this.#blockWrittenMs.push(this.simulator.nowMs);
      });
    }
  }

  /** A subflow over a path by its index; false where it may not be had yet. */
  join(index: number): boolean {
    const from = nearAddresses(index + 1).ipv4;
    const path = {
      remote: { address: FAR_ADDRESSES.ipv4, port: PORT },
      localAddressId: index,
      remoteAddressId: 0,
      backup: false,
    };
    return typeof this.near.join(this.connection, path, from, this.simulator.nowMs) === "object";
  }

  #useNear(nowMs: number): void {
    const { connection } = this;
    for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent()) {
      if (event.type === "subflowClosed") this.#lost.add(event.localAddressId);
    }
    // As the path manager does while the uplink is up: at once.
    for (const index of this.#lost) if (this.join(index)) this.#lost.delete(index);
    while (this.#joined < this.#plan.paths.length && this.join(this.#joined)) this.#joined += 1;
    while (this.#writtenBytes < this.#dueBytes) {
      const wanted = Math.min(this.#into.length, this.#dueBytes - this.#writtenBytes);
      const length = connection.write(this.#into.subarray(0, wanted), nowMs);
      this.#writtenBytes += length;
      if (length < wanted) return;
    }
  }

  #readAll(): void {
    const connection = this.#accepted;
    if (connection === undefined) return;
    while (connection.pollEvent() !== undefined);
    for (let length = connection.read(this.#into); length > 0; length = connection.read(this.#into)) {
      this.#readBytes += length;
      this.#longestStallMs = Math.max(
        this.#longestStallMs,
        this.simulator.nowMs - (this.#lastReadMs ?? this.simulator.nowMs),
      );
      this.#lastReadMs = this.simulator.nowMs;
    }
    while (this.#blockDelaysMs.length < Math.floor(this.#readBytes / BLOCK_BYTES)) {
      const writtenMs = this.#blockWrittenMs[this.#blockDelaysMs.length] ?? 0;
      this.#blockDelaysMs.push(this.simulator.nowMs - writtenMs);
    }
    if (this.#readBytes >= this.#plan.bytes) this.#doneMs ??= this.simulator.nowMs;
  }

  /** What a path has brought to the far host by now. */
  deliveredBytes(index: number): number {
    return this.simulator.path(pathName(index)).links.forward.counters.deliveredBytes;
  }

  /** From now on a path is as `change` says, both ways. */
  changePath(index: number, change: LinkOptions): void {
    const { forward, backward } = this.simulator.path(pathName(index)).links;
    for (const link of [forward, backward]) link.configure({ ...this.#plan.paths[index], ...change });
  }

  run(): TransferResult {
    const { limitMs } = this.#plan;
    this.simulator.run({ untilMs: limitMs, isDone: () => this.#doneMs !== undefined });
    const { session } = this.connection.parts;
    const repeated = this.connection.subflows.map(({ tcp }) => tcp.sender.recovery.repeatedBytes);
    return {
      goodputBitsPerSecond: (8000 * this.#readBytes) / (this.#doneMs ?? limitMs),
      blockDelaysMs: this.#blockDelaysMs,
      longestStallMs: this.#longestStallMs,
      reinjectedBytes: session.sender.reinjectedBytes,
      penalizations: session.penalizations,
      recycled: session.recycled,
      repeatedBytes: repeated.reduce((sum, bytes) => sum + bytes, 0),
    };
  }
}

/** The path with this index, as the simulator calls it. */
function pathName(index: number): string {
  return `path${index + 1}`;
}

function pathPlan(link: LinkOptions, index: number): PathPlan {
  const { loss: _, burstLoss: __, ...back } = link;
  return {
    near: { host: "near", addresses: [nearAddresses(index + 1).ipv4] },
    far: { host: "far", addresses: [FAR_ADDRESSES.ipv4] },
    forward: link,
    backward: back,
  };
}
