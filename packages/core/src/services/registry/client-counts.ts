/**
 * How many connections each client has at one node, as text: "KEY COUNT KEY COUNT ...". A key is the client's IPv4 address
 * or IPv6 /64 in 16 hexadecimal digits.
 */

/** Clients of one node that others hear of; those with most connections come first. */
export const MOST_CLIENTS = 4096;

const MOST_COUNT = 1_000_000;

export type ClientCounts = ReadonlyMap<string, number>;

export function encodeClientCounts(counts: ClientCounts): string {
  const most = Array.from(counts)
    .sort(([, left], [, right]) => right - left)
    .slice(0, MOST_CLIENTS);
  return most.flatMap(([key, count]) => [key, Math.min(count, MOST_COUNT)]).join(" ");
}

/** The counts in {@link encodeClientCounts}'s text; undefined for anything else. */
export function decodeClientCounts(text: string): ClientCounts | undefined {
  const counts = new Map<string, number>();
  if (text === "") return counts;
  const words = text.split(" ", 2 * MOST_CLIENTS + 1);
  if (words.length % 2 !== 0) return undefined;
  for (let index = 0; index < words.length; index += 2) {
    const [key = "", count = ""] = [words[index], words[index + 1]];
    if (!/^[0-9a-f]{16}$/.test(key) || !/^\d{1,7}$/.test(count) || Number(count) > MOST_COUNT) return undefined;
    counts.set(key, Number(count));
  }
  return counts;
}
