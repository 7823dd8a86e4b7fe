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
    const former = this.#originals;
    if (!(name in former)) this.#remember({ ...former, [name]: current });
    try {
      writeSysctl(name, wanted);
    } catch (error) {
      // What was not changed is not to be put back.
      this.#remember(former);
      throw error;
    }
    return true;
  }

  #remember(originals: Record<string, string>): void {
    this.#originals = originals;
    mkdirSync(dirname(this.#file), { recursive: true });
    writeFileSync(this.#file, JSON.stringify(originals));
  }

  /** Puts everything back. What may not be written stays remembered; throws the first AccessError then. */
  restore(): void {
    const failures = Object.entries(this.#originals).flatMap(([name, value]) => {
      try {
        writeSysctl(name, value);
        return [];
      } catch (error) {
        return [{ name, value, error }];
      }
    });
    if (failures.length > 0) {
      this.#remember(Object.fromEntries(failures.map(({ name, value }) => [name, value])));
      throw failures[0]?.error;
    }
    this.#originals = {};
    rmSync(this.#file, { force: true });
  }
}
