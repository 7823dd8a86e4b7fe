/** What the demo shows, as text. Pure: figures in, lines out. */
import type { AccessOptions } from "../lab/hybrid.ts";
import type { UplinkRates } from "../lab/link-meter.ts";
import type { Transfer, TransferDirection, TransferFamily } from "../lab/transfer.ts";
import { pluggedIn, UPLINKS, type UplinkName, type UplinkSetting } from "../lab/uplinks.ts";
import type { Paint } from "./style.ts";

const MEGABIT = 1_000_000;

/** How wide a bar of the live display is at most, in characters. */
const LIVE_WIDTH = 40;
const SHARE_WIDTH = 20;

const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

/** A bar of `width` characters, filled to `share` of it (0 to 1) in steps of an eighth of a character. */
export function bar(share: number, width: number): { readonly filled: string; readonly empty: string } {
  const eighths = Math.round(Math.min(1, Math.max(0, share)) * width * 8);
  const filled = "█".repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8];
  return { filled, empty: "░".repeat(width - filled.length) };
}

function megabits(bitsPerSecond: number): string {
  return (bitsPerSecond / MEGABIT).toFixed(1);
}

const SETTING_NAMES: Record<UplinkSetting, string> = {
  dsl: "DSL alone (LTE unplugged)",
  lte: "LTE alone (DSL unplugged)",
  both: "Both together",
};

const UPLINK_LABELS: Record<UplinkName, string> = { dsl: "DSL", lte: "LTE" };

/** What is going to happen. */
export function renderIntroduction(access: Readonly<Record<UplinkName, AccessOptions>>, paint: Paint): string[] {
  const links = UPLINKS.map((name) => {
    const { down, up } = access[name];
    const [downRate, upRate] = [down, up].map(({ rateBitsPerSecond = 0 }) => String(rateBitsPerSecond / MEGABIT));
    const roundTripMs = (down.delayMs ?? 0) + (up.delayMs ?? 0);
    const label = paint(name, UPLINK_LABELS[name]);
    return `  ${label}  ${downRate?.padStart(2)} Mbit/s down, ${upRate?.padStart(2)} up, ${roundTripMs} ms round trip`;
  });
  return [
    paint("bold", "Hybrid access: two access networks, one ordinary TCP connection over both at once"),
    "",
    "  curl ──TCP──▶ hcpe ══Multipath TCP over DSL and LTE══▶ hag ──TCP──▶ HTTP server",
    "",
    ...links,
    "",
    "curl and the server know nothing of Multipath TCP. hcpe and hag are the real daemons;",
    "hosts and routers are network namespaces, the two access links are emulated.",
  ];
}

export function renderHeading(uplinks: UplinkSetting, paint: Paint): string {
  return paint("bold", SETTING_NAMES[uplinks]);
}

/** A transfer in progress: what each uplink carries, headers included. */
export interface Progress {
  readonly uplinks: UplinkSetting;
  readonly family: TransferFamily;
  readonly direction: TransferDirection;
  readonly seconds: number;
  readonly expectedSeconds: number;
  readonly rates: UplinkRates;
  /** The raw rates of the links. */
  readonly capacities: UplinkRates;
}

/** For a terminal: one bar for each uplink, to one scale, each as long as its link is fast. */
export function renderLiveBars(progress: Progress, paint: Paint): string[] {
  const { uplinks, family, direction, seconds, expectedSeconds, rates, capacities } = progress;
  const widest = Math.max(...UPLINKS.map((uplink) => capacities[uplink]));
  const lines = UPLINKS.map((uplink) => {
    const label = `    ${UPLINK_LABELS[uplink]}  `;
    if (!pluggedIn(uplinks).includes(uplink)) return `${label}${paint("dim", "unplugged")}`;
    const capacity = capacities[uplink];
    const { filled, empty } = bar(rates[uplink] / capacity, Math.round((LIVE_WIDTH * capacity) / widest));
    const rate = `${megabits(rates[uplink]).padStart(5)} of ${capacity / MEGABIT} Mbit/s`;
    return `${label}${paint(uplink, filled)}${paint("dim", empty)} ${rate}`;
  });
  return [`  ${family} ${direction}, ${seconds.toFixed(0)} s of about ${expectedSeconds}`, ...lines];
}

