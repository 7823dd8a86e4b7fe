/** Wireshark's dissectors as an independent reader of what we write. */
import { execFileSync } from "node:child_process";

/** Fields of a packet by tshark's names, each with all of its values in the packet, joined by ",". */
export type DissectedPacket = Readonly<Record<string, string>>;

/** Verifies checksums, which tshark leaves to the network card by default. */
const PREFERENCES = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "tcp.relative_sequence_numbers:FALSE"];

const MOST_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Payload is left alone: a pattern of bytes looks like some protocol or other now and then. */
const DECODE_AS = ["-d", "tcp.port==1-65535,data"];

/** Where tshark finds fault: a dissector that ran out of bytes, expert information of severity "error", a checksum. */
const FAULTS = ["_ws.malformed", "_ws.expert.severity == error", "tcp.checksum.status == 0", "ip.checksum.status == 0"];
/** In a whole handshake: keys in the third ACK that are not those of the SYN/ACK. */
export const KEY_MISMATCH = "mptcp.connection.echoed_key_mismatch";

function tshark(args: readonly string[]): string[] {
  const options = PREFERENCES.flatMap((preference) => ["-o", preference]);
  // As root, tshark warns on standard error.
  const output = execFileSync("tshark", ["-n", ...DECODE_AS, ...options, ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: MOST_OUTPUT_BYTES,
  });
  return output.split("\n").slice(0, -1);
}

/** These fields of every packet of a capture file that a display filter lets through, in order. */
export function dissect(file: string, fields: readonly string[], filter = "frame"): DissectedPacket[] {
  const lines = tshark([
    "-r",
    file,
    "-Y",
    filter,
    "-T",
    "fields",
    "-E",
    "separator=|",
    ...fields.flatMap((field) => ["-e", field]),
  ]);
  return lines.map((line) => {
    const values = line.split("|");
    return Object.fromEntries(fields.map((field, index) => [field, values[index] ?? ""]));
  });
}

/** One line for each packet that tshark finds fault with, or that one of these display filters lets through. */
export function faults(file: string, filters: readonly string[] = []): string[] {
  const filter = [...FAULTS, ...filters].join(" || ");
  const shown = ["frame.number", "_ws.col.Info", "_ws.expert.message"];
  return tshark(["-r", file, "-Y", filter, "-T", "fields", ...shown.flatMap((field) => ["-e", field])]);
}
