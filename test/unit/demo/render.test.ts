import { expect } from "chai";
import {
  bar,
  type Progress,
  type Row,
  renderLiveBars,
  renderLiveLine,
  renderTable,
  tableAsData,
} from "../../demo/render.ts";
import { coloured, paintFor, uncoloured } from "../../demo/style.ts";

const MEGABIT = 1_000_000;

function row(direction: Row["direction"], both: number, sumOfLinkRates: number): Row {
  const goodputs = { dsl: 4.7 * MEGABIT, lte: 28.04 * MEGABIT, both: both * MEGABIT };
  return { family: "IPv4", direction, goodputs, sumOfLinkRates: sumOfLinkRates * MEGABIT };
}

const PROGRESS: Progress = {
  uplinks: "both",
  family: "IPv6",
  direction: "download",
  seconds: 4.2,
  expectedSeconds: 15,
  rates: { dsl: 10 * MEGABIT, lte: 30 * MEGABIT },
  capacities: { dsl: 20 * MEGABIT, lte: 30 * MEGABIT },
};

/** The figures of a table's row, by column. */
function cells(line: string | undefined): string[] {
  return (line ?? "").trim().split(/ {2,}/);
}

describe("demo/render", () => {
  it("draws bars in eighths of a character, of one width whatever the share", () => {
    expect(bar(0.5, 4)).to.deep.equal({ filled: "██", empty: "░░" });
    expect(bar(5 / 32, 4)).to.deep.equal({ filled: "▋", empty: "░░░" });
    for (const share of [-1, 0, 0.01, 0.333, 0.99, 1, 7]) {
      const { filled, empty } = bar(share, 10);
      expect(filled.length + empty.length, `share ${share}`).to.equal(10);
    }
  });

  it("has one row for each case, with every figure under its title", () => {
    const [titles, first, second] = renderTable(
      [row("download", 46.56, 50), row("upload", 13.5, 15)],
      0.92,
      uncoloured,
    );
    expect(cells(titles)).to.deep.equal(["Mbit/s", "DSL alone", "LTE alone", "both together", "sum of links", "share"]);
    expect(cells(first).slice(0, 6)).to.deep.equal(["IPv4 download", "4.7", "28.0", "46.6", "50.0", "0.931"]);
    expect(cells(second).slice(0, 6)).to.deep.equal(["IPv4 upload", "4.7", "28.0", "13.5", "15.0", "0.900"]);
    expect(first?.indexOf("0.931")).to.equal(second?.indexOf("0.900"));
  });

  it("says that the goal is reached only when every row reaches it", () => {
    const good = row("download", 46, 50);
    const bad = row("upload", 13.7, 15);
    expect(renderTable([good, good], 0.92, uncoloured).at(-1)).to.contain("Reached.");
    expect(renderTable([good, bad], 0.92, uncoloured).at(-1)).to.contain("Not reached.");
    expect(tableAsData([good, bad], 0.92).rows.map(({ met }) => met)).to.deep.equal([true, false]);
  });

  it("gives programs the table's figures in Mbit/s", () => {
    expect(tableAsData([row("download", 46.561, 50)], 0.92).rows).to.deep.equal([
      {
        family: "IPv4",
        direction: "download",
        dslMegabitsPerSecond: 4.7,
        lteMegabitsPerSecond: 28.04,
        bothMegabitsPerSecond: 46.56,
        sumOfLinkRatesMegabitsPerSecond: 50,
        share: 0.9312,
        goal: 0.92,
        met: true,
      },
    ]);
  });

  it("draws an uplink's live bar as long as its link is fast, and as full as it is used", () => {
    const [, dsl, lte] = renderLiveBars(PROGRESS, uncoloured);
    expect(dsl).to.match(/DSL {2}█{13}▌░{13} {2}10\.0 of 20 Mbit\/s$/);
    expect(lte).to.match(/LTE {2}█{40} {2}30\.0 of 30 Mbit\/s$/);
  });

  it("shows an unplugged uplink as unplugged, and leaves it out of the log", () => {
    const alone: Progress = { ...PROGRESS, uplinks: "lte" };
    expect(renderLiveBars(alone, uncoloured)[1]).to.contain("unplugged");
    expect(renderLiveLine(alone)).to.equal("    IPv6 download, 4 s: LTE 30.0 of 30 Mbit/s");
    expect(renderLiveLine(PROGRESS)).to.equal("    IPv6 download, 4 s: DSL 10.0 of 20 + LTE 30.0 of 30 Mbit/s");
  });

  it("uses colours on a terminal only, and not when NO_COLOR is set", () => {
    expect(paintFor(true, {})).to.equal(coloured);
    expect(paintFor(true, { NO_COLOR: "1" })).to.equal(uncoloured);
    expect(paintFor(true, { TERM: "dumb" })).to.equal(uncoloured);
    expect(paintFor(false, {})).to.equal(uncoloured);
    const colour = "\x1b[";
    expect(renderTable([row("download", 46, 50)], 0.92, coloured).join("")).to.contain(colour);
    expect(renderTable([row("download", 46, 50)], 0.92, uncoloured).join("")).not.to.contain(colour);
  });
});
