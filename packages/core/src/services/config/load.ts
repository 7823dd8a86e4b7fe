/**
 * Configuration: defaults, then the YAML file, then the environment, then flags; merged by convict, checked by formats.ts.
 * Every error is found in one pass, with its place in the file.
 */
import convict from "convict";
import { parse as parseYaml } from "yaml";
import type { Prefix } from "../../base/prefix.ts";
import { ConfigError, type ConfigIssue, placeOutsideFile } from "./config-error.ts";
import { type Format, type Path, unknownKey } from "./formats.ts";
import { nearest } from "./nearest.ts";
import { SourceFile } from "./source-file.ts";

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

/** A configuration that may have errors: undefined stands for what could not be read, list items included. */
export type Draft<Value> = Value extends string | number | boolean | null | undefined | Uint8Array | Prefix
  ? Value
  : Value extends readonly (infer Item)[]
    ? readonly (Draft<Item> | undefined)[]
    : { readonly [Name in keyof Value]?: Draft<Value[Name]> | undefined };

export interface LoadOptions<Of extends Schema> {
  readonly schema: Of;
  readonly file: string;
  /** A setting a.b is read from PREFIX_A_B; lists and mappings as YAML. */
  readonly environmentPrefix: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** "a.b=value" settings from the command line. */
  readonly overrides: readonly string[];
  /** What is wrong between settings that are right by themselves; says nothing of what follows from what is not there. */
  readonly check?: (config: Draft<Config<Of>>) => readonly SettingIssue[];
}

/** What is wrong, with the setting's path from the top, down to the value. */
export interface SettingIssue {
  readonly path: Path;
  readonly message: string;
}

/** Loads and checks the configuration. Throws a {@link ConfigError}. */
export function loadConfig<Of extends Schema>(options: LoadOptions<Of>): Config<Of> {
  const source = new SourceFile(options.file);
  const settings = flatten(options.schema, []);
  const issues: ConfigIssue[] = [...source.issues];
  const meant = new Set<string>();
  reportUnknownKeys(options.schema, source, [], source.content, { issues, meant });
  const overrides = readOverrides(options.overrides, settings, { issues, meant });
  const merged: MergedSettings = convict(convictSchema(options), {
    env: definedOnly(options.environment),
    args: overrides.map(([key, value]) => `--${key}=${value}`),
  });
  merged.load(source.content);
  const parsed = settings.map(({ path, setting }) => {
    const key = path.join(".");
    const origin = originOf(options, overrides, path);
    const raw = merged.has(key) ? merged.get(key) : undefined;
    const value = parseSetting(setting, raw, path, origin, source, issues);
    const isMeant = path.some((_, index) => meant.has(path.slice(0, index + 1).join(".")));
    return [path, isMeant ? undefined : value] as const;
  });
  const draft = nest(parsed) as Draft<Config<Of>>;
  // Of a file that is no YAML nothing is known.
  for (const { path, message } of (source.readable && options.check?.(draft)) || []) {
    const setting = settings.find((candidate) => candidate.path.every((name, index) => path[index] === name));
    const origin = originOf(options, overrides, setting?.path ?? []);
    const place = origin === "file" ? source.place(path) : placeOutsideFile(origin);
    issues.push({ key: formatKey(path), message, place });
  }
  if (issues.length > 0) throw new ConfigError(issues);
  return draft as Config<Of>;
}

/** What has been found wrong, and the settings or groups that it was meant to be: their values are not known. */
interface Findings {
  readonly issues: ConfigIssue[];
  readonly meant: Set<string>;
}

/** Where settings come from. */
type Sources = Omit<LoadOptions<Schema>, "check">;

/** What is used of convict: its own type wants to know every key at compile time. */
interface MergedSettings {
  load(content: unknown): unknown;
  has(key: string): boolean;
  get(key: string): unknown;
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
  findings: Findings,
): void {
  const { issues, meant } = findings;
  for (const [name, value] of Object.entries(content)) {
    const entry = Object.hasOwn(schema, name) ? schema[name] : undefined;
    const here = [...path, name];
    if (entry === undefined) {
      meant.add([...path, nearest(name, Object.keys(schema)) ?? name].join("."));
      issues.push({
        key: here.join("."),
        message: unknownKey(name, Object.keys(schema)),
        place: source.placeOfKey(here),
      });
    } else if (!isSetting(entry)) {
      if (value !== null && typeof value === "object" && !Array.isArray(value)) {
        reportUnknownKeys(entry, source, here, value as Record<string, unknown>, findings);
      } else {
        const message = `expected a mapping of ${Object.keys(entry).join(", ")}`;
        meant.add(here.join("."));
        issues.push({ key: here.join("."), message, place: source.place(here) });
      }
    }
  }
}

function readOverrides(
  overrides: readonly string[],
  settings: readonly { path: readonly string[] }[],
  { issues, meant }: Findings,
): [string, string][] {
  const known = settings.map(({ path }) => path.join("."));
  return overrides.flatMap((override): [string, string][] => {
    const [key = "", ...rest] = override.split("=");
    if (rest.length > 0 && known.includes(key)) return [[key, rest.join("=")]];
    const message = rest.length === 0 ? "expected KEY=VALUE" : unknownKey(key, known);
    meant.add(nearest(key, known) ?? key);
    issues.push({ key, message, place: placeOutsideFile(`flag --set ${override}`) });
    return [];
  });
}

function environmentName(prefix: string, path: readonly string[]): string {
  return [prefix, ...path].map((part) => part.replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase()).join("_");
}

/** The schema in convict's form. Formats are checked afterwards, with places. */
function convictSchema({ schema, environmentPrefix }: Sources): convict.Schema<Record<string, unknown>> {
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
function originOf(options: Sources, overrides: readonly [string, string][], path: readonly string[]): string {
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
  const placeOf = (at: Path, part: "key" | "value" = "value") =>
    origin === "file" ? (part === "key" ? source.placeOfKey(at) : source.place(at)) : placeOutsideFile(origin);
  if (value === null || value === undefined) {
    const groups = path.slice(1).map((_, index) => path.slice(0, index + 1).join("."));
    const toldOfGroup = issues.some(({ key }) => groups.includes(key));
    if (origin !== "file" || (source.readable && !toldOfGroup)) {
      issues.push({
        key: path.join("."),
        message: `missing, expected ${setting.format.expects}`,
        place: placeOf(path),
      });
    }
    return undefined;
  }
  return setting.format.parse(value, path, (at, message, part) => {
    issues.push({ key: formatKey(at), message, place: placeOf(at, part) });
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
