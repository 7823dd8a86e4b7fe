/**
 * Configuration: defaults, then the YAML file, then the environment, then flags; merged by convict, checked by formats.ts.
 * Every error is found in one pass, with its place in the file.
 */
import { readFileSync } from "node:fs";
import convict from "convict";
import { isCollection, isScalar, LineCounter, type Node, parseDocument, parse as parseYaml } from "yaml";
import { AccessError, describeError } from "../../base/error.ts";
import { type Format, type Path, unknownKey } from "./formats.ts";

/** One setting. Without a default it is required. */
export interface Setting<Value> {
  readonly doc: string;
  readonly format: Format<Value>;
  /** As it would stand in the file. */
  readonly default?: unknown;
}

/** Settings by name, in groups. */
export interface Schema {
  readonly [name: string]: Setting<unknown> | Schema;
}

/** The configuration that a schema describes. */
export type Config<Of> = {
  readonly [Name in keyof Of]: Of[Name] extends Setting<infer Value> ? Value : Config<Of[Name]>;
};

export interface ConfigIssue {
  /** "uplinks[1].cost". */
  readonly key: string;
  readonly message: string;
  /** "hcpe.yaml:12:3", "environment HCPE_WORKERS", "flag --workers". */
  readonly place: string;
}

/** The configuration cannot be used; `issues` has everything that is wrong with it. */
export class ConfigError extends AccessError {
  readonly issues: readonly ConfigIssue[];

  constructor(issues: readonly ConfigIssue[]) {
    const lines = issues.map(({ key, message, place }) => `${place}: ${key === "" ? "" : `${key}: `}${message}`);
    super("CONFIG_INVALID", "configuration", lines.join("\n"));
    this.name = "ConfigError";
    this.issues = issues;
  }
}

export interface LoadOptions<Of extends Schema> {
  readonly schema: Of;
  readonly file: string;
  /** A setting a.b is read from PREFIX_A_B; lists and mappings as YAML. */
  readonly environmentPrefix: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** "a.b=value" settings from the command line. */
  readonly overrides: readonly string[];
}

/** Loads and checks the configuration. Throws a {@link ConfigError}. */
export function loadConfig<Of extends Schema>(options: LoadOptions<Of>): Config<Of> {
  const source = new SourceFile(options.file);
  const settings = flatten(options.schema, []);
  const issues: ConfigIssue[] = [...source.issues];
  reportUnknownKeys(options.schema, source, [], source.content, issues);
  const overrides = readOverrides(options.overrides, settings, issues);
  const merged: MergedSettings = convict(convictSchema(options), {
    env: definedOnly(options.environment),
    args: overrides.map(([key, value]) => `--${key}=${value}`),
  });
  merged.load(source.content);
  const parsed = settings.map(({ path, setting }) => {
    const key = path.join(".");
    const origin = originOf(options, overrides, path);
    const raw = merged.has(key) ? merged.get(key) : undefined;
    return [path, parseSetting(setting, raw, path, origin, source, issues)] as const;
  });
  if (issues.length > 0) throw new ConfigError(issues);
  return nest(parsed) as Config<Of>;
}

/** What is used of convict: its own type wants to know every key at compile time. */
interface MergedSettings {
  load(content: unknown): unknown;
  has(key: string): boolean;
  get(key: string): unknown;
}

/** The YAML file, with the place of every value in it. */
class SourceFile {
  readonly issues: ConfigIssue[] = [];
  readonly content: Record<string, unknown> = {};
  readonly #file: string;
  readonly #lines = new LineCounter();
  readonly #root: Node | null = null;

