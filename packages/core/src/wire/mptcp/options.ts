/**
 * The options of Multipath TCP (kind 30) as values: version 1 is RFC 8684, version 0 RFC 6824. Read section 3 of both
 * before changing this folder. On the wire each begins with Kind(8)=30, Length(8), Subtype(4); `parse.ts` and `emit.ts`
 * are inverse to each other.
 *
 * Keys, HMACs and addresses are bytes in network order; tokens, nonces and subflow sequence numbers unsigned 32-bit
 * numbers; data sequence numbers 64-bit bigints.
 */
import type { IpAddress } from "../../base/ip-address.ts";

/** Subtypes (RFC 8684 section 7.2). */
export const MPTCP_SUBTYPE = {
  capable: 0,
  join: 1,
  dss: 2,
  addAddress: 3,
  removeAddress: 4,
  priority: 5,
  fail: 6,
  fastClose: 7,
  reset: 8,
} as const;

/** Flags of MP_CAPABLE (RFC 8684 section 3.1), "A" to "H". */
export const CAPABLE_FLAG = {
  /** A: DSS checksums are required. */
  checksumRequired: 0x80,
  /** B: extensibility; whoever does not know what it means ignores the option. */
  extensibility: 0x40,
  /** C: no subflows to this address and port. Version 1 only. */
  noJoin: 0x20,
  /** H: HMAC-SHA256 in version 1, HMAC-SHA1 in version 0. */
  hmac: 0x01,
} as const;

/** Why a subflow was reset (RFC 8684 section 3.6). */
export const RESET_REASON = {
  unspecified: 0,
  multipathError: 1,
  lackOfResources: 2,
  prohibited: 3,
  tooMuchOutstanding: 4,
  unacceptablePerformance: 5,
  middlebox: 6,
} as const;

/** A data sequence number or acknowledgment as it stands on the wire: all 64 bits, or the low 32 of them. */
export interface DataNumber {
  readonly octets: 4 | 8;
  readonly value: bigint;
}

/**
 * MP_CAPABLE (section 3.1). Version(4), Flags(8), then by its length in bytes:
 * 4: nothing (version 1's SYN). 12: the sender's key (version 0's SYN; SYN/ACK). 20: both keys (third ACK).
 * 22: both keys, length of the data (16). 24: the same and the data's checksum (16). 22 and 24 are version 1 only.
 */
export interface CapableOption {
  readonly type: "capable";
  /** 4 bits. Those above 1 are read as version 1: who gets one answers with its own. */
  readonly version: number;
  /** Bits of {@link CAPABLE_FLAG}. */
  readonly flags: number;
  /** 8 bytes. */
  readonly senderKey?: Uint8Array;
  /** 8 bytes; only with the sender's. */
  readonly receiverKey?: Uint8Array;
  /** The mapping of the connection's first bytes; only with both keys. */
  readonly data?: { readonly length: number; readonly checksum?: number };
}

/** MP_JOIN of a SYN (section 3.2): Reserved(3), B(1), Address ID(8), the receiver's token(32), nonce(32). 12 bytes. */
export interface JoinSynOption {
  readonly type: "joinSyn";
  readonly backup: boolean;
  readonly addressId: number;
  readonly token: number;
  readonly nonce: number;
}

/** MP_JOIN of a SYN/ACK (section 3.2): Reserved(3), B(1), Address ID(8), leftmost 64 bits of HMAC, nonce(32). 16 bytes. */
export interface JoinSynAckOption {
  readonly type: "joinSynAck";
  readonly backup: boolean;
  readonly addressId: number;
  /** 8 bytes. */
  readonly hmac: Uint8Array;
  readonly nonce: number;
}

/** MP_JOIN of the third ACK (section 3.2): Reserved(12), leftmost 160 bits of HMAC. 24 bytes. */
export interface JoinAckOption {
  readonly type: "joinAck";
  /** 20 bytes. */
  readonly hmac: Uint8Array;
}

/** What maps bytes of a subflow into the data sequence space (section 3.3.1). */
export interface DssMapping {
  readonly sequence: DataNumber;
  /** Relative to the subflow's initial sequence number; 0 with a DATA_FIN that stands alone. */
  readonly subflowSequence: number;
  /** Data-Level Length; a DATA_FIN counts 1. 0 is the infinite mapping (section 3.7). */
  readonly length: number;
  /** F: the last of the mapping is DATA_FIN (section 3.3.3). */
  readonly dataFin: boolean;
  readonly checksum?: number;
}

/**
 * DSS (section 3.3): Reserved(7), F, m, M, a, A, then what the flags say: data acknowledgment (32 or 64), mapping: data
 * sequence number (32 or 64), subflow sequence number(32), length(16), checksum(16) where negotiated. 4 to 28 bytes.
 * A flag that means nothing without another (F and m without M, a without A) is ignored when read.
 */
export interface DssOption {
  readonly type: "dss";
  readonly dataAck?: DataNumber;
  readonly mapping?: DssMapping;
}

/**
 * ADD_ADDR of version 1 (section 3.4.1): Reserved(3), E(1), Address ID(8), address (32 or 128), port (16) if it is another
 * one, HMAC(64) unless it is an echo. 8, 10, 16, 18 bytes in IPv4; 20, 22, 28, 30 in IPv6.
 */
export interface AddAddressOption {
  readonly type: "addAddress";
  readonly addressId: number;
  readonly address: IpAddress;
  readonly port?: number;
  /** Rightmost 64 bits: 8 bytes. Without one, this is an echo. */
  readonly hmac?: Uint8Array;
}

/** ADD_ADDR of version 0 (RFC 6824 section 3.4.1): IP version(4), Address ID(8), address, port if any. Not authenticated. */
export interface AddAddressV0Option {
  readonly type: "addAddressV0";
  readonly addressId: number;
  readonly address: IpAddress;
  readonly port?: number;
}

/** REMOVE_ADDR (section 3.4.2): Reserved(4), Address ID(8) for each. 3 bytes and one for each. */
export interface RemoveAddressOption {
  readonly type: "removeAddress";
  /** At least one. */
  readonly addressIds: readonly number[];
}

/** MP_PRIO (section 3.3.8): Reserved(3), B(1); in version 0 perhaps an Address ID(8). 3 or 4 bytes. */
export interface PriorityOption {
  readonly type: "priority";
  readonly backup: boolean;
  /** Version 0: of which address; left out, of this subflow. */
  readonly addressId?: number;
}

/** MP_FAIL (section 3.7): Reserved(12), data sequence number(64) of the mapping whose checksum was wrong. 12 bytes. */
export interface FailOption {
  readonly type: "fail";
  readonly sequence: bigint;
}

/** MP_FASTCLOSE (section 3.5): Reserved(12), the receiver's key(64). 12 bytes. */
export interface FastCloseOption {
  readonly type: "fastClose";
  /** 8 bytes. */
  readonly receiverKey: Uint8Array;
}

/** MP_TCPRST (section 3.6, version 1): U, V, W, T(1 each), Reason(8). 4 bytes. */
export interface ResetOption {
  readonly type: "reset";
  /** T: may be tried again after a while. */
  readonly transient: boolean;
  /** One of {@link RESET_REASON}, or another. */
  readonly reason: number;
}

export type MptcpOption =
  | CapableOption
  | JoinSynOption
  | JoinSynAckOption
  | JoinAckOption
  | DssOption
  | AddAddressOption
  | AddAddressV0Option
  | RemoveAddressOption
  | PriorityOption
  | FailOption
  | FastCloseOption
  | ResetOption;
