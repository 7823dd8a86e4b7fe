/** Connections through the lab's farm, and what becomes of them while the farm changes. */
import { once } from "node:events";
import type { Socket } from "node:net";
import { FARM_SERVER, type FarmLab } from "./farm.ts";
import { connectFrom, hashOf, pattern, receive, StreamServer } from "./stream.ts";
import { until } from "./until.ts";

const PORT = 7000;
const HALF = pattern(400_000, 7);
const WHOLE_HASH = hashOf(Buffer.concat([HALF, HALF]));
const PATIENCE_MS = 20_000;

/** One connection from a home to the server. */
export interface FarmConnection {
  readonly client: Socket;
  readonly peer: Socket;
}

export class FarmTraffic {
  readonly #farm: FarmLab;
  readonly #server: StreamServer;
  readonly #open = new Set<FarmConnection>();

  constructor(farm: FarmLab) {
    this.#farm = farm;
    this.#server = new StreamServer(farm.lab, "srv", PORT);
  }

  /** Opens a connection; resolves when the server has it. */
  async connect(home: number): Promise<FarmConnection> {
    const client = connectFrom(this.#farm.lab, `lan${home}`, FARM_SERVER.ipv4, PORT);
    client.write("x");
    const connection = { client, peer: await this.#server.accept() };
    this.#open.add(connection);
    return connection;
  }

  /** Joins of a home's connections that their owner has accepted since the lab is up. */
  async joins(home: number): Promise<number> {
    return (await this.#farm.multipathCounters(`hcpe${home}`)).MPJoinSynAckRx ?? 0;
  }

  /** Opens connections through the farm and waits until each has its second subflow. */
  async connectWithJoins(home: number, count: number): Promise<FarmConnection[]> {
    // After a converter was killed, the HCPE goes direct until a probe has found another one.
    const what = `home ${home} uses the farm`;
    await until(() => this.#farm.isUsedBy(home), { what, limitMs: PATIENCE_MS });
    const before = await this.joins(home);
    const made: FarmConnection[] = [];
    for (let index = 0; index < count; index++) made.push(await this.connect(home));
    await until(async () => (await this.joins(home)) - before >= count, {
      what: `${count} joins of home ${home}`,
      limitMs: PATIENCE_MS,
    });
    return made;
  }

  /**
   * The server sends one half, `event` happens, it sends the other and ends. Gives how many clients did not get exactly
   * that.
   */
  async lostAcross(connections: readonly FarmConnection[], event: () => Promise<unknown>): Promise<number> {
    const arrivals = connections.map(({ client }) => receive(client));
    for (const { peer } of connections) peer.resume().write(HALF);
    for (const { client } of connections) {
      await until(() => client.bytesRead >= HALF.length || client.closed, {
        what: "the first half",
        limitMs: PATIENCE_MS,
      });
    }
    await event();
    for (const { peer } of connections) peer.end(HALF);
    const received = await Promise.all(arrivals);
    return received.filter(({ end, hash }) => end !== "end" || hash !== WHOLE_HASH).length;
  }

  /** Ends every connection that is left, by reset. */
  async closeAll(): Promise<void> {
    const sockets = Array.from(this.#open).flatMap(({ client, peer }) => [client, peer]);
    this.#open.clear();
    for (const socket of sockets) socket.destroy();
    await Promise.all(sockets.map((socket) => socket.closed || once(socket, "close")));
  }

  async close(): Promise<void> {
    await this.closeAll();
    await this.#server.close();
  }
}

/** The sum of a Multipath TCP counter over nodes. */
export async function sumOf(farm: FarmLab, nodes: readonly string[], counter: string): Promise<number> {
  const all = await Promise.all(nodes.map((node) => farm.multipathCounters(node)));
  return all.reduce((total, counters) => total + (counters[counter] ?? 0), 0);
}
