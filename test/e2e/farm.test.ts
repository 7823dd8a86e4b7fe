import { once } from "node:events";
import type { Socket } from "node:net";
import { expect } from "chai";
import { FARM_SERVER, FarmLab } from "../lab/farm.ts";
import { connectFrom, StreamServer } from "../lab/stream.ts";
import { until } from "../lab/until.ts";

const PORT = 7000;
const CONVERTERS = ["conv1", "conv2", "conv3"];
const DIRECTORS = ["dir1", "dir2"];

describe("a farm steers every subflow to its owner", function () {
  this.timeout(60_000);
  let farm: FarmLab;
  let server: StreamServer;

  before(async () => {
    const gateways = [
      ...DIRECTORS.map((name) => ({ name, role: "director" }) as const),
      ...CONVERTERS.map((name) => ({ name, role: "converter" }) as const),
    ];
    farm = await FarmLab.up({ homes: 1, gateways }, [...DIRECTORS, ...CONVERTERS]);
    server = new StreamServer(farm.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await farm?.down();
  });

  async function open(): Promise<[Socket, Socket]> {
    const client = connectFrom(farm.lab, "lan1", FARM_SERVER.ipv4, PORT);
    client.write("x");
    const peer = await server.accept();
    peer.resume();
    return [client, peer];
  }

  it("100 of 100 joins, over two directors and three converters", async () => {
    const before = await farm.multipathCounters("hcpe1");
    const sockets: Socket[] = [];
    for (let count = 0; count < 100; count++) sockets.push(...(await open()));
    const joined = async () => {
      const { MPJoinSynAckRx = 0 } = await farm.multipathCounters("hcpe1");
      return MPJoinSynAckRx - (before.MPJoinSynAckRx ?? 0);
    };
    await until(async () => (await joined()) >= 100, { what: "100 joins", limitMs: 10_000 }).catch(async (error) => {
      for (const name of DIRECTORS) console.error(name, JSON.stringify(await farm.farmStatus(name)));
      for (const name of CONVERTERS)
        console.error(name, JSON.stringify(await farm.farmStatus(name)), await farm.multipathCounters(name));
      console.error(await farm.multipathCounters("hcpe1"));
      throw error;
    });
    expect(await joined()).to.equal(100);
    for (const socket of sockets) socket.destroy();
    await Promise.all(sockets.map((socket) => socket.closed || once(socket, "close")));
  });
});
