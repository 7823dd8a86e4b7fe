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

export class AddressBook {
  readonly #session: Session;
  readonly #announcements = new Map<number, Announcement>();
  readonly #ownAddresses = new Map<number, AnnouncedAddress>();
  readonly #peerAddresses = new Map<number, AnnouncedAddress>();
  #wrongHmacs = 0;

  constructor(session: Session) {
    this.#session = session;
  }

  /** ADD_ADDRs whose HMAC was wrong, which were ignored. */
  get wrongHmacs(): number {
    return this.#wrongHmacs;
  }

  /** Addresses that the peer was told and that were not taken back, by identifier. */
  get ownAddresses(): ReadonlyMap<number, AnnouncedAddress> {
    return this.#ownAddresses;
  }

  /** Addresses that the peer has told, by identifier. */
  get peerAddresses(): ReadonlyMap<number, AnnouncedAddress> {
    return this.#peerAddresses;
  }

  /** Says an address, and again until it is echoed; false when too many wait. */
  announce(announced: AnnouncedAddress, nowMs: number): boolean {
    if (this.#announcements.size >= MOST_ANNOUNCED && !this.#announcements.has(announced.addressId)) return false;
    this.#announcements.set(announced.addressId, { announced, tries: 0, dueMs: nowMs });
    this.#ownAddresses.set(announced.addressId, announced);
    return true;
  }

  /** An address is gone: it is not said any more. */
  forget(addressId: number): void {
    this.#announcements.delete(addressId);
    this.#ownAddresses.delete(addressId);
  }

  /** When something is to be said, or undefined. */
  get nextMs(): number | undefined {
    let next: number | undefined;
    for (const { dueMs } of this.#announcements.values()) if (next === undefined || dueMs < next) next = dueMs;
    return next;
  }

  /** What is to be said now. */
  takeDue(nowMs: number): MptcpOption[] {
    const due: MptcpOption[] = [];
    for (const [addressId, announcement] of this.#announcements) {
      if (announcement.dueMs > nowMs) continue;
      due.push(this.#optionFor(announcement.announced));
      announcement.tries += 1;
      announcement.dueMs = nowMs + ANNOUNCEMENT_MS * 2 ** (announcement.tries - 1);
      // Version 0 has no echo: it is said once.
      if (announcement.tries >= (this.#session.version === 0 ? 1 : ANNOUNCEMENT_TRIES))
        this.#announcements.delete(addressId);
    }
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
    const known = this.#peerAddresses.get(announced.addressId);
    if (known?.port === announced.port && known !== undefined && equalBytes(known.address, announced.address))
      return false;
    if (known === undefined && this.#peerAddresses.size >= MOST_PEER_ADDRESSES) return false;
    this.#peerAddresses.set(announced.addressId, announced);
    return true;
  }

  #onEcho({ addressId, address }: AnnouncedAddress): void {
    const waiting = this.#announcements.get(addressId);
    if (waiting !== undefined && equalBytes(waiting.announced.address, address)) this.#announcements.delete(addressId);
  }

  /** The peer takes an address back. */
  onRemoved(addressId: number): void {
    this.#peerAddresses.delete(addressId);
  }
}