  constructor(file: string) {
    this.#file = file;
    const document = parseDocument(this.#readText(), { lineCounter: this.#lines });
    for (const error of document.errors) {
      this.issues.push({ key: "", message: error.message.split("\n")[0] ?? "", place: this.#at(error.pos[0]) });
    }
    this.#root = document.contents;
    const value: unknown = document.errors.length === 0 ? document.toJS() : {};
    if (value === null) return;
    if (typeof value === "object" && !Array.isArray(value)) this.content = value as Record<string, unknown>;
    else this.issues.push({ key: "", message: "expected a mapping of settings", place: this.#at(0) });
  }

  #readText(): string {
    try {
      return readFileSync(this.#file, "utf8");
    } catch (error) {
      throw new ConfigError([{ key: "", message: describeError(error), place: this.#file }]);
    }
  }

  #at(offset: number): string {
    const { line, col } = this.#lines.linePos(offset);
    return `${this.#file}:${line}:${col}`;
  }

  /** The place of the value at `path`, or of the nearest collection around it. */
  place(path: Path): string {
    let node: unknown = this.#root;
    let offset = 0;
    for (const step of path) {
      if (!isCollection(node)) break;
      const next: unknown = node.get(step, true);
      if (next === undefined || next === null) break;
      node = next;
      if (isScalar(node) || isCollection(node)) offset = node.range?.[0] ?? offset;
    }
    return this.#at(offset);
  }

  /** The place of the key at `path` itself. */
  placeOfKey(path: Path): string {
    const name = path.at(-1);
    const parent = path.length === 1 ? this.#root : this.#nodeAt(path.slice(0, -1));
    if (isCollection(parent)) {
      for (const item of parent.items as { key?: unknown }[]) {
        if (isScalar(item.key) && item.key.value === name) return this.#at(item.key.range?.[0] ?? 0);
      }
    }
    return this.place(path);
  }

  #nodeAt(path: Path): unknown {
    return isCollection(this.#root) ? this.#root.getIn(path, true) : undefined;
  }
}

function isSetting(entry: Setting<unknown> | Schema | undefined): entry is Setting<unknown> {
  return entry !== undefined && typeof entry.doc === "string";
}

function flatten(schema: Schema, path: readonly string[]): { path: readonly string[]; setting: Setting<unknown> }[] {
  return Object.entries(schema).flatMap(([name, entry]) =>
    isSetting(entry) ? [{ path: [...path, name], setting: entry }] : flatten(entry, [...path, name]),
  );
}

function reportUnknownKeys(
  schema: Schema,
  source: SourceFile,
  path: readonly string[],
  content: Record<string, unknown>,
  issues: ConfigIssue[],
): void {
  for (const [name, value] of Object.entries(content)) {
    const entry = Object.hasOwn(schema, name) ? schema[name] : undefined;
    const here = [...path, name];
    if (entry === undefined) {
      issues.push({
        key: here.join("."),
        message: unknownKey(name, Object.keys(schema)),
        place: source.placeOfKey(here),
      });
    } else if (!isSetting(entry)) {
      if (value !== null && typeof value === "object" && !Array.isArray(value)) {
        reportUnknownKeys(entry, source, here, value as Record<string, unknown>, issues);
      } else {
        const message = `expected a mapping of ${Object.keys(entry).join(", ")}`;
        issues.push({ key: here.join("."), message, place: source.place(here) });
      }
    }
  }
}

function readOverrides(
  overrides: readonly string[],
  settings: readonly { path: readonly string[] }[],
  issues: ConfigIssue[],
): [string, string][] {
  const known = settings.map(({ path }) => path.join("."));
  return overrides.flatMap((override): [string, string][] => {
    const [key = "", ...rest] = override.split("=");
    if (rest.length > 0 && known.includes(key)) return [[key, rest.join("=")]];
    const message = rest.length === 0 ? "expected KEY=VALUE" : unknownKey(key, known);
    issues.push({ key, message, place: `flag --set ${override}` });
    return [];
  });
}

function environmentName(prefix: string, path: readonly string[]): string {
  return [prefix, ...path].map((part) => part.replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase()).join("_");
}

/** The schema in convict's form. Formats are checked afterwards, with places. */
function convictSchema({ schema, environmentPrefix }: LoadOptions<Schema>): convict.Schema<Record<string, unknown>> {
  const convert = (entries: Schema, path: readonly string[]): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(entries).map(([name, entry]) => {
        const here = [...path, name];
        if (!isSetting(entry)) return [name, convert(entry, here)];
        const env = environmentName(environmentPrefix, here);
        return [name, { doc: entry.doc, format: "*", default: entry.default ?? null, env, arg: here.join(".") }];
      }),
    );
  return convert(schema, []) as convict.Schema<Record<string, unknown>>;
}

function definedOnly(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== undefined)) as Record<
    string,
    string
  >;
}

/** "file", or the name of the variable or flag that a setting came from: those carry text. */
function originOf(
  options: LoadOptions<Schema>,
  overrides: readonly [string, string][],
  path: readonly string[],
): string {
  const key = path.join(".");
  if (overrides.some(([name]) => name === key)) return `flag --set ${key}`;
  const variable = environmentName(options.environmentPrefix, path);
  return options.environment[variable] === undefined ? "file" : `environment ${variable}`;
}

function parseSetting(
  setting: Setting<unknown>,
  raw: unknown,
  path: readonly string[],
  origin: string,
  source: SourceFile,
  issues: ConfigIssue[],
): unknown {
  const value = origin === "file" || typeof raw !== "string" ? raw : (parseYaml(raw) as unknown);
  if (value === null || value === undefined) {
    const message = `missing: ${setting.format.expects}`;
    issues.push({ key: path.join("."), message, place: origin === "file" ? source.place(path) : origin });
    return undefined;
  }
  return setting.format.parse(value, path, (at, message) => {
    issues.push({ key: formatKey(at), message, place: origin === "file" ? source.place(at) : origin });
  });
}

function formatKey(path: Path): string {
  return path.map((step, index) => (typeof step === "number" ? `[${step}]` : index === 0 ? step : `.${step}`)).join("");
}

function nest(values: readonly (readonly [readonly string[], unknown])[]): unknown {
  const root: Record<string, unknown> = {};
  for (const [path, value] of values) {
    let group = root;
    for (const name of path.slice(0, -1)) {
      group[name] ??= {};
      group = group[name] as Record<string, unknown>;
    }
    group[path.at(-1) ?? ""] = value;
  }
  return root;
}
