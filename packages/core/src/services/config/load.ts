/**
 * Configuration: defaults, then the YAML file, then the environment, then flags; merged by convict, checked by formats.ts.
 * Every error is found in one pass, with its place in the file.
 */
import convict from "convict";
import { parse as parseYaml } from "yaml";
import { ConfigError, type ConfigIssue, placeOutsideFile } from "./config-error.ts";
import { type Format, type Path, type Report, unknownKey } from "./formats.ts";
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

export interface LoadOptions<Of extends Schema> {
  readonly schema: Of;
  readonly file: string;
  /** A setting a.b is read from PREFIX_A_B; lists and mappings as YAML. */
  readonly environmentPrefix: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** "a.b=value" settings from the command line. */
  readonly overrides: readonly string[];
  /** Reports what is wrong between settings that are right one by one. */
  readonly check?: (config: Config<Of>, report: Report) => void;
}

type EnvironmentOptions = Pick<LoadOptions<Schema>, "schema" | "environmentPrefix" | "environment">;

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
  const config = nest(parsed) as Config<Of>;
  options.check?.(config, (path, message) => {
    const origin = originOf(options, overrides, [String(path[0])]);
    const place = origin === "file" ? source.place(path) : placeOutsideFile(origin);
    issues.push({ key: formatKey(path), message, place });
  });
  if (issues.length > 0) throw new ConfigError(issues);
  return config;
}

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
    issues.push({ key, message, place: placeOutsideFile(`flag --set ${override}`) });
    return [];
  });
}

function environmentName(prefix: string, path: readonly string[]): string {
  return [prefix, ...path].map((part) => part.replace(/([a-z])([A-Z])/g, "$1_$2").toUpperCase()).join("_");
}

/** The schema in convict's form. Formats are checked afterwards, with places. */
function convictSchema({ schema, environmentPrefix }: EnvironmentOptions): convict.Schema<Record<string, unknown>> {
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
  options: EnvironmentOptions,
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
  const placeOf = (at: Path, part: "key" | "value" = "value") =>
    origin === "file" ? (part === "key" ? source.placeOfKey(at) : source.place(at)) : placeOutsideFile(origin);
  if (value === null || value === undefined) {
    const group = path.slice(0, -1).join(".");
    const toldOfGroup = group !== "" && issues.some(({ key }) => key === group);
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
