/** Addresses that the two sides tell each other: ADD_ADDR and REMOVE_ADDR (RFC 8684 section 3.4). */
import { equalBytes, equalSecrets } from "../../base/bytes.ts";
import { type AnnouncedAddress, addAddressHmac } from "../../wire/mptcp/keys.ts";
import type { AddAddressOption, AddAddressV0Option, MptcpOption } from "../../wire/mptcp/options.ts";
import type { Session } from "./session.ts";

/** Addresses of ours that wait for their echo. */
export const MOST_ANNOUNCED = 16;
/** How often an ADD_ADDR is said that is not echoed, and after how long again (doubled each time). */
export const ANNOUNCEMENT_TRIES = 4;
export const ANNOUNCEMENT_MS = 1000;
/** Addresses of the peer that are remembered: identifiers have 8 bits. */
export const MOST_PEER_ADDRESSES = 256;

interface Announcement {
  readonly announced: AnnouncedAddress;
  tries: number;
  dueMs: number;
}

const NONE: readonly never[] = [];

export class AddressBook {
  readonly #session: Session;
  // Lists, each replaced when it changes: nearly all of them are empty, or have one entry.
  #announcements: readonly Announcement[] = NONE;
  #ownAddresses: readonly AnnouncedAddress[] = NONE;
  #peerAddresses: readonly AnnouncedAddress[] = NONE;
  #wrongHmacs = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** ADD_ADDRs whose HMAC was wrong, which were ignored. */
  get wrongHmacs(): number {
    return this.#wrongHmacs;
  }

  /** Addresses that the peer was told and that were not taken back. */
  get ownAddresses(): readonly AnnouncedAddress[] {
    return this.#ownAddresses;
  }

  /** Addresses that the peer has told. */
  get peerAddresses(): readonly AnnouncedAddress[] {
    return this.#peerAddresses;
  }

  /** Says an address, and again until it is echoed; false when too many wait. */
  announce(announced: AnnouncedAddress, nowMs: number): boolean {
    const { addressId } = announced;
    const others = this.#announcements.filter((one) => one.announced.addressId !== addressId);
    if (others.length >= MOST_ANNOUNCED) return false;
    this.#announcements = [...others, { announced, tries: 0, dueMs: nowMs }];
    this.#ownAddresses = [...without(this.#ownAddresses, addressId), announced];
    return true;
  }

  /** An address is gone: it is not said any more. */
  forget(addressId: number): void {
    this.#ownAddresses = without(this.#ownAddresses, addressId);
    this.#announcements = keptOf(this.#announcements, ({ announced }) => announced.addressId !== addressId);
  }

  /** When something is to be said, or undefined. */
  get nextMs(): number | undefined {
    let next: number | undefined;
    for (const { dueMs } of this.#announcements) if (next === undefined || dueMs < next) next = dueMs;
    return next;
  }

  /** What is to be said now. */
  takeDue(nowMs: number): MptcpOption[] {
    const due: MptcpOption[] = [];
    for (const announcement of this.#announcements) {
      if (announcement.dueMs > nowMs) continue;
      due.push(this.#optionFor(announcement.announced));
      announcement.tries += 1;
      announcement.dueMs = nowMs + ANNOUNCEMENT_MS * 2 ** (announcement.tries - 1);
    }
    // Version 0 has no echo: it is said once.
    const most = this.#session.version === 0 ? 1 : ANNOUNCEMENT_TRIES;
    if (due.length > 0) this.#announcements = keptOf(this.#announcements, ({ tries }) => tries < most);
    return due;
  }

  #optionFor(announced: AnnouncedAddress): MptcpOption {
    const { version, local, remote, ports } = this.#session;
    if (version === 0) return { type: "addAddressV0", ...announced };
    const hmac = addAddressHmac(ports.hashes, local.key, remote?.key ?? new Uint8Array(8), announced);
    return { type: "addAddress", ...announced, hmac };
  }

  /**
   * Takes what the peer says. Returns the echo to send where it is to be echoed, and whether the address is new. Of one
   * with a wrong HMAC nothing is believed: somebody else may have sent it (RFC 7430 section 2).
   */
  onAddress(option: AddAddressOption | AddAddressV0Option): { readonly echo?: MptcpOption; readonly isNew: boolean } {
    const { addressId, address, port } = option;
    const announced: AnnouncedAddress = { addressId, address, ...(port !== undefined && { port }) };
    if (option.type === "addAddressV0") return { isNew: this.#session.version === 0 && this.#remember(announced) };
    if (option.hmac === undefined) {
      this.#onEcho(announced);
      return { isNew: false };
    }
    const { local, remote, ports, version } = this.#session;
    const expected = remote && addAddressHmac(ports.hashes, remote.key, local.key, announced);
    if (version === 0 || expected === undefined || !equalSecrets(option.hmac, expected)) {
      this.#wrongHmacs += 1;
      return { isNew: false };
    }
    return { echo: { type: "addAddress", ...announced }, isNew: this.#remember(announced) };
  }

  #remember(announced: AnnouncedAddress): boolean {
    const { addressId, address, port } = announced;
    const others = without(this.#peerAddresses, addressId);
    const known = this.#peerAddresses.find((one) => one.addressId === addressId);
    if (known !== undefined && known.port === port && equalBytes(known.address, address)) return false;
    if (others.length >= MOST_PEER_ADDRESSES) return false;
    this.#peerAddresses = [...others, announced];
    return true;
  }

  #onEcho({ addressId, address }: AnnouncedAddress): void {
    this.#announcements = keptOf(
      this.#announcements,
      ({ announced }) => announced.addressId !== addressId || !equalBytes(announced.address, address),
    );
  }

  /** The peer takes an address back. */
  onRemoved(addressId: number): void {
    this.#peerAddresses = without(this.#peerAddresses, addressId);
  }
}

function keptOf<One>(list: readonly One[], isKept: (one: One) => boolean): readonly One[] {
  return list.every(isKept) ? list : list.filter(isKept);
}

function without(addresses: readonly AnnouncedAddress[], addressId: number): readonly AnnouncedAddress[] {
  return keptOf(addresses, (one) => one.addressId !== addressId);
}
