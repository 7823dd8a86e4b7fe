/**
 * Tokens and HMACs of a capture, worked out once more from the keys that tshark reads, with Node's own hashes: RFC 8684
 * sections 3.1, 3.2 and 3.4.1, of version 1.
 */
import { createHash, createHmac } from "node:crypto";
import { ipAddress, networkBytes } from "@hybrid-access/core/base/ip-address";
import { type DissectedPacket, dissect } from "./tshark.ts";

/** What was looked at, and what was not as it must be. */
export interface Proofs {
  readonly tokens: number;
  readonly hmacs: number;
  readonly wrong: readonly string[];
}

/** One side's keys as a subflow sees them: its opener's, and the other one's. */
interface Keys {
  readonly opener: Buffer;
  readonly taker: Buffer;
}

/** What is known of a TCP stream of the capture. */
interface Stream extends Keys {
  /** Of the opener. */
  readonly port: string;
  readonly openerNonce?: Buffer;
  takerNonce?: Buffer;
}

const OPTION = "tcp.options.mptcp";
const FIELDS = [
  ...["frame.number", "tcp.stream", "tcp.srcport"],
  ...["sendkey", "recvkey", "recvtok", "sendrand", "sendtrunchmac", "sendhmac"].map((name) => `${OPTION}.${name}`),
  ...["addrid", "ipv4", "ipv6", "port", "addaddrtrunchmac"].map((name) => `${OPTION}.${name}`),
];
/** MP_CAPABLE, MP_JOIN and ADD_ADDR. */
const FILTER = `${OPTION}.subtype in {0, 1, 3}`;

export function proofsOf(file: string): Proofs {
  const judge = new Judge();
  for (const packet of dissect(file, FIELDS, FILTER)) judge.take(packet);
  return judge.proofs;
}

class Judge {
  readonly proofs = { tokens: 0, hmacs: 0, wrong: [] as string[] };
  readonly #byToken = new Map<string, Keys>();
  readonly #streams = new Map<string, Stream>();

  take(packet: DissectedPacket): void {
    const said = (name: string) => packet[`${OPTION}.${name}`] ?? "";
    const { "tcp.stream": id = "", "tcp.srcport": port = "", "frame.number": frame = "" } = packet;
    const stream = this.#streams.get(id);
    if (said("sendkey") !== "" && said("recvkey") !== "") {
      if (stream === undefined) this.#onKeys(id, port, { opener: quad(said("sendkey")), taker: quad(said("recvkey")) });
    } else if (said("recvtok") !== "") this.#onJoin(id, port, said("recvtok"), said("sendrand"), frame);
    else if (stream === undefined) return;
    else if (said("sendtrunchmac") !== "") {
      stream.takerNonce = word(said("sendrand"));
      this.#compare(`${frame}: HMAC of a SYN/ACK`, quad(said("sendtrunchmac")), hmacOf(stream, "taker").subarray(0, 8));
    } else if (said("sendhmac") !== "") {
      const whole = Buffer.from(said("sendhmac"), "hex");
      this.#compare(`${frame}: HMAC of a third ACK`, whole, hmacOf(stream, "opener").subarray(0, 20));
    } else if (said("addaddrtrunchmac") !== "") {
      const isOpeners = port === stream.port;
      const expected = addressHmac(stream, isOpeners, said);
      this.#compare(`${frame}: HMAC of an ADD_ADDR`, quad(said("addaddrtrunchmac")), expected);
    }
  }

  #onKeys(id: string, port: string, { opener, taker }: Keys): void {
    this.#streams.set(id, { opener, taker, port });
    this.#byToken.set(tokenOf(taker), { opener, taker });
    this.#byToken.set(tokenOf(opener), { opener: taker, taker: opener });
  }

  /** A join's token is that of whom it asks. */
  #onJoin(id: string, port: string, token: string, nonce: string, frame: string): void {
    const keys = this.#byToken.get(token);
    this.proofs.tokens += 1;
    if (keys === undefined) this.proofs.wrong.push(`${frame}: a token of no connection`);
    else this.#streams.set(id, { ...keys, port, openerNonce: word(nonce) });
  }

  #compare(what: string, said: Buffer, expected: Buffer): void {
    this.proofs.hmacs += 1;
    if (!said.equals(expected)) this.proofs.wrong.push(what);
  }
}

function quad(decimal: string): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(decimal));
  return bytes;
}

function word(decimal: string): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(Number(decimal));
  return bytes;
}

/** As tshark shows it. */
function tokenOf(key: Buffer): string {
  return String(createHash("sha256").update(key).digest().readUInt32BE(0));
}

function hmac(key: readonly Buffer[], message: readonly Buffer[]): Buffer {
  return createHmac("sha256", Buffer.concat(key)).update(Buffer.concat(message)).digest();
}

/** RFC 8684 section 3.2: the key and the message begin with what is the speaker's own. */
function hmacOf({ opener, taker, openerNonce, takerNonce }: Stream, speaker: "opener" | "taker"): Buffer {
  const [keys, nonces] = [
    [opener, taker],
    [openerNonce ?? Buffer.alloc(4), takerNonce ?? Buffer.alloc(4)],
  ];
  return speaker === "opener" ? hmac(keys, nonces) : hmac(keys.reverse(), nonces.reverse());
}

/** RFC 8684 section 3.4.1: the rightmost 8 bytes, over identifier, address and port (0 where none is said). */
function addressHmac({ opener, taker }: Keys, isOpeners: boolean, said: (name: string) => string): Buffer {
  const text = said("ipv4") === "" ? said("ipv6") : said("ipv4");
  const port = Buffer.alloc(2);
  port.writeUInt16BE(Number(said("port")));
  const message = [Buffer.of(Number(said("addrid"))), Buffer.from(networkBytes(ipAddress(text))), port];
  return hmac(isOpeners ? [opener, taker] : [taker, opener], message).subarray(-8);
}
