/** Elements of nftables' sets that live for a time: what a process says of itself to rules that go on without it. */
import { concatBytes } from "../../base/bytes.ts";
import { libc } from "../libc.ts";
import { attribute, nested, value } from "./message.ts";
import { netfilterHeader, uint32 } from "./netfilter.ts";
import { changeNftables, FAMILY_INET } from "./nftables-batch.ts";
import { FLAG, NETLINK_NETFILTER, openNetlink } from "./socket.ts";

const NEW_ELEMENTS = 12;
const DELETE_ELEMENTS = 14;
const LIST = { table: 1, set: 2, elements: 3 } as const;
const LIST_ELEMENT = 1;
const ELEMENT = { key: 1, timeout: 4 } as const;
const DATA_VALUE = 1;

/** Keys in a set of a table of the family inet, and nothing else in it, for as long as they are renewed. */
export class RenewedElements {
  readonly #set: string;
  readonly #keys: readonly Uint8Array[];
  readonly #head: Uint8Array;
  /** Kept open: closing it waits for the kernel to free what was deleted, some 15 ms. */
  #fd: number | undefined;

  constructor(table: string, set: string, keys: readonly Uint8Array[]) {
    this.#set = set;
    this.#keys = keys;
    this.#head = concatBytes([
      netfilterHeader(FAMILY_INET, 0),
      attribute(LIST.table, value.text(table)),
      attribute(LIST.set, value.text(set)),
    ]);
  }

  /**
   * Has the keys live for `lifeMs` from now on; about 20 µs. The set is emptied first, in the same transaction: kernels
   * before 6.12 do not renew what is there already. Throws a SystemError.
   */
  renew(lifeMs: number): void {
    const elements = this.#keys.map((key) =>
      nested(LIST_ELEMENT, [
        nested(ELEMENT.key, [attribute(DATA_VALUE, key)]),
        attribute(ELEMENT.timeout, Uint8Array.of(0, 0, 0, 0, ...uint32(lifeMs))),
      ]),
    );
    const changes = [
      { type: DELETE_ELEMENTS, flags: 0, body: this.#head },
      { type: NEW_ELEMENTS, flags: FLAG.create, body: concatBytes([this.#head, nested(LIST.elements, elements)]) },
    ];
    this.#fd ??= openNetlink(NETLINK_NETFILTER);
    try {
      changeNftables(this.#fd, changes, `renew the set ${this.#set}`);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    if (this.#fd !== undefined) libc.close(this.#fd);
    this.#fd = undefined;
  }
}
