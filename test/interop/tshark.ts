/** Wireshark's dissectors as an independent reader of what we write. */
import { execFileSync } from "node:child_process";

/** Fields of a packet by tshark's names, each with all of its values in the packet, joined by ",". */
export type DissectedPacket = Readonly<Record<string, string>>;

/** Verifies checksums, which tshark leaves to the network card by default. */
const PREFERENCES = ["ip.check_checksum:TRUE", "tcp.check_checksum:TRUE", "tcp.relative_sequence_numbers:FALSE"];

/** Where tshark finds fault: a dissector that ran out of bytes, expert information of severity "error", a checksum. */
const FAULTS = [
  "_ws.malformed",
  "_ws.expert.severity == error",
  "tcp.checksum.status == 0",
  "ip.checksum.status == 0",
].join(" || ");

function tshark(args: readonly string[]): string[] {
  const options = PREFERENCES.flatMap((preference) => ["-o", preference]);
  // As root, tshark warns on standard error.
  const output = execFileSync("tshark", ["-n", ...options, ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  return output.split("\n").slice(0, -1);
}

/** These fields of every packet of a capture file, in order. */
export function dissect(file: string, fields: readonly string[]): DissectedPacket[] {
  const lines = tshark(["-r", file, "-T", "fields", "-E", "separator=|", ...fields.flatMap((field) => ["-e", field])]);
  return lines.map((line) => {
    const values = line.split("|");
    return Object.fromEntries(fields.map((field, index) => [field, values[index] ?? ""]));
  });
}

/** One line for each packet that a display filter lets through. */
function matching(file: string, filter: string): string[] {
  const shown = ["frame.number", "_ws.col.Info", "_ws.expert.message"];
  return tshark(["-r", file, "-Y", filter, "-T", "fields", ...shown.flatMap((field) => ["-e", field])]);
}

/** One line for each packet that tshark finds fault with. */
export function faults(file: string): string[] {
  return matching(file, FAULTS);
}

/** One line for each third ACK whose keys are not those of the SYN/ACK; of whole handshakes only. */
export function keyMismatches(file: string): string[] {
  return matching(file, "mptcp.connection.echoed_key_mismatch");
}
