/** A YAML file that knows where in it everything stands. */
import { readFileSync } from "node:fs";
import { isMap, isNode, isScalar, isSeq, LineCounter, type Node, parseDocument, type Scalar } from "yaml";
import { describeError } from "../../base/error.ts";
import { ConfigError, type ConfigIssue, type Place, placeOutsideFile } from "./config-error.ts";
import type { Path } from "./formats.ts";

/** The YAML file, with the place of every value in it. */
export class SourceFile {
  readonly issues: ConfigIssue[] = [];
  readonly content: Record<string, unknown> = {};
  /** False when the file is no YAML: then what it lacks cannot be told. */
  readonly readable: boolean;
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly #root: Node | null = null;

  constructor(file: string) {
    this.#file = file;
    const text = this.#readText();
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false });
    for (const { code, message, pos } of document.errors) {
      const [key = ""] = code === "DUPLICATE_KEY" ? (/^[^\s:,{}]+/.exec(text.slice(pos[0])) ?? []) : [];
      this.issues.push({ key, message: key === "" ? message : "stands here a second time", place: this.#at(pos[0]) });
    }
    this.readable = document.errors.every(({ code }) => code === "DUPLICATE_KEY");
    this.#root = document.contents;
    const value: unknown = this.readable ? document.toJS() : null;
    if (value === null) return;
    if (typeof value === "object" && !Array.isArray(value)) {
      this.content = value as Record<string, unknown>;
    } else {
      this.readable = false;
      this.issues.push({ key: "", message: "expected a mapping of settings", place: this.#at(0) });
    }
  }

  #readText(): string {
    try {
      return readFileSync(this.#file, "utf8");
    } catch (error) {
      const message = `cannot be read: ${describeError(error)}`;
      throw new ConfigError([{ key: "", message, place: placeOutsideFile(this.#file) }]);
    }
  }

  #at(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset);
    return { text: `${this.#file}:${line}:${col}`, offset };
  }

  /** The place of the value at `path`, or of the nearest collection around it. */
  place(path: Path): Place {
    let node: unknown = this.#root;
    let offset = 0;
    for (const step of path) {
      const next = valueIn(node, step);
      if (next === undefined) break;
      node = next;
      offset = next.range?.[0] ?? offset;
    }
    return this.#at(offset);
  }

  /** The place of the key at `path` itself. */
  placeOfKey(path: Path): Place {
    const parent = path.slice(0, -1).reduce<unknown>((node, step) => valueIn(node, step), this.#root);
    const key = pairIn(parent, path.at(-1))?.key;
    return key === undefined ? this.place(path) : this.#at(key.range?.[0] ?? 0);
  }
}

/** The last pair with this key: of a key that stands twice, the later value counts. */
function pairIn(node: unknown, name: unknown): { key: Scalar; value: unknown } | undefined {
  if (!isMap(node)) return undefined;
  const pair = node.items.findLast(({ key }) => isScalar(key) && key.value === name);
  return pair === undefined ? undefined : { key: pair.key as Scalar, value: pair.value };
}

function valueIn(node: unknown, step: string | number): Node | undefined {
  const value = isSeq(node) ? node.items[Number(step)] : pairIn(node, step)?.value;
  return isNode(value) ? value : undefined;
}
