/**
 * Linux's userspace path manager: the generic netlink family "mptcp_pm" (Documentation/netlink/specs/mptcp_pm.yaml).
 * Names and numbers are the kernel's.
 */

import { readUint16 } from "../../base/bytes.ts";
import { type Endpoint, type IpAddress, ipAddressFromBytes, isIpv4, networkBytes } from "../../base/ip-address.ts";
import { SystemError } from "../../platform/errno.ts";
import type { GenericFamily, GenericMessage } from "../../platform/netlink/generic.ts";
import { type Attributes, attribute, nested, value } from "../../platform/netlink/message.ts";
import { MESSAGES_IN_A_REST } from "../../platform/netlink/socket.ts";
import { AF_INET, AF_INET6 } from "../../platform/socket-address.ts";
import type { PathCommand, PathEvent, SubflowPath } from "../../policy/path-manager/path-manager.ts";
import type { PathControl } from "../engine.ts";

const EVENT = {
  created: 1,
  established: 2,
  closed: 3,
  announced: 6,
  removed: 7,
  subflowEstablished: 10,
  subflowClosed: 11,
  subflowPriority: 13,
  listenerCreated: 15,
  listenerClosed: 16,
} as const;

const EVENT_ATTRIBUTE = {
  token: 1,
  localId: 3,
  remoteId: 4,
  backup: 11,
  error: 12,
  flags: 13,
  resetReason: 16,
  serverSide: 18,
} as const;

const SOURCE = { address4: 5, address6: 6, port: 9 } as const;
const DESTINATION = { address4: 7, address6: 8, port: 10 } as const;

const FLAG_DENY_JOIN_INITIAL = 1;
const FLAG_SERVER_SIDE = 2;

const COMMAND = { setFlags: 7, announce: 8, remove: 9, subflowCreate: 10, subflowDestroy: 11 } as const;
const COMMAND_ATTRIBUTE = { address: 1, token: 4, localId: 5, remoteAddress: 6 } as const;
const ADDRESS = { family: 1, id: 2, address4: 3, address6: 4, port: 5, flags: 6, interfaceIndex: 7 } as const;
const ADDRESS_FLAG = { signal: 1, backup: 4 } as const;

/** The kernel's end of the conversation. */
export type PathManagerFamily = Pick<GenericFamily, "watch" | "execute" | "close">;

export class KernelPathControl implements PathControl {
  readonly #family: PathManagerFamily;
  readonly #restMs: number;
  #watch: { close(): void } | undefined;
  /** Notifications of a kind this code does not know; they are skipped. */
  unknownEvents = 0;

  /** `family` is "mptcp_pm"; for `restMs` see {@link EngineKind.openPathControl}. */
  constructor(family: PathManagerFamily, restMs = 0) {
    this.#family = family;
    this.#restMs = restMs;
  }

  onEvent(listener: (event: PathEvent) => void): void {
    const rests = this.#restMs > 0;
    const brief = new BriefConnections();
    const onMessages = (messages: readonly GenericMessage[]) => {
      for (const message of rests ? brief.leaveOut(messages) : messages) {
        const event = decodeEvent(message);
        if (event !== undefined) listener(event);
        else this.unknownEvents += 1;
      }
    };
    const ignored = [EVENT.listenerCreated, EVENT.listenerClosed, ...(rests ? [EVENT.created] : [])];
    this.#watch = this.#family.watch("mptcp_pm_events", onMessages, { restMs: this.#restMs, ignored });
  }

  execute(command: PathCommand): boolean {
    try {
      const [number, ...attributes] = encodeCommand(command);
      this.#family.execute(number, attributes, command.type);
      return true;
    } catch (error) {
      if (error instanceof SystemError) return false;
      throw error;
    }
  }

  close(): void {
    this.#watch?.close();
    this.#family.close();
  }
}

/**
 * Leaves out what is about connections that come and go together: on a busy host most of it. Where many come, what is about
 * one that has just begun waits for the next time, when most of them have ended.
 */
class BriefConnections {
  #waiting: GenericMessage[] = [];

