/** Damaged Convert messages at a real gateway, many at once: each gets the answer that RFC 8803 wants, and no other is disturbed. */
import { toHex } from "@hybrid-access/core/base/bytes";
import { ipAddress } from "@hybrid-access/core/base/ip-address";
import { SeededRandom } from "@hybrid-access/core/base/random";
import { emitConvertMessage } from "@hybrid-access/core/wire/convert/message";
import type { Tlv } from "@hybrid-access/core/wire/convert/tlv";
import { expect } from "chai";
import {
  ask,
  ConvertClient,
  type ConvertOutcome,
  connectTo,
  errorCode,
  TRANSPORTS,
  type Transport,
} from "../lab/convert-client.ts";
import { GATEWAY, gatewayConfig, gatewayUp } from "../lab/gateway.ts";
import type { Pair } from "../lab/pair.ts";
import { PeerServer } from "../lab/visit.ts";
import { type ConvertVerdict, judgeConvert } from "../support/convert-judge.ts";
import { mutatedMessage } from "../support/convert-mutations.ts";
import { eventually } from "../support/eventually.ts";

const PORT = 7000;
const MUTATIONS = 1000;
const AT_ONCE = 40;
const SEED = 8803;
const SERVERS = [GATEWAY.server, GATEWAY.server6].map((text) => ipAddress(text));
const NOBODYS = ["127.0.0.1", "ff02::1"].map((text) => ipAddress(text));
const transports = Object.keys(TRANSPORTS) as Transport[];

