/**
 * Answers SYNs of which nothing is kept, and knows the third segment again (RFC 4987 section 3.6). Multipath TCP works
 * through it: our key is made again from the cookie, and the third segment brings both keys (RFC 8041 section 3.11).
 */
import { equalSecrets } from "../base/bytes.ts";
import type { Hashes } from "../base/hashes.ts";
import { type Endpoint, familyOf } from "../base/ip-address.ts";
import type { MptcpVersion } from "../wire/mptcp/keys.ts";
import { CAPABLE_FLAG, type CapableOption, type MptcpOption } from "../wire/mptcp/options.ts";
import { TCP_FLAG, type TcpSegment } from "../wire/tcp/segment.ts";
import type { TokenShare } from "./host-options.ts";
import { versionOf } from "./mptcp/capable-handshake.ts";
import type { CookieAccept } from "./mptcp/connection.ts";
import { findMptcp } from "./mptcp/handshake.ts";
import { chooseKey } from "./mptcp/session.ts";
import type { MptcpSettings } from "./mptcp/settings.ts";
import type { StackPorts } from "./ports.ts";
import { findOption, readSynOptions, windowShiftFor, writeSynOptions } from "./tcp/handshake.ts";
import type { InitialNumbers } from "./tcp/initial-numbers.ts";
import { hideInTimestamp, readFromTimestamp, SynCookies } from "./tcp/syn-cookie.ts";
import { Timestamps } from "./tcp/timestamps.ts";

const LARGEST_UNSCALED_WINDOW = 0xffff;
const NO_BYTES = new Uint8Array(0);

/** A handshake that has ended, and our key where it is Multipath TCP. */
export interface AcceptedCookie {
  readonly key: Uint8Array | undefined;
  readonly accept: CookieAccept;
}

export class CookieDesk {
  readonly #cookies: SynCookies;
  readonly #hashes: Hashes;
  readonly #numbers: InitialNumbers;
  readonly #share: TokenShare | undefined;

  constructor(ports: StackPorts, numbers: InitialNumbers, share?: TokenShare) {
    this.#cookies = new SynCookies(ports);
    this.#hashes = ports.hashes;
    this.#numbers = numbers;
    this.#share = share;
  }

  /**
   * The SYN-ACK for a SYN. Without timestamps it offers neither SACK nor window scaling: there is no room to remember
   * them.
   */
  answer(
    syn: TcpSegment,
    capable: CapableOption | undefined,
    local: Endpoint,
    remote: Endpoint,
    settings: MptcpSettings,
    nowMs: number,
  ): TcpSegment {
    const peer = readSynOptions(syn, familyOf(local.address));
    const { tcp } = settings;
    const sequence = this.#cookies.make(local, remote, syn.sequence, peer.maximumSegmentBytes, nowMs);
    const stamps = tcp.timestamps ? peer.timestamps : undefined;
    const clock = new Timestamps(this.#numbers.timestampOffset(local, remote));
    const options = writeSynOptions({
      maximumSegmentBytes: tcp.maximumSegmentBytes,
      windowShift: stamps && peer.windowShift !== undefined ? windowShiftFor(tcp.receiveBufferBytes) : undefined,
      selective: stamps !== undefined && peer.selective && tcp.selectiveAcknowledgements,
      timestamps: stamps && { value: hideInTimestamp(clock.value(nowMs), peer), echoReply: stamps.value },
      fastOpenCookie: undefined,
    });
    const key = capable && this.#keyFor(local, remote, sequence, versionOf(capable));
    const answer = capable && key && capableWith(key, versionOf(capable), settings);
    return {
      sourcePort: local.port,
      destinationPort: remote.port,
      sequence,
      acknowledgment: (syn.sequence + 1) >>> 0,
      flags: TCP_FLAG.syn | TCP_FLAG.ack,
      window: Math.min(LARGEST_UNSCALED_WINDOW, tcp.receiveBufferBytes),
      urgentPointer: 0,
      options: answer === undefined ? options : [...options, answer],
      payload: NO_BYTES,
    };
  }

  /** The key that belongs to a cookie, whose token is this transport's. */
  #keyFor(local: Endpoint, remote: Endpoint, sequence: number, version: MptcpVersion): Uint8Array | undefined {
    const isTaken = (token: number) => this.#share?.owns(token) === false;
    const make = (tries: number) => this.#cookies.keyFor(local, remote, sequence, tries);
    return chooseKey(this.#hashes, version, isTaken, make);
  }

  /** The handshake that this segment ends, or undefined where we have not begun it. */
  check(segment: TcpSegment, local: Endpoint, remote: Endpoint, nowMs: number): AcceptedCookie | undefined {
    if ((segment.flags & (TCP_FLAG.syn | TCP_FLAG.ack | TCP_FLAG.rst)) !== TCP_FLAG.ack) return undefined;
    const initialSequence = (segment.acknowledgment - 1) >>> 0;
    const peerSequence = (segment.sequence - 1) >>> 0;
    const segmentBytes = this.#cookies.check(local, remote, peerSequence, initialSequence, nowMs);
    if (segmentBytes === undefined) return undefined;
    const timestamps = findOption(segment.options, "timestamps");
    const said =
      timestamps === undefined ? { selective: false, windowShift: undefined } : readFromTimestamp(timestamps.echoReply);
    const offered = findMptcp(segment.options as readonly MptcpOption[], "capable");
    const key = offered && this.#keyFor(local, remote, initialSequence, versionOf(offered));
    const capable = offered && key && hasBothKeys(offered, key) ? offered : undefined;
    const peerSyn = { ...said, maximumSegmentBytes: segmentBytes, timestamps, fastOpenCookie: undefined };
    return { key, accept: { ack: segment, peerSyn, initialSequence, capable } };
  }
}

function capableWith(senderKey: Uint8Array, version: MptcpVersion, settings: MptcpSettings): MptcpOption {
  const checksum = settings.checksum ? CAPABLE_FLAG.checksumRequired : 0;
  const noJoin = settings.refuseJoins && version === 1 ? CAPABLE_FLAG.noJoin : 0;
  const flags = CAPABLE_FLAG.hmac | checksum | noJoin;
  return { type: "capable", version, flags, senderKey };
}

/** Whether it brings both keys, ours being `key`. */
function hasBothKeys({ senderKey, receiverKey }: CapableOption, key: Uint8Array): boolean {
  return senderKey !== undefined && receiverKey !== undefined && equalSecrets(receiverKey, key);
}
