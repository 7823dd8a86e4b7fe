/** Counts the TCP of one router of the lab: what an access network carries for the home, other traffic left out. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Lab } from "./lab.ts";

export interface TcpCount {
  /** Segments of any kind. */
  readonly packets: number;
  /** First segments of flows; on LTE, of subflows that join a connection. */
  readonly syns: number;
  /** Bytes of segments that carry payload, with their headers. */
  readonly payloadBytes: number;
}

/** Longer than any segment without payload: 40 bytes of IPv6, 20 of TCP and 40 of options. */
const LONGEST_BARE_SEGMENT = 100;

const QUIET_MS = 300;

const RULES = `table inet tcp_meter {
  counter all_tcp { }
  counter with_payload { }
  counter syn { }
  chain forward {
    type filter hook forward priority 0; policy accept;
    meta l4proto tcp counter name all_tcp
    tcp flags & (syn | ack) == syn counter name syn
    meta l4proto tcp meta length > ${LONGEST_BARE_SEGMENT} counter name with_payload
  }
}
`;

/** The answer of `nft --json list counters`, as far as it is read. */
interface Listing {
  readonly nftables: readonly { readonly counter?: { name: string; packets: number; bytes: number } }[];
}

export class TcpMeter {
  readonly #lab: Lab;
  readonly #node: string;

  private constructor(lab: Lab, node: string) {
    this.#lab = lab;
    this.#node = node;
  }

  /** Counts what the router forwards from now on. */
  static async on(lab: Lab, node: string): Promise<TcpMeter> {
    await lab.run(node, ["nft", "-f", "-"], { input: RULES });
    return new TcpMeter(lab, node);
  }

  /** So far. */
  async read(): Promise<TcpCount> {
    const listing = JSON.parse(
      await this.#lab.run(this.#node, ["nft", "--json", "list", "counters", "table", "inet", "tcp_meter"]),
    ) as Listing;
    const counter = (name: string) => listing.nftables.find((entry) => entry.counter?.name === name)?.counter;
    return {
      packets: counter("all_tcp")?.packets ?? Number.NaN,
      syns: counter("syn")?.packets ?? Number.NaN,
      payloadBytes: counter("with_payload")?.bytes ?? Number.NaN,
    };
  }

  /** Waits until what ended earlier has been said: nothing is counted for a while. */
  async quiet(): Promise<void> {
    for (let before = -1, now = await this.read(); now.packets !== before; now = await this.read()) {
      before = now.packets;
      await sleep(QUIET_MS);
    }
  }

  /** What came while `action` ran. */
  async during(action: () => Promise<unknown>): Promise<TcpCount> {
    const before = await this.read();
    await action();
    const after = await this.read();
    return {
      packets: after.packets - before.packets,
      syns: after.syns - before.syns,
      payloadBytes: after.payloadBytes - before.payloadBytes,
    };
  }
}