/** For a log: one line. */
export function renderLiveLine({ uplinks, family, direction, seconds, rates, capacities }: Progress): string {
  const carried = pluggedIn(uplinks).map(
    (uplink) => `${UPLINK_LABELS[uplink]} ${megabits(rates[uplink])} of ${capacities[uplink] / MEGABIT}`,
  );
  return `    ${family} ${direction}, ${seconds.toFixed(0)} s: ${carried.join(" + ")} Mbit/s`;
}

/** One finished transfer. */
export function renderDone(
  { family, direction }: Pick<Progress, "family" | "direction">,
  { goodputBitsPerSecond, seconds }: Transfer,
): string {
  const name = `${family} ${direction}`.padEnd(13);
  return `  ${name}  ${megabits(goodputBitsPerSecond).padStart(5)} Mbit/s, ${seconds.toFixed(1)} s`;
}

/** A row of the table: what one family and direction reached, in bits per second. */
export interface Row {
  readonly family: TransferFamily;
  readonly direction: TransferDirection;
  readonly goodputs: Readonly<Record<UplinkSetting, number>>;
  readonly sumOfLinkRates: number;
}

export function shareOf({ goodputs, sumOfLinkRates }: Row): number {
  return goodputs.both / sumOfLinkRates;
}

const COLUMNS: readonly { readonly title: string; readonly of: (row: Row) => string }[] = [
  { title: "DSL alone", of: ({ goodputs }) => megabits(goodputs.dsl) },
  { title: "LTE alone", of: ({ goodputs }) => megabits(goodputs.lte) },
  { title: "both together", of: ({ goodputs }) => megabits(goodputs.both) },
  { title: "sum of links", of: ({ sumOfLinkRates }) => megabits(sumOfLinkRates) },
  { title: "share", of: (row) => shareOf(row).toFixed(3) },
];

/** The table at the end. `goal` is the share that must be reached. */
export function renderTable(rows: readonly Row[], goal: number, paint: Paint): string[] {
  const titles = COLUMNS.map(({ title }) => title).join("  ");
  return [
    `  ${paint("bold", `${"Mbit/s".padEnd(13)}  ${titles}`)}`,
    ...rows.map((row) => renderRow(row, goal, paint)),
    "",
    "Alone and together: goodput, payload over the time from curl's start to its end. Sum of links:",
    "what both links send, with the headers, which take about 5 % of a full packet; so 1 is out of reach.",
    rows.every((row) => shareOf(row) >= goal)
      ? `Goal: a share of ${goal} or more in every row. ${paint("good", "Reached.")}`
      : `Goal: a share of ${goal} or more in every row. ${paint("bad", "Not reached.")}`,
  ];
}

function renderRow(row: Row, goal: number, paint: Paint): string {
  const name = `${row.family} ${row.direction}`.padEnd(13);
  const cells = COLUMNS.map(({ title, of }) => of(row).padStart(title.length)).join("  ");
  const { filled, empty } = bar(shareOf(row), SHARE_WIDTH);
  const style = shareOf(row) >= goal ? "good" : "bad";
  return `  ${name}  ${cells}  ${paint(style, filled)}${paint("dim", empty)}`;
}

/** The same figures for programs: megabits per second, and the share. */
export function tableAsData(rows: readonly Row[], goal: number) {
  const rounded = (bitsPerSecond: number) => Math.round(bitsPerSecond / 10_000) / 100;
  return {
    rows: rows.map((row) => ({
      family: row.family,
      direction: row.direction,
      dslMegabitsPerSecond: rounded(row.goodputs.dsl),
      lteMegabitsPerSecond: rounded(row.goodputs.lte),
      bothMegabitsPerSecond: rounded(row.goodputs.both),
      sumOfLinkRatesMegabitsPerSecond: rounded(row.sumOfLinkRates),
      share: Math.round(shareOf(row) * 10_000) / 10_000,
      goal,
      met: shareOf(row) >= goal,
    })),
  };
}
