/**
 * What the subflows of one Multipath TCP connection share: keys, numbers, data in both directions, and whether it is
 * still Multipath TCP.
 */
import { readUint32, readUint64, writeUint64 } from "../../base/bytes.ts";
import type { Hashes } from "../../base/hashes.ts";
import { SeededRandom } from "../../base/random.ts";
import { toPosition, toPosition64, toSequence64 } from "../../base/sequence.ts";
import type { Scheduler } from "../../policy/scheduler/scheduler.ts";
import { identityOfKey, KEY_BYTES, type KeyIdentity, type MptcpVersion } from "../../wire/mptcp/keys.ts";
import type { DataNumber } from "../../wire/mptcp/options.ts";
import type { StackPorts } from "../ports.ts";
import { DataReceiver } from "./data-receiver.ts";
import { DataSender } from "./data-sender.ts";
import type { FallbackReason } from "./events.ts";
import type { MptcpSettings } from "./settings.ts";

export interface SessionOptions {
  readonly settings: MptcpSettings;
  readonly ports: StackPorts;
  readonly version: MptcpVersion;
  /** 8 bytes, whose token no other connection of this host has. */
  readonly localKey: Uint8Array;
}

/** A side's key, and what is derived from it. */
class Side {
  readonly token: number;
  readonly initialDataSequence: bigint;
  /** As a number, which takes a tenth of the memory that an array of 8 bytes does. */
  readonly #key: bigint;

  constructor(key: Uint8Array, { token, initialDataSequence }: KeyIdentity) {
    this.#key = readUint64(key, 0);
    this.token = token;
    this.initialDataSequence = initialDataSequence;
  }

  get key(): Uint8Array {
    const key = new Uint8Array(KEY_BYTES);
    writeUint64(key, 0, this.#key);
    return key;
  }
}

const NEVER_HELD = { bytes: 0, sinceMs: 0 };
const LOW_32 = 0xffff_ffffn;

export class Session {
  readonly settings: MptcpSettings;
  readonly ports: StackPorts;
  readonly version: MptcpVersion;
  readonly local: Side;
  readonly sender: DataSender;
  readonly receiver: DataReceiver;
  /** The peer's, once it is known. */
  remote: Side | undefined;
  /** Either side asks for checksums. */
  usesChecksum: boolean;
  /** The peer takes no joins to the address and port of the first subflow (flag C). */
  peerRefusesJoins = false;
  /** Why this is plain TCP, or undefined while it is not. */
  fallback: FallbackReason | undefined;
  /**
   * Every byte so far has the same position in the first subflow and in the connection, in both directions: then either
   * side may go on as plain TCP at any time, and the other may notice later, without a byte being lost or doubled. A
   * second subflow or a reinjection ends that for good; a join that the peer has not taken does not, for a peer that has
   * become plain TCP takes none.
   */
  isPlainable = true;
  /**
   * How much of the stream went with the SYN and was taken from it. It has no data sequence numbers (RFC 8684 appendix B.2): the byte behind it has
   * the first one. Nor does it count in the subflow sequence numbers of mappings.
   */
  ownSynBytes = 0;
  peerSynBytes = 0;
  /**
   * How much of the first subflow the peer has acknowledged by segments with a DATA_ACK. It has more, perhaps, without: then
   * it may be plain TCP by now.
   */
  acknowledgedWithData = 1;
  /** The peer has mapped data: it takes this for Multipath TCP, whatever becomes of its options from now on. */
  peerHasMapped = false;
  /** The peer's largest window when it last held us up, and when it was first so large. */
  heldWindow = NEVER_HELD;
  /** How often a subflow's window was halved because it held up the connection's. */
  penalizations = 0;
  /** Subflows that were reset because they only repeated what the peer had. */
  recycled = 0;
  /** Once there was something to choose. */
  #scheduler: Scheduler | undefined;
  /** The peer's data sequence numbers had 8 bytes: so have our acknowledgements. */
  #peerUsesLong = false;