  leaveOut(fresh: readonly GenericMessage[]): readonly GenericMessage[] {
    const told = withoutBrief([...this.#waiting, ...fresh]);
    this.#waiting = [];
    if (fresh.length < MESSAGES_IN_A_REST) return told;
    const young = new Set<number>();
    for (const { command, attributes } of fresh) if (command === EVENT.established) young.add(tokenOf(attributes));
    return told.filter((message) => {
      const waits = young.has(tokenOf(message.attributes));
      // A copy: the buffer is used again.
      if (waits) this.#waiting.push({ command: message.command, attributes: message.attributes.copy() });
      return !waits;
    });
  }
}

function tokenOf(attributes: Attributes): number {
  return attributes.integer(EVENT_ATTRIBUTE.token) ?? 0;
}

/** Without what is about connections that have begun and ended meanwhile. */
function withoutBrief(messages: readonly GenericMessage[]): readonly GenericMessage[] {
  if (messages.length < 2) return messages;
  /** Of each connection that has begun: the place of its last message. */
  const lastOf = new Map<number, number>();
  /** By place: the message before it about the same connection. */
  const before = new Int32Array(messages.length).fill(NO_MESSAGE);
  const isBrief = new Uint8Array(messages.length);
  for (const [place, { command, attributes }] of messages.entries()) {
    const token = tokenOf(attributes);
    const earlier = command === EVENT.established ? NO_MESSAGE : lastOf.get(token);
    if (earlier === undefined) continue;
    before[place] = earlier;
    lastOf.set(token, place);
    if (command !== EVENT.closed) continue;
    for (let each = place; each !== NO_MESSAGE; each = before[each] as number) isBrief[each] = 1;
    lastOf.delete(token);
  }
  return messages.filter((_, place) => isBrief[place] === 0);
}

const NO_MESSAGE = -1;

/** The event in a notification; undefined for kinds that are not about a connection, or not known. */
export function decodeEvent({ command, attributes }: GenericMessage): PathEvent | undefined {
  const token = attributes.integer(EVENT_ATTRIBUTE.token);
  if (token === undefined) return undefined;
  const number = (type: number) => attributes.integer(type) ?? 0;
  switch (command) {
    case EVENT.closed:
      return { type: "connectionClosed", token };
    case EVENT.removed:
      return { type: "addressRemoved", token, remoteId: number(EVENT_ATTRIBUTE.remoteId) };
    case EVENT.announced: {
      const remote = endpoint(attributes, DESTINATION);
      return remote && { type: "addressAnnounced", token, remoteId: number(EVENT_ATTRIBUTE.remoteId), remote };
    }
    default: {
      const path = decodePath(attributes);
      return path && decodePathEvent(command, token, path, number);
    }
  }
}

function decodePathEvent(
  command: number,
  token: number,
  path: SubflowPath,
  number: (type: number) => number,
): PathEvent | undefined {
  const backup = number(EVENT_ATTRIBUTE.backup) !== 0;
  const flags = number(EVENT_ATTRIBUTE.flags);
  switch (command) {
    case EVENT.created:
    case EVENT.established:
      return {
        type: command === EVENT.created ? "connectionCreated" : "connectionEstablished",
        token,
        ...path,
        // Kernels before the flag say it by an attribute, which clients' events lack.
        serverSide: number(EVENT_ATTRIBUTE.serverSide) !== 0 || (flags & FLAG_SERVER_SIDE) !== 0,
        denyJoinInitial: (flags & FLAG_DENY_JOIN_INITIAL) !== 0,
      };
    case EVENT.subflowEstablished:
      return { type: "subflowEstablished", token, ...path, backup };
    case EVENT.subflowClosed: {
      const resetReason = number(EVENT_ATTRIBUTE.resetReason) || undefined;
      return { type: "subflowClosed", token, ...path, error: number(EVENT_ATTRIBUTE.error), resetReason };
    }
    case EVENT.subflowPriority:
      return { type: "subflowPriority", token, ...path, backup };
    default:
      return undefined;
  }
}

function decodePath(attributes: Attributes): SubflowPath | undefined {
  const local = endpoint(attributes, SOURCE);
  const remote = endpoint(attributes, DESTINATION);
  if (local === undefined || remote === undefined) return undefined;
  const localId = attributes.integer(EVENT_ATTRIBUTE.localId) ?? 0;
  const remoteId = attributes.integer(EVENT_ATTRIBUTE.remoteId) ?? 0;
  return { localId, remoteId, local, remote };
}

/** Ports of events are in network byte order, unlike those of commands. */
function endpoint(attributes: Attributes, end: typeof SOURCE | typeof DESTINATION): Endpoint | undefined {
  const bytes = attributes.get(end.address4) ?? attributes.get(end.address6);
  const address = bytes && ipAddressFromBytes(bytes);
  const port = attributes.get(end.port);
  return address && { address, port: port === undefined ? 0 : readUint16(port, 0) };
}

interface AddressDescription {
  readonly address: IpAddress;
  readonly port?: number;
  readonly id?: number;
  readonly flags?: number;
  readonly interfaceIndex?: number;
}

function encodeAddress(type: number, { address, port, id, flags, interfaceIndex }: AddressDescription): Uint8Array {
  const ipv4 = isIpv4(address);
  return nested(type, [
    attribute(ADDRESS.family, value.uint16(ipv4 ? AF_INET : AF_INET6)),
    ...(id === undefined ? [] : [attribute(ADDRESS.id, value.uint8(id))]),
    attribute(ipv4 ? ADDRESS.address4 : ADDRESS.address6, networkBytes(address)),
    ...(port === undefined ? [] : [attribute(ADDRESS.port, value.uint16(port))]),
    ...(flags === undefined ? [] : [attribute(ADDRESS.flags, value.uint32(flags))]),
    ...(interfaceIndex === undefined ? [] : [attribute(ADDRESS.interfaceIndex, value.uint32(interfaceIndex))]),
  ]);
}

/** The command's number, then its attributes. */
function encodeCommand(command: PathCommand): [number, ...Uint8Array[]] {
  const token = attribute(COMMAND_ATTRIBUTE.token, value.uint32(command.token));
  const { address, remoteAddress } = COMMAND_ATTRIBUTE;
  switch (command.type) {
    case "createSubflow": {
      const { local: source, localId: id, interfaceIndex, backup } = command;
      const local = { address: source, id, interfaceIndex, ...(backup && { flags: ADDRESS_FLAG.backup }) };
      return [
        COMMAND.subflowCreate,
        token,
        encodeAddress(address, local),
        encodeAddress(remoteAddress, command.remote),
      ];
    }
    case "destroySubflow": {
      const local = { ...command.local, id: command.localId };
      return [
        COMMAND.subflowDestroy,
        token,
        encodeAddress(address, local),
        encodeAddress(remoteAddress, command.remote),
      ];
    }
    case "setPriority": {
      const local = { ...command.local, id: command.localId, flags: command.backup ? ADDRESS_FLAG.backup : 0 };
      return [COMMAND.setFlags, token, encodeAddress(address, local), encodeAddress(remoteAddress, command.remote)];
    }
    case "announce": {
      const local = { ...command.local, id: command.localId, flags: ADDRESS_FLAG.signal };
      return [COMMAND.announce, token, encodeAddress(address, local)];
    }
    case "remove":
      return [COMMAND.remove, token, attribute(COMMAND_ATTRIBUTE.localId, value.uint8(command.localId))];
  }
}
