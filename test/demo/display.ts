/** Where the demo's lines go: a terminal with a part that is drawn again and again, or a log that only grows. */
import type { WriteStream } from "node:tty";
import { type Progress, renderLiveBars, renderLiveLine } from "./render.ts";
import { type Paint, paintFor } from "./style.ts";

export interface Display {
  readonly paint: Paint;
  /** How often {@link live} is worth calling. */
  readonly intervalMs: number;
  /** Lines that stay. They take the place of the live part. */
  print(...lines: string[]): void;
  live(progress: Progress): void;
}

type Output = Pick<WriteStream, "write" | "isTTY">;

/** The display that suits `output`. */
export function displayFor(output: Output, environment: NodeJS.ProcessEnv): Display {
  const isTerminal = output.isTTY === true && environment.TERM !== "dumb";
  const paint = paintFor(isTerminal, environment);
  return isTerminal ? new TerminalDisplay(output, paint) : new LogDisplay(output, paint);
}

class TerminalDisplay implements Display {
  readonly paint: Paint;
  readonly intervalMs = 500;
  readonly #output: Output;
  #liveLines = 0;

  constructor(output: Output, paint: Paint) {
    this.#output = output;
    this.paint = paint;
  }

  print(...lines: string[]): void {
    this.#output.write(`${this.#erase()}${lines.map((line) => `${line}\n`).join("")}`);
    this.#liveLines = 0;
  }

  live(progress: Progress): void {
    const lines = renderLiveBars(progress, this.paint);
    this.#output.write(`${this.#erase()}${lines.map((line) => `${line}\n`).join("")}`);
    this.#liveLines = lines.length;
  }

  /** Back to the first live line, and everything from there cleared. */
  #erase(): string {
    return this.#liveLines === 0 ? "" : `\x1b[${this.#liveLines}A\r\x1b[J`;
  }
}

class LogDisplay implements Display {
  readonly paint: Paint;
  readonly intervalMs = 3000;
  readonly #output: Output;

  constructor(output: Output, paint: Paint) {
    this.#output = output;
    this.paint = paint;
  }

  print(...lines: string[]): void {
    this.#output.write(lines.map((line) => `${line}\n`).join(""));
  }

  live(progress: Progress): void {
    this.#output.write(`${renderLiveLine(progress)}\n`);
  }
}
