/**
 * Socket filters (the classic Berkeley Packet Filter, linux/filter.h): the kernel asks them before it gives a socket a
 * notification, so that one that nobody wants costs no wake-up and no system call.
 */
import { check, resultOf } from "../errno.ts";
import { addressOf, libc } from "../libc.ts";

const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;

const LOAD_BYTE = 0x30;
const JUMP_IF_EQUAL = 0x15;
const RETURN = 0x06;
const WHOLE = 0xffff_ffff;
const NOTHING = 0;

/** Where the family's own header begins: for generic netlink, with the command. */
const HEADER_BYTES = 16;
const INSTRUCTION_BYTES = 8;

/** Lets the netlink socket drop messages whose first byte behind the netlink header is one of these. Throws a SystemError. */
export function ignoreMessages(fd: number, values: readonly number[]): void {
  const program = encodeProgram([
    [LOAD_BYTE, 0, 0, HEADER_BYTES],
    // Where it is equal, over what is left of the list and over the first return.
    ...values.map((value, index): Instruction => [JUMP_IF_EQUAL, values.length - index, 0, value]),
    [RETURN, 0, 0, WHOLE],
    [RETURN, 0, 0, NOTHING],
  ]);
  // struct sock_fprog: how many instructions, and where they are.
  const description = new BigUint64Array([BigInt(program.length / INSTRUCTION_BYTES), addressOf(program)]);
  const attached = libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, description, description.byteLength);
  check(resultOf(attached), "netlink filter");
}

/** Code, how many instructions to skip when it holds and when not, operand. */
type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, operand: number];

/** struct sock_filter: code(2) jt(1) jf(1) k(4). */
function encodeProgram(instructions: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(instructions.length * INSTRUCTION_BYTES);
  const view = new DataView(bytes.buffer);
  for (const [index, [code, ifTrue, ifFalse, operand]] of instructions.entries()) {
    const at = index * INSTRUCTION_BYTES;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, ifTrue);
    view.setUint8(at + 3, ifFalse);
    view.setUint32(at + 4, operand, true);
  }
  return bytes;
}