const REQUESTS: readonly Tlv[] = [
  ...[...SERVERS, ...NOBODYS].map((address): Tlv => ({ type: "connect", peer: { address, port: PORT }, options: [] })),
  {
    type: "connect",
    peer: { address: ipAddress(GATEWAY.server), port: PORT },
    options: [{ kind: 4, data: new Uint8Array() }],
  },
  { type: "info" },
  { type: "cookie", cookie: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
  { type: "subflowLimit", subflows: 3 },
  { type: "gatewayLoad", percent: 42 },
  { type: "extendedTcpHeader", options: [{ kind: 3, data: Uint8Array.of(7) }] },
  { type: "supportedTcpExtensions", kinds: [3, 4, 8, 30] },
  { type: "error", code: 97, value: Uint8Array.of(1) },
];

/** Types of RFC 8803 table 1. */
const INFO = 1;
const CONNECT = 10;

/** How a gateway answers: how the stream ends where there is no message, the first TLV, or the codes an error may have. */
type Expected = "ECONNRESET" | "extendedTcpHeader" | "supportedTcpExtensions" | readonly number[];

/** The answers that are right, where the gateway reaches {@link SERVERS} and nothing else. */
function expectedOf(verdict: ConvertVerdict): Expected {
  if (verdict.outcome === "error") return [verdict.code];
  // One is cut off at once, the other when its time for the header is over.
  if (verdict.outcome !== "valid") return "ECONNRESET";
  const connect = verdict.tlvs.get(CONNECT);
  if (connect !== undefined) return expectedOfConnect(connect);
  // Answers of a converter are no requests: Unsupported Message.
  return verdict.tlvs.has(INFO) ? "supportedTcpExtensions" : [2];
}

/** `value`: port, address, options. */
function expectedOfConnect(value: readonly number[]): Expected {
  const [high = 0, low = 0, ...rest] = value;
  const port = 256 * high + low;
  const address = rest.slice(0, 16);
  const options = rest.slice(16);
  if (port === 0 || isNobodys(address)) return [1];
  const isAllowed = SERVERS.some((server) => toHex(server) === toHex(Uint8Array.from(address)));
  // Not Authorized; a public address is allowed but not reachable here: Destination Unreachable, if its options are known.
  if (!isAllowed) return [32, 33, 97];
  // Options that have a value, or that the gateway does not know: Unsupported TCP Option. SACK Permitted is one it knows.
  const asks = toHex(Uint8Array.from(options));
  if (asks !== "" && asks !== "04020000") return [33];
  // A closed port of an allowed server: Connection Reset.
  return port === PORT ? "extendedTcpHeader" : [96];
}

/** RFC 8803 section 6.2.8: multicast, broadcast and loopback are malformed. */
function isNobodys(address: readonly number[]): boolean {
  const isIpv4 = address.slice(0, 10).every((byte) => byte === 0) && address[10] === 255 && address[11] === 255;
  if (!isIpv4) return address[0] === 255 || (address.slice(0, 15).every((byte) => byte === 0) && address[15] === 1);
  const [first = 0, ...others] = address.slice(12);
  return first === 127 || (first >= 224 && first < 240) || [first, ...others].every((byte) => byte === 255);
}

/** What the gateway did, in the words of {@link Expected}. */
function answerOf(outcome: ConvertOutcome): string | number {
  const first = errorCode(outcome) ?? outcome.message?.[0]?.type;
  if (first !== undefined) return first;
  return outcome.payload.length === 0 ? (outcome.end ?? "nothing") : "other bytes";
}

describe("damaged Convert messages at a running gateway", function () {
  this.timeout(180_000);
  let pair: Pair;
  let server: PeerServer;

  before(async () => {
    const destinations = `${GATEWAY.server}/32, "${GATEWAY.server6}/128"`;
    pair = await gatewayUp(
      gatewayConfig("timeouts: { header: 500ms }", 2).replace('10.3.0.0/16, "fd33::/64"', destinations),
    );
    server = new PeerServer(pair.lab, "srv", PORT);
  });
  after(async () => {
    await server?.close();
    await pair?.down();
  });

  async function outcomeOf(bytes: Uint8Array, transport: Transport): Promise<ConvertOutcome> {
    const client = new ConvertClient(pair.lab, bytes, { transport });
    try {
      const outcome = await client.answer();
      return errorCode(outcome) === undefined ? outcome : await client.ended();
    } finally {
      client.close();
    }
  }

  it(`answers ${MUTATIONS} of them, ${AT_ONCE} at once over plain and Multipath TCP, as RFC 8803 wants, and serves on`, async () => {
    const random = new SeededRandom(SEED);
    const tlvs = REQUESTS.map((tlv) => emitConvertMessage([tlv]).subarray(4));
    const messages = Array.from({ length: MUTATIONS }, () => mutatedMessage(tlvs, random));
    const wrong: string[] = [];
    const met = new Map<string, number>();
    const remaining = messages.entries();
    const work = async () => {
      for (const [index, bytes] of remaining) {
        const verdict = judgeConvert(bytes);
        const expected = expectedOf(verdict);
        const outcome = await outcomeOf(bytes, transports[index % transports.length] ?? "plain TCP");
        const answer = answerOf(outcome);
        const isRight =
          typeof answer === "number" ? Array.isArray(expected) && expected.includes(answer) : answer === expected;
        // An error is followed by a clean end: a reset could take it away.
        if (!isRight || (typeof answer === "number" && outcome.end !== "end"))
          wrong.push(`${toHex(bytes)}: expected ${expected}, got ${answer}, end ${outcome.end}`);
        const kind = `${verdict.outcome} ${expected}`;
        met.set(kind, (met.get(kind) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    expect(wrong).to.deep.equal([]);
    const kinds = ["incomplete ECONNRESET", "foreign ECONNRESET", "error 0", "error 1", "error 2"];
    const requests = [
      "valid extendedTcpHeader",
      "valid supportedTcpExtensions",
      "valid 1",
      "valid 2",
      "valid 32,33,97",
      "valid 96",
    ];
    expect(Array.from(met.keys())).to.include.members([...kinds, ...requests]);

    for (const destination of [GATEWAY.server, GATEWAY.server6]) {
      expect(answerOf(await ask(pair.lab, connectTo(destination, PORT)))).to.equal("extendedTcpHeader");
    }
    await eventually(10_000, async () => {
      const { counters, ...status } = await pair.status("hag");
      expect(status).to.include({ ready: true, workersDied: 0, workersListening: 2 });
      expect(counters).to.include({ connectionsActive: 0, convertForeign: met.get("foreign ECONNRESET") });
    });
  });
});
