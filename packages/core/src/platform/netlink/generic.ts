/** Generic netlink (NETLINK_GENERIC): families are found by name; their messages begin with command and version. */
import { concatBytes } from "../../base/bytes.ts";
import { AccessError } from "../../base/error.ts";
import {
  AttributeList,
  type Attributes,
  attribute,
  decodeAttributes,
  integer,
  type NetlinkMessage,
  text,
  value,
} from "./message.ts";
import { FLAG, NETLINK_GENERIC, NetlinkClient, type WatchOptions, watchNetlink } from "./socket.ts";

const CONTROL_FAMILY = 16;
const GET_FAMILY = 3;
const ATTRIBUTE = { familyId: 1, familyName: 2, groups: 7, groupName: 1, groupId: 2 } as const;
const COMMAND_HEADER_BYTES = 4;

/** A generic netlink message: the command, then attributes. */
export interface GenericMessage {
  readonly command: number;
  readonly attributes: Attributes;
}

function decode({ body }: NetlinkMessage): GenericMessage {
  return { command: body[0] ?? 0, attributes: new AttributeList(body, COMMAND_HEADER_BYTES) };
}

/** One family, such as "mptcp_pm". */
export class GenericFamily {
  readonly #client = new NetlinkClient(NETLINK_GENERIC);
  readonly #name: string;
  readonly #id: number;
  readonly #groups = new Map<string, number>();

  /** Throws a SystemError (ENOENT) when the kernel has no such family. */
  constructor(name: string) {
    this.#name = name;
    const body = concatBytes([Uint8Array.of(GET_FAMILY, 1, 0, 0), attribute(ATTRIBUTE.familyName, value.text(name))]);
    const [answer] = this.#client.request(CONTROL_FAMILY, 0, body, `netlink family ${name}`).map(decode);
    this.#id = answer?.attributes.integer(ATTRIBUTE.familyId) ?? 0;
    const groups = answer?.attributes.get(ATTRIBUTE.groups) ?? new Uint8Array();
    for (const group of decodeAttributes(groups).values()) {
      const attributes = decodeAttributes(group);
      this.#groups.set(
        text(attributes.get(ATTRIBUTE.groupName)) ?? "",
        integer(attributes.get(ATTRIBUTE.groupId)) ?? 0,
      );
    }
  }

  /** Carries a command out. Throws a SystemError when the kernel refuses. */
  execute(command: number, attributes: readonly Uint8Array[], action: string): void {
    this.#client.request(this.#id, 0, concatBytes([Uint8Array.of(command, 1, 0, 0), ...attributes]), action);
  }

  /** Asks for one answer, or for all there are. Throws a SystemError when the kernel refuses. */
  ask(command: number, kind: "one" | "all", action: string): GenericMessage[] {
    const flags = kind === "all" ? FLAG.dump : 0;
    return this.#client.request(this.#id, flags, Uint8Array.of(command, 1, 0, 0), action).map(decode);
  }

  /**
   * Calls back with the family's notifications to `group`, all that have come since the last call. The kernel leaves out
   * those with a command in `ignored`. For `restMs` see {@link WatchOptions}.
   */
  watch(
    group: string,
    onMessages: (messages: GenericMessage[]) => void,
    options: WatchOptions = {},
  ): { close(): void } {
    const id = this.#groups.get(group);
    if (id === undefined)
      throw new AccessError("NETLINK_GROUP", "system", `netlink ${this.#name} has no group ${group}`);
    const onAll = (messages: readonly NetlinkMessage[] = []) =>
      onMessages(messages.filter((message) => message.type === this.#id).map(decode));
    return watchNetlink(NETLINK_GENERIC, [id], onAll, options);
  }

  close(): void {
    this.#client.close();
  }
}
