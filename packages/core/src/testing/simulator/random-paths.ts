/** Paths as chance will have them, between one host with an address on each and one host with one address of each family. */
import { formatIpAddress, type IpAddress, ipAddress } from "../../base/ip-address.ts";
import { type Random, randomBelow } from "../../base/random.ts";
import type { LinkOptions } from "../link.ts";
import type { BoxPlan } from "../middlebox/box-plan.ts";
import type { PathPlan } from "./simulator.ts";

/** The addresses of the far host, the same over every path. */
export const FAR_ADDRESSES = { ipv4: ipAddress("203.0.113.1"), ipv6: ipAddress("2001:db8:f::1") } as const;

/** The near host's addresses on path number `index`, and what a NAT makes of the IPv4 one. */
export function nearAddresses(index: number): Readonly<Record<"ipv4" | "ipv6" | "translated", IpAddress>> {
  return {
    ipv4: ipAddress(`10.1.${index}.2`),
    ipv6: ipAddress(`2001:db8:${index}::2`),
    translated: ipAddress(`198.51.100.${index}`),
  };
}

/** What a payload modifier looks for: in ASCII, so that bytes above 0x7f are left alone. */
export const MODIFIED_TEXT = Uint8Array.from([0x50, 0x4f, 0x52, 0x54]);

const MOST_PATHS = 3;
const LONGEST_TRACE = 40;

export interface RandomPathsOptions {
  readonly near: string;
  readonly far: string;
}

/** One to three paths, called "path1" and so on. The worst of them pass hardly anything: see who survives. */
export function randomPaths(random: Random, { near, far }: RandomPathsOptions): Readonly<Record<string, PathPlan>> {
  const count = 1 + randomBelow(random, MOST_PATHS);
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  return Object.fromEntries(numbers.map((number) => [`path${number}`, randomPath(random, near, far, number)]));
}

function randomPath(random: Random, near: string, far: string, number: number): PathPlan {
  const { ipv4, ipv6, translated } = nearAddresses(number);
  const boxes = randomBoxes(random, translated);
  const hasNat = boxes.some(({ box }) => box === "nat");
  return {
    near: { host: near, addresses: [ipv4, ipv6], reachedAs: hasNat ? [translated, ipv6] : [ipv4, ipv6] },
    far: { host: far, addresses: [FAR_ADDRESSES.ipv4, FAR_ADDRESSES.ipv6] },
    forward: randomLink(random),
    backward: randomLink(random),
    boxes,
  };
}

/** A number from `least` to `most`, small ones as likely as large ones in proportion. */
function spread(random: Random, least: number, most: number): number {
  return Math.round(least * (most / least) ** random.next());
}

function chance(random: Random, share: number): boolean {
  return random.next() < share;
}

export function randomLink(random: Random): LinkOptions {
  return {
    ...(chance(random, 0.15) ? { trace: randomTrace(random) } : { rateBitsPerSecond: spread(random, 500_000, 1e8) }),
    queueBytes: spread(random, 8_000, 500_000),
    delayMs: spread(random, 1, 150),
    ...(chance(random, 0.4) && { jitterMs: spread(random, 1, 30) }),
    ...(chance(random, 0.4) && { loss: 0.05 * random.next() }),
    ...(chance(random, 0.15) && { burstLoss: { enter: 0.01 * random.next(), leave: 0.1 + 0.4 * random.next() } }),
    ...(chance(random, 0.25) && { reorder: 0.05 * random.next(), reorderMs: spread(random, 1, 60) }),
    ...(chance(random, 0.2) && { duplicate: 0.02 * random.next() }),
    ...(chance(random, 0.2) && { corrupt: 0.02 * random.next() }),
  };
}

/** Opportunities in bunches with gaps between them, as radio links have them: about 0.2 to 20 Mbit/s. */
function randomTrace(random: Random): number[] {
  let timeMs = 0;
  return Array.from({ length: LONGEST_TRACE }, () => {
    timeMs += chance(random, 0.1) ? 1 + randomBelow(random, 200) : randomBelow(random, 3);
    return timeMs + 1;
  });
}

/** Each kind of box with its share of the paths; most paths have none or one. */
function randomBoxes(random: Random, translated: IpAddress): BoxPlan[] {
  return BOX_CHANCES.flatMap(([share, make]) => (chance(random, share) ? [make(random, translated)] : []));
}

type MakePlan = (random: Random, translated: IpAddress) => BoxPlan;

/** From the near end to the far one. */
const BOX_CHANCES: readonly (readonly [number, MakePlan])[] = [
  [0.1, randomSplitter],
  [0.1, randomMtuLimit],
  [0.3, (_random, address) => ({ box: "nat", address })],
  [0.1, (random) => ({ box: "firewall", refusal: chance(random, 0.5) ? "reset" : "drop" })],
  [0.1, (random) => ({ box: "sequenceRewriter", rewritesSack: chance(random, 0.7) })],
  [0.05, (random) => ({ box: "coalescer", mostBytes: spread(random, 1400, 20_000), waitMs: spread(random, 1, 20) })],
  [0.1, randomStripper],
  [0.05, randomModifier],
  [0.03, () => ({ box: "earlyAcker" })],
  [0.03, () => ({ box: "synDropper" })],
];

function randomSplitter(random: Random): BoxPlan {
  const mostBytes = spread(random, 100, 1400);
  return { box: "splitter", mostBytes, options: chance(random, 0.7) ? "copied" : "firstOnly" };
}

function randomMtuLimit(random: Random): BoxPlan {
  const routers = { ipv4: ipAddress("192.0.2.254"), ipv6: ipAddress("2001:db8:e::1") };
  return { box: "mtuLimit", mtuBytes: spread(random, 1280, 1500), ...(chance(random, 0.7) && { routers }) };
}

function randomStripper(random: Random): BoxPlan {
  const kinds = (["syn", "synAck", "thirdAck", "data", "ack"] as const).filter(() => chance(random, 0.4));
  const options = chance(random, 0.7) ? (["multipath"] as const) : (["timestamps", "sackPermitted"] as const);
  return {
    box: "optionStripper",
    options,
    ...(kinds.length > 0 && { from: kinds }),
    ...(chance(random, 0.5) && { direction: chance(random, 0.5) ? "forward" : "backward" }),
  };
}

function randomModifier(random: Random): BoxPlan {
  const replacement = Uint8Array.from({ length: spread(random, 1, 12) }, () => 0x58);
  return { box: "payloadModifier", find: MODIFIED_TEXT, replacement };
}

/** One line for each path, to be read beside a failing run. */
export function describePaths(paths: Readonly<Record<string, PathPlan>>): string {
  return Object.entries(paths)
    .map(([name, { forward, backward, boxes }]) => `${name}: ${JSON.stringify({ forward, backward, boxes }, shown)}`)
    .join("\n");
}

function shown(_key: string, value: unknown): unknown {
  if (!(value instanceof Uint8Array)) return value;
  return value.length === 16 ? formatIpAddress(value as IpAddress) : Array.from(value);
}
