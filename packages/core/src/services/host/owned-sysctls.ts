/**
 * Kernel settings that a daemon changes for as long as it runs. What they were is kept in a file, so that a start after a
 * kill -9 still knows, and the next ordinary end restores it.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { readSysctl, writeSysctl } from "../../platform/sysctl.ts";

export class OwnedSysctls {
  readonly #file: string;
  #originals: Record<string, string> = {};

  /** `file` remembers the values found. */
  constructor(file: string) {
    this.#file = file;
    if (existsSync(file)) this.#originals = JSON.parse(readFileSync(file, "utf8")) as Record<string, string>;
  }

  /** Settings this daemon holds now, with the values they had before. */
  get originals(): Readonly<Record<string, string>> {
    return this.#originals;
  }

  /**
   * Sets `name` to what `change` makes of its value. Returns false when this kernel has no such setting; throws an
   * AccessError when it may not be written.
   */
  set(name: string, change: (current: string) => string): boolean {
    const current = readSysctl(name);
    if (current === undefined) return false;
    const wanted = change(current);
    if (wanted === current) return true;
    if (!(name in this.#originals)) this.#remember({ ...this.#originals, [name]: current });
    writeSysctl(name, wanted);
    return true;
  }

  #remember(originals: Record<string, string>): void {
    this.#originals = originals;
    mkdirSync(dirname(this.#file), { recursive: true });
    writeFileSync(this.#file, JSON.stringify(originals));
  }

  /** Puts everything back. */
  restore(): void {
    for (const [name, value] of Object.entries(this.#originals)) writeSysctl(name, value);
    this.#originals = {};
    rmSync(this.#file, { force: true });
  }
}
