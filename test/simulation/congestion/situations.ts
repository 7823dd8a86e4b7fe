/**
 * What tells coupled congestion control from uncoupled, as in CONEXT12, CONEXT13 and PaaschPhD (RFC 8041 section 3.2).
 * Every situation is measured with one congestion control for the Multipath TCP connections, and NewReno for the plain
 * TCP beside them: CUBIC beside CUBIC.
 */
import type { CongestionAlgorithm } from "@hybrid-access/core/policy/congestion/congestion";
import { CUBIC } from "@hybrid-access/core/policy/congestion/cubic";
import { NEW_RENO } from "@hybrid-access/core/policy/congestion/new-reno";
import { Contest, type Line, type Sender } from "./contest.ts";

/** What plain TCP uses beside an algorithm. */
function plainOf(congestion: CongestionAlgorithm): CongestionAlgorithm {
  return congestion === CUBIC ? CUBIC : NEW_RENO;
}

/** The queue takes `roundTrips` of what is on the line. */
function line(megabits: number, roundTripMs: number, roundTrips = 1): Line {
  const rateBitsPerSecond = megabits * 1e6;
  return { rateBitsPerSecond, roundTripMs, queueBytes: (roundTrips * rateBitsPerSecond * roundTripMs) / 8000 };
}

/** For how long, in virtual time; the first part is not counted. */
export interface Duration {
  readonly settleMs: number;
  readonly measureMs: number;
}

function measured(lines: readonly Line[], senders: readonly Sender[], seed: number, duration: Duration) {
  const { settleMs, measureMs } = duration;
  const contest = new Contest({ lines, senders, seed });
  return { contest, megabits: contest.measure(settleMs, settleMs + measureMs) };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** The line that a connection with two subflows shares with one TCP. */
export const SHARED_LINE = line(10, 40);

/** How many times as much as the TCP the connection gets: 1 is fair, two TCPs would get 2. */
export function sharedBottleneck(congestion: CongestionAlgorithm, seed: number, duration: Duration): number {
  const senders = [
    { congestion, lines: [0, 0] },
    { congestion: plainOf(congestion), lines: [0] },
  ];
  const [multipath = 0, plain = 0] = measured([SHARED_LINE], senders, seed, duration).megabits;
  return multipath / plain;
}

/** As DSL and LTE; nobody else is there. */
export const DISJOINT_LINES = [line(8, 20), line(12, 50)] as const;
/** The same, with a cellular line's jitter. */
export const JITTERY_LINES = [DISJOINT_LINES[0], { ...DISJOINT_LINES[1], jitterMs: 20 }] as const;
/** The same, with queues of a quarter of what is on the line. */
export const SHALLOW_LINES = [line(8, 20, 0.25), line(12, 50, 0.25)] as const;
/** The same, losing one packet in a thousand. */
export const LOSSY_LINES = DISJOINT_LINES.map((each) => ({ ...each, loss: 0.001 }));

/** The share of the sum of the lines' rates that one connection gets over two of its own. */
export function disjointPaths(
  congestion: CongestionAlgorithm,
  seed: number,
  duration: Duration,
  lines: readonly Line[] = DISJOINT_LINES,
): number {
  const { megabits } = measured(lines, [{ congestion, lines: [0, 1] }], seed, duration);
  return sum(megabits) / sum(lines.map(({ rateBitsPerSecond }) => rateBitsPerSecond / 1e6));
}

/** Of each kind, in scenario C of CONEXT12. */
const USERS = 5;
/** Their own lines together, and the one that all share: 2 Mbit/s for each user. */
export const SCENARIO_C_LINES = [line(2 * USERS, 80), line(2 * USERS, 80)] as const;

/**
 * Scenario C of CONEXT12: multipath users have a line, and share another one with as many users of plain TCP. What they take
 * of that only takes it from these. The goodput of all users of either kind, as a share of a line.
 */
export function scenarioC(congestion: CongestionAlgorithm, seed: number, duration: Duration) {
  const users = (sender: Sender) => Array.from({ length: USERS }, () => sender);
  const senders = [...users({ congestion, lines: [0, 1] }), ...users({ congestion: plainOf(congestion), lines: [1] })];
  const { megabits } = measured(SCENARIO_C_LINES, senders, seed, duration);
  return { multipath: sum(megabits.slice(0, USERS)) / (2 * USERS), plain: sum(megabits.slice(USERS)) / (2 * USERS) };
}

const RELEASED_AT_MS = 15_000;
const RELEASE_LIMIT_MS = 60_000;
const LOOK_MS = 250;
const LOOKS_PER_SECOND = 1000 / LOOK_MS;

/**
 * Responsiveness: four TCPs fill the second line and end all at once. Seconds until the connection has had four fifths of
 * both lines for a second.
 */
export function releasedLine(congestion: CongestionAlgorithm, seed: number): number {
  const plain = { congestion: plainOf(congestion), lines: [1], untilMs: RELEASED_AT_MS };
  const senders = [{ congestion, lines: [0, 1], fromMs: 0 }, plain, plain, plain, plain];
  const contest = new Contest({ lines: DISJOINT_LINES, senders, seed });
  const wanted = 0.8 * sum(DISJOINT_LINES.map(({ rateBitsPerSecond }) => rateBitsPerSecond / 1e6));
  const looks: number[] = [];
  for (let nowMs = RELEASED_AT_MS; nowMs < RELEASED_AT_MS + RELEASE_LIMIT_MS; nowMs += LOOK_MS) {
    looks.push(contest.measure(nowMs, nowMs + LOOK_MS)[0] ?? 0);
    const last = looks.slice(-LOOKS_PER_SECOND);
    if (last.length === LOOKS_PER_SECOND && sum(last) / LOOKS_PER_SECOND >= wanted) break;
  }
  return (looks.length * LOOK_MS) / 1000;
}

/** Oscillation: how much the goodput of each second on a shared bottleneck differs from the mean, as a share of it. */
export function oscillation(congestion: CongestionAlgorithm, seed: number, duration: Duration): number {
  const senders = [
    { congestion, lines: [0, 0] },
    { congestion: plainOf(congestion), lines: [0] },
  ];
  const contest = new Contest({ lines: [SHARED_LINE], senders, seed });
  const { settleMs, measureMs } = duration;
  const seconds: number[] = [];
  for (let nowMs = settleMs; nowMs < settleMs + measureMs; nowMs += 1000) {
    seconds.push(contest.measure(nowMs, nowMs + 1000)[0] ?? 0);
  }
  const mean = sum(seconds) / seconds.length;
  return Math.sqrt(sum(seconds.map((value) => (value - mean) ** 2)) / seconds.length) / mean;
}
