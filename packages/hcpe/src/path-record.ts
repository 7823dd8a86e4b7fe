/**
 * Path events and commands as records of a fixed size in a buffer. The last thousands of them are kept, and hardly one is
 * ever looked at: as objects they would grow old and then die, which is what V8's heap grows by.
 */
import { readUint16, readUint32, writeUint16, writeUint32 } from "@hybrid-access/core/base/bytes";
import { type Endpoint, formatEndpoint, formatIpAddress, type IpAddress } from "@hybrid-access/core/base/ip-address";
import type { PathCommand, PathEvent } from "@hybrid-access/core/policy/path-manager/path-manager";

export type PathMessage = PathEvent | PathCommand;

/** Where the value of a field stands in a record that begins at `at`. */
interface Field {
  write(bytes: Uint8Array, at: number, value: never): void;
  read(bytes: Uint8Array, at: number): unknown;
}

const ADDRESS_BYTES = 16;

function uint8(offset: number) {
  return {
    write: (bytes: Uint8Array, at: number, value: number) => {
      bytes[at + offset] = value;
    },
    read: (bytes: Uint8Array, at: number) => bytes[at + offset] ?? 0,
  };
}

/** 0 stands for undefined. */
function optionalUint8(offset: number) {
  const { write, read } = uint8(offset);
  return {
    write: (bytes: Uint8Array, at: number, value: number | undefined) => write(bytes, at, value ?? 0),
    read: (bytes: Uint8Array, at: number) => read(bytes, at) || undefined,
  };
}

function flag(offset: number) {
  const { write, read } = uint8(offset);
  return {
    write: (bytes: Uint8Array, at: number, value: boolean) => write(bytes, at, value ? 1 : 0),
    read: (bytes: Uint8Array, at: number) => read(bytes, at) === 1,
  };
}

function uint32(offset: number) {
  return {
    write: (bytes: Uint8Array, at: number, value: number) => writeUint32(bytes, at + offset, value),
    read: (bytes: Uint8Array, at: number) => readUint32(bytes, at + offset),
  };
}

function address(offset: number) {
  return {
    write: (bytes: Uint8Array, at: number, value: IpAddress) => bytes.set(value, at + offset),
    read: (bytes: Uint8Array, at: number) =>
      bytes.slice(at + offset, at + offset + ADDRESS_BYTES) as Uint8Array as IpAddress,
  };
}

function endpoint(offset: number) {
  const { write, read } = address(offset);
  const port = offset + ADDRESS_BYTES;
  return {
    write: (bytes: Uint8Array, at: number, value: Endpoint) => {
      write(bytes, at, value.address);
      writeUint16(bytes, at + port, value.port);
    },
    read: (bytes: Uint8Array, at: number) => ({ address: read(bytes, at), port: readUint16(bytes, at + port) }),
  };
}

const token = { token: uint32(4) };
const localId = { localId: uint8(2) };
const remoteId = { remoteId: uint8(3) };
const local = { local: endpoint(8) };
const remote = { remote: endpoint(26) };
const path = { ...localId, ...remoteId, ...local, ...remote };
const backup = { backup: flag(48) };
const opened = { ...token, ...path, serverSide: flag(48), denyJoinInitial: flag(49) };

/** By the kind of a message, which is the first byte of its record: the fields, in the order in which they are shown. */
const LAYOUTS: Readonly<Record<PathMessage["type"], Readonly<Record<string, Field>>>> = {
  connectionCreated: opened,
  connectionEstablished: opened,
  connectionClosed: token,
  addressAnnounced: { ...token, ...remoteId, ...remote },
  addressRemoved: { ...token, ...remoteId },
  subflowEstablished: { ...token, ...path, ...backup },
  subflowClosed: { ...token, ...path, error: uint32(44), resetReason: optionalUint8(49) },
  subflowPriority: { ...token, ...path, ...backup },
  createSubflow: { ...token, ...localId, local: address(8), interfaceIndex: uint32(44), ...remote, ...backup },
  destroySubflow: { ...token, ...localId, ...local, ...remote },
  setPriority: { ...token, ...localId, ...local, ...remote, ...backup },
  announce: { ...token, ...localId, ...local },
  remove: { ...token, ...localId },
};

const KINDS = Object.keys(LAYOUTS) as PathMessage["type"][];
const FIELDS = KINDS.map((kind) => Object.entries(LAYOUTS[kind]));
const NUMBER_OF_KIND = new Map(KINDS.map((kind, number) => [kind, number]));

/** Multiple of 4. */
export const PATH_RECORD_BYTES = 52;

/** Writes a record at `at`. */
export function writePathRecord(bytes: Uint8Array, at: number, message: PathMessage): void {
  const number = NUMBER_OF_KIND.get(message.type) ?? 0;
  bytes[at] = number;
  const values = message as unknown as Readonly<Record<string, never>>;
  for (const [name, field] of FIELDS[number] ?? []) field.write(bytes, at, values[name] as never);
}

/** The message whose record stands at `at`. */
export function readPathRecord(bytes: Uint8Array, at: number): PathMessage {
  const number = bytes[at] ?? 0;
  const values = (FIELDS[number] ?? []).map(([name, field]) => [name, field.read(bytes, at)]);
  return { type: KINDS[number], ...Object.fromEntries(values) } as PathMessage;
}

/** "c3c4c316", as `ss` writes tokens. */
export function formatToken(token: number): string {
  return token.toString(16).padStart(8, "0");
}

/** What is shown of a message beside its kind. */
export function describePathMessage(message: PathMessage): Readonly<Record<string, unknown>> {
  const { type: _, token, ...rest } = message;
  const readable = Object.entries(rest).map(([name, value]: [string, unknown]) => [name, readableValue(value)]);
  return { token: formatToken(token), ...Object.fromEntries(readable) };
}

function readableValue(value: unknown): unknown {
  if (value instanceof Uint8Array) return formatIpAddress(value as IpAddress);
  if (value !== null && typeof value === "object") return formatEndpoint(value as Endpoint);
  return value;
}
