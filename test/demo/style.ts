/** Colours for terminals that want them. */

export type Style = "plain" | "bold" | "dim" | "dsl" | "lte" | "good" | "bad";

/** Gives a text its style, or leaves it as it is. */
export type Paint = (style: Style, text: string) => string;

const CODES: Record<Exclude<Style, "plain">, string> = {
  bold: "1",
  dim: "2",
  dsl: "36",
  lte: "35",
  good: "32",
  bad: "31",
};

export const uncoloured: Paint = (_, text) => text;

export const coloured: Paint = (style, text) => (style === "plain" ? text : `\x1b[${CODES[style]}m${text}\x1b[0m`);

/** No colours but on a terminal, and none there when NO_COLOR is set (no-color.org). */
export function paintFor(isTerminal: boolean, environment: NodeJS.ProcessEnv): Paint {
  return isTerminal && !environment.NO_COLOR && environment.TERM !== "dumb" ? coloured : uncoloured;
}
