/**
 * MP_JOIN: the handshake of a further subflow (RFC 8684 section 3.2). Both sides show by an HMAC that they have the
 * keys; the one who asks sends data only after a fourth segment, by which the other shows that it has seen the third.
 */
import { equalSecrets, readUint32 } from "../../base/bytes.ts";
import { joinAckHmac, joinSynAckHmac } from "../../wire/mptcp/keys.ts";
import { type JoinSynOption, type MptcpOption, RESET_REASON } from "../../wire/mptcp/options.ts";
import type { TcpSegment } from "../../wire/tcp/segment.ts";
import type { OutgoingSegment } from "../tcp/extension.ts";
import { findMptcp, type Handshake, type HandshakeVerdict } from "./handshake.ts";
import type { Mapping } from "./mappings.ts";
import type { Session } from "./session.ts";

/** What our SYN, or SYN-ACK, says of our side. */
export interface JoinOffer {
  readonly addressId: number;
  readonly backup: boolean;
}

/** What the peer's says of its side. */
export interface JoinPeer extends JoinOffer {
  readonly nonce: number;
}

export class JoinHandshake implements Handshake {
  readonly #session: Session;
  readonly #offer: JoinOffer;
  readonly #nonce: number;
  readonly #isInitiator: boolean;
  #peer: JoinPeer | undefined;
  #isConfirmed = false;
  #resetReason: number = RESET_REASON.multipathError;

  /** `syn` is what the SYN says to the one who is asked; the one who asks has none. */
  constructor(session: Session, offer: JoinOffer, syn?: JoinSynOption) {
    this.#session = session;
    this.#offer = offer;
    this.#nonce = readUint32(session.ports.randomBytes(4), 0);
    this.#isInitiator = syn === undefined;
    this.#peer = syn;
    if (syn !== undefined) session.isPlainable = false;
  }

  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  get resetReason(): number {
    return this.#resetReason;
  }

  /** What the peer has said of its side, once it has. */
  get peer(): JoinPeer | undefined {
    return this.#peer;
  }

  synOption(): MptcpOption {
    const nonce = this.#nonce;
    if (this.#isInitiator) return { type: "joinSyn", ...this.#offer, token: this.#session.remote?.token ?? 0, nonce };
    return { type: "joinSynAck", ...this.#offer, hmac: this.#synAckHmac(true), nonce };
  }

  onSynAck(options: readonly MptcpOption[]): HandshakeVerdict {
    const answer = findMptcp(options, "joinSynAck");
    if (answer === undefined) return this.#refuse(RESET_REASON.middlebox);
    this.#peer = answer;
    if (!equalSecrets(answer.hmac, this.#synAckHmac(false))) return this.#refuse(RESET_REASON.multipathError);
    this.#session.isPlainable = false;
    return "go";
  }

  ackOption({ payload }: OutgoingSegment, _mapping: Mapping | undefined): MptcpOption | undefined {
    if (!this.#isInitiator || this.#isConfirmed || payload.length > 0) return undefined;
    return { type: "joinAck", hmac: this.#ackHmac(true) };
  }

  onSegment(_segment: TcpSegment, options: readonly MptcpOption[]): HandshakeVerdict {
    if (!this.#isInitiator) {
      const third = findMptcp(options, "joinAck");
      if (third === undefined) return this.#refuse(RESET_REASON.middlebox);
      if (!equalSecrets(third.hmac, this.#ackHmac(false))) return this.#refuse(RESET_REASON.multipathError);
    }
    this.#isConfirmed = true;
    return "go";
  }

  #refuse(reason: number): HandshakeVerdict {
    this.#resetReason = reason;
    return "reset";
  }

  /** `ours`: of the segment that we send, else of the peer's. */
  #synAckHmac(ours: boolean): Uint8Array {
    return joinSynAckHmac(this.#session.ports.hashes, this.#session.version, this.#secrets(ours));
  }

  #ackHmac(ours: boolean): Uint8Array {
    return joinAckHmac(this.#session.ports.hashes, this.#session.version, this.#secrets(ours));
  }

  #secrets(ours: boolean) {
    const localKey = this.#session.local.key;
    const remoteKey = this.#session.remote?.key ?? new Uint8Array(8);
    const peerNonce = this.#peer?.nonce ?? 0;
    return ours
      ? { senderKey: localKey, receiverKey: remoteKey, senderNonce: this.#nonce, receiverNonce: peerNonce }
      : { senderKey: remoteKey, receiverKey: localKey, senderNonce: peerNonce, receiverNonce: this.#nonce };
  }
}
