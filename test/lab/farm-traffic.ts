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
  joins(home: number): number {
    return this.#farm.multipathCounters(`hcpe${home}`).MPJoinSynAckRx ?? 0;
  }

  /** Opens connections through the farm and waits until each has its second subflow. */
  async connectWithJoins(home: number, count: number): Promise<FarmConnection[]> {
    // After a converter was killed, the HCPE goes direct until a probe has found another one.
    const what = `home ${home} uses the farm`;
    await until(() => this.#farm.isUsedBy(home), { what, limitMs: PATIENCE_MS });
    const before = { joins: this.joins(home), said: await this.#farm.steeringCounters(home) };
    const made: FarmConnection[] = [];
    for (let index = 0; index < count; index++) made.push(await this.connect(home));
    try {
      await until(() => this.joins(home) - before.joins >= count, {
        what: `${count} joins of home ${home}`,
        limitMs: PATIENCE_MS,
      });
    } catch (error) {
      const joins = this.joins(home) - before.joins;
      const said = changes(before.said, await this.#farm.steeringCounters(home));
      throw new Error(`${joins} joins of ${count}; meanwhile ${JSON.stringify(said)}`, { cause: error });
    }
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
export function sumOf(farm: FarmLab, nodes: readonly string[], counter: string): number {
  return nodes.reduce((total, node) => total + (farm.multipathCounters(node)[counter] ?? 0), 0);
}

type Counts = Readonly<Record<string, number>>;

function changes(before: Counts, after: Counts): Counts {
  const changed = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)] as const);
  return Object.fromEntries(changed.filter(([, count]) => count !== 0));
}