  constructor({ settings, ports, version, localKey }: SessionOptions) {
    this.settings = settings;
    this.ports = ports;
    this.version = version;
    this.usesChecksum = settings.checksum;
    this.local = this.#sideOf(localKey);
    this.sender = new DataSender(settings.tcp.sendBufferBytes);
    this.receiver = new DataReceiver(settings.tcp.receiveBufferBytes);
  }

  #sideOf(key: Uint8Array): Side {
    return new Side(key, identityOfKey(this.ports.hashes, this.version, key));
  }

  setRemoteKey(key: Uint8Array): void {
    this.remote = this.#sideOf(key);
  }

  get scheduler(): Scheduler {
    const makeRandom = () => new SeededRandom(readUint32(this.ports.randomBytes(4), 0));
    this.#scheduler ??= this.settings.scheduler.create(makeRandom);
    return this.#scheduler;
  }

  /** The full number of a position in our stream. */
  sequenceOf(position: number): bigint {
    return toSequence64(this.local.initialDataSequence, position - this.ownSynBytes);
  }

  /** A position in our stream as it goes into a mapping. */
  dataNumberOf(position: number): DataNumber {
    return shorten(this.sequenceOf(position), this.settings.longDataNumbers ? 8 : 4);
  }

  /** The DATA_ACK, or undefined while the peer's key is not known. */
  get dataAck(): DataNumber | undefined {
    if (this.remote === undefined) return undefined;
    const octets = this.#peerUsesLong || this.settings.longDataNumbers ? 8 : 4;
    return shorten(toSequence64(this.remote.initialDataSequence, this.receiver.next - this.peerSynBytes), octets);
  }

  /** The full number of a position in the peer's stream, whose key is known. */
  peerSequenceOf(position: number): bigint {
    return toSequence64(this.remote?.initialDataSequence ?? 0n, position - this.peerSynBytes);
  }

  /** The position of a data sequence number that the peer says, or undefined while its key is not known. */
  peerPositionOf(number: DataNumber): number | undefined {
    if (this.remote === undefined) return undefined;
    if (number.octets === 8) this.#peerUsesLong = true;
    const expected = this.receiver.next - this.peerSynBytes;
    return positionOf(this.remote.initialDataSequence, number, expected) + this.peerSynBytes;
  }

  /** The position in our stream that a DATA_ACK of the peer says. */
  ownPositionOf(number: DataNumber): number {
    const expected = this.sender.acknowledged - this.ownSynBytes;
    return positionOf(this.local.initialDataSequence, number, expected) + this.ownSynBytes;
  }
}

function shorten(value: bigint, octets: 4 | 8): DataNumber {
  return { octets, value: octets === 8 ? value : value & LOW_32 };
}

/** RFC 8684 section 3.3.1: of 4 bytes the number nearest to what is expected is meant. */
function positionOf(initial: bigint, { octets, value }: DataNumber, expected: number): number {
  if (octets === 8) return toPosition64(initial, value);
  return toPosition(Number(initial & LOW_32), Number(value & LOW_32), expected);
}

/**
 * The first of the keys that `make` gives whose token `isTaken` says no to (RFC 8684 section 3.1); undefined when none
 * of a few tries is free.
 */
export function chooseKey(
  hashes: Hashes,
  version: MptcpVersion,
  isTaken: (token: number) => boolean,
  make: (tries: number) => Uint8Array,
): Uint8Array | undefined {
  for (let tries = 0; tries < MOST_KEY_TRIES; tries++) {
    const key = make(tries);
    if (!isTaken(identityOfKey(hashes, version, key).token)) return key;
  }
  return undefined;
}

/**
 * With a million connections one key in 4,295 has a token that is taken. Where each of sixteen threads takes only tokens
 * of its own, this many in a row fail once in 4,000 connections.
 */
const MOST_KEY_TRIES = 128;
