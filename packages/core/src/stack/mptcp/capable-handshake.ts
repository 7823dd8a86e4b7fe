/**
 * MP_CAPABLE: the handshake of a connection (RFC 8684 section 3.1; RFC 6824 section 3.1 for version 0). In version 1
 * the third ACK is made reliable: its keys go with every segment without data, and with the first data, until the peer
 * shows by a DSS that it has them.
 */
import { equalSecrets } from "../../base/bytes.ts";
import type { MptcpVersion } from "../../wire/mptcp/keys.ts";
import { CAPABLE_FLAG, type CapableOption, type MptcpOption, RESET_REASON } from "../../wire/mptcp/options.ts";
import type { TcpSegment } from "../../wire/tcp/segment.ts";
import type { OutgoingSegment } from "../tcp/extension.ts";
import { findMptcp, type Handshake, type HandshakeVerdict } from "./handshake.ts";
import type { Mapping } from "./mappings.ts";
import type { Session } from "./session.ts";

/**
 * Whether an MP_CAPABLE of a SYN is one that we can take (RFC 8684 section 3.1: crypto algorithm known, no
 * extensibility flag).
 */
export function isUsableCapable({ flags }: CapableOption): boolean {
  return (flags & CAPABLE_FLAG.hmac) !== 0 && (flags & CAPABLE_FLAG.extensibility) === 0;
}

/** The version that the answer to a SYN with this MP_CAPABLE, or with none, has. */
export function versionOf(capable: CapableOption | undefined): MptcpVersion {
  return capable?.version === 0 ? 0 : 1;
}

export class CapableHandshake implements Handshake {
  readonly resetReason = RESET_REASON.multipathError;
  readonly #session: Session;
  readonly #isInitiator: boolean;
  #isConfirmed = false;

  /** `peer` is what the SYN says to the one who is asked; the one who asks has none. */
  constructor(session: Session, peer?: CapableOption) {
    this.#session = session;
    this.#isInitiator = peer === undefined;
    if (peer !== undefined) this.#takeFlags(peer);
    if (session.version === 0 && peer?.senderKey !== undefined) session.setRemoteKey(peer.senderKey);
  }

  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  #takeFlags({ flags }: CapableOption): void {
    if ((flags & CAPABLE_FLAG.checksumRequired) !== 0) this.#session.usesChecksum = true;
    if (this.#session.version === 1 && (flags & CAPABLE_FLAG.noJoin) !== 0) this.#session.peerRefusesJoins = true;
  }

  get #flags(): number {
    const { usesChecksum, settings, version } = this.#session;
    const checksum = usesChecksum ? CAPABLE_FLAG.checksumRequired : 0;
    const noJoin = settings.refuseJoins && version === 1 ? CAPABLE_FLAG.noJoin : 0;
    return CAPABLE_FLAG.hmac | checksum | noJoin;
  }

  synOption(): MptcpOption {
    const { version, local } = this.#session;
    const withKey = version === 0 || !this.#isInitiator;
    return { type: "capable", version, flags: this.#flags, ...(withKey && { senderKey: local.key }) };
  }

  onSynAck(options: readonly MptcpOption[]): HandshakeVerdict {
    const capable = findMptcp(options, "capable");
    const key = capable?.senderKey;
    if (capable === undefined || key === undefined || capable.version !== this.#session.version) return "fallback";
    if (!isUsableCapable(capable)) return "fallback";
    this.#takeFlags(capable);
    this.#session.setRemoteKey(key);
    return "go";
  }

  ackOption({ payload, start }: OutgoingSegment, mapping: Mapping | undefined): MptcpOption | undefined {
    const { version, local, remote, usesChecksum } = this.#session;
    if (!this.#isInitiator || this.#isConfirmed || remote === undefined) return undefined;
    const keys = {
      type: "capable" as const,
      version,
      flags: this.#flags,
      senderKey: local.key,
      receiverKey: remote.key,
    };
    if (payload.length === 0) return keys;
    const first = 1 + this.#session.ownSynBytes;
    const isFirst = version === 1 && start === first && mapping?.start === first;
    if (!isFirst) return undefined;
    const checksum = usesChecksum && mapping.checksum !== undefined ? { checksum: mapping.checksum } : {};
    return { ...keys, data: { length: mapping.end - mapping.start, ...checksum } };
  }

  onSegment({ payload }: TcpSegment, options: readonly MptcpOption[]): HandshakeVerdict {
    const dss = findMptcp(options, "dss");
    if (this.#isInitiator) {
      // Data may come before the peer has our key (Fast Open); a DATA_ACK shows that it has.
      if (dss?.dataAck !== undefined) this.#isConfirmed = true;
      return options.length === 0 ? "fallback" : "go";
    }
    const capable = findMptcp(options, "capable");
    if (capable?.senderKey !== undefined && capable.receiverKey !== undefined) return this.#takeKeys(capable);
    // Without the peer's key its numbers mean nothing yet: what is lost comes again. But data without a mapping does not
    // get one later: Linux repeats so what a server did not take from its SYN.
    if (dss !== undefined && this.#session.remote === undefined) {
      return payload.length > 0 && dss.mapping === undefined ? "fallback" : "ignore";
    }
    if (dss !== undefined) this.#isConfirmed = true;
    return options.length === 0 ? "fallback" : "go";
  }

  #takeKeys({ senderKey, receiverKey }: CapableOption): HandshakeVerdict {
    if (senderKey === undefined || receiverKey === undefined) return "ignore";
    if (!equalSecrets(receiverKey, this.#session.local.key)) return "reset";
    this.#session.setRemoteKey(senderKey);
    this.#isConfirmed = true;
    return "go";
  }
}
