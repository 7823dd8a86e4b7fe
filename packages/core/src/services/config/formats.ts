/** What configuration values may be: each format turns a value from YAML into what the daemon uses, or says what is wrong. */
import { type IpAddress, parseIpAddress } from "../../base/ip-address.ts";
import { type Prefix, parsePrefix } from "../../base/prefix.ts";
import { nearest } from "./nearest.ts";

/** Where a value stands: keys and list positions from the top. */
export type Path = readonly (string | number)[];

/** Takes what is wrong at a place, of the value unless told otherwise; parsing goes on, so that every error is found. */
export type Report = (path: Path, message: string, part?: "key" | "value") => void;

/**
 * Turns a raw value into a `Value`. Where it reports, undefined stands for what could not be read: for all of it, or inside
 * for items of a list and fields of a mapping (`Draft` in load.ts).
 */
export interface Format<Value> {
  /** For people: "a port (1 to 65535)". */
  readonly expects: string;
  parse(raw: unknown, path: Path, report: Report): Value | undefined;
}

/** A format of one plain value: `read` gives undefined for what does not fit. */
function scalar<Value>(expects: string, read: (raw: unknown) => Value | undefined): Format<Value> {
  return {
    expects,
    parse(raw, path, report) {
      const value = read(raw);
      if (value === undefined) report(path, `expected ${expects}, found ${describe(raw)}`);
      return value;
    },
  };
}

function describe(raw: unknown): string {
  if (Array.isArray(raw)) return "a list";
  return raw !== null && typeof raw === "object" ? "a mapping" : JSON.stringify(raw ?? null);
}

export function wholeNumber(least: number, most: number): Format<number> {
  return scalar(`a whole number from ${least} to ${most}`, (raw) =>
    typeof raw === "number" && Number.isInteger(raw) && raw >= least && raw <= most ? raw : undefined,
  );
}

export const port: Format<number> = scalar("a port (1 to 65535)", (raw) =>
  typeof raw === "number" && Number.isInteger(raw) && raw >= 1 && raw <= 65_535 ? raw : undefined,
);

export const text: Format<string> = scalar("text", (raw) => (typeof raw === "string" && raw !== "" ? raw : undefined));

/** IFNAMSIZ of linux/if.h allows 15 characters. */
export const interfaceName: Format<string> = scalar("an interface name (1 to 15 characters)", (raw) =>
  typeof raw === "string" && /^[^\s/"]{1,15}$/.test(raw) ? raw : undefined,
);

export const absolutePath: Format<string> = scalar("an absolute path", (raw) =>
  typeof raw === "string" && raw.startsWith("/") ? raw : undefined,
);

export const address: Format<IpAddress> = scalar("an IP address", (raw) =>
  typeof raw === "string" ? parseIpAddress(raw) : undefined,
);

export const addressPrefix: Format<Prefix> = scalar("an address or prefix, such as 10.0.0.0/8", (raw) =>
  typeof raw === "string" ? parsePrefix(raw) : undefined,
);

/** Hexadecimal, at least `leastBytes` long. */
export function secret(leastBytes: number): Format<Uint8Array> {
  return scalar(`at least ${2 * leastBytes} hexadecimal digits`, (raw) =>
    typeof raw === "string" && /^([0-9a-f]{2})+$/i.test(raw) && raw.length >= 2 * leastBytes
      ? Uint8Array.from(Buffer.from(raw, "hex"))
      : undefined,
  );
}

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** "900ms", "30s", "5m", "2h"; in milliseconds. */
export const duration: Format<number> = scalar("a duration such as 900ms, 30s, 5m or 2h", (raw) => {
  const [, number, unit = ""] = typeof raw === "string" ? (/^(\d+)(ms|s|m|h)$/.exec(raw) ?? []) : [];
  const milliseconds = Number(number) * (MILLISECONDS[unit] ?? Number.NaN);
  return milliseconds > 0 ? milliseconds : undefined;
});

/** A {@link duration} of `least` to `most`, both as it is written. */
export function durationBetween(least: string, most: string): Format<number> {
  const ignore = () => {};
  const [leastMs = 0, mostMs = 0] = [least, most].map((text) => duration.parse(text, [], ignore));
  return scalar(`a duration from ${least} to ${most}`, (raw) => {
    const milliseconds = duration.parse(raw, [], ignore);
    return milliseconds !== undefined && milliseconds >= leastMs && milliseconds <= mostMs ? milliseconds : undefined;
  });
}

const SIZE_UNITS: Readonly<Record<string, number>> = { kB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12 };

/** "500MB", "50GB": decimal, as tariffs count; in bytes. */
export const size: Format<number> = scalar("a size such as 500MB, 50GB or 1TB", (raw) => {
  const [, number, unit = ""] = typeof raw === "string" ? (/^(\d+)(kB|MB|GB|TB)$/.exec(raw) ?? []) : [];
  const bytes = Number(number) * (SIZE_UNITS[unit] ?? Number.NaN);
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
});

/** A share of a whole. */
export const share: Format<number> = scalar("a share between 0 and 1", (raw) =>
  typeof raw === "number" && raw > 0 && raw < 1 ? raw : undefined,
);

/** An IANA time zone that this Node knows. */
export const timeZone: Format<string> = scalar("a time zone such as Europe/Berlin", (raw) =>
  typeof raw === "string" && isTimeZone(raw) ? raw : undefined,
);

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }).resolvedOptions().timeZone !== "";
  } catch {
    return false;
  }
}

/** "06:30", or "24:00" for the end of the day; in minutes of the day. */
export const timeOfDay: Format<number> = scalar("a time of day from 00:00 to 24:00", (raw) => {
  const [, hours, minutes] = typeof raw === "string" ? (/^([01]\d|2[0-4]):([0-5]\d)$/.exec(raw) ?? []) : [];
  const minute = 60 * Number(hours) + Number(minutes);
  return minute <= 24 * 60 ? minute : undefined;
});

const BITS_PER_SECOND: Readonly<Record<string, number>> = { kbit: 1e3, mbit: 1e6, gbit: 1e9 };

/** "500kbit", "16.5mbit", "1gbit"; in bits per second. */
export const bitRate: Format<number> = scalar("a rate such as 500kbit, 16.5mbit or 1gbit", (raw) => {
  const [, number, unit = ""] = typeof raw === "string" ? (/^(\d+(?:\.\d+)?)(kbit|mbit|gbit)$/.exec(raw) ?? []) : [];
  const bitsPerSecond = Number(number) * (BITS_PER_SECOND[unit] ?? Number.NaN);
  return bitsPerSecond > 0 ? bitsPerSecond : undefined;
});

/** One of these words. */
export function oneOf<Word extends string>(...words: readonly Word[]): Format<Word> {
  const expects = `one of ${words.join(", ")}`;
  return {
    expects,
    parse(raw, path, report) {
      const word = words.find((candidate) => candidate === raw);
      if (word === undefined) {
        const close = typeof raw === "string" ? nearest(raw, words) : undefined;
        report(
          path,
          `expected ${expects}, found ${describe(raw)}${close === undefined ? "" : `; did you mean ${close}?`}`,
        );
      }
      return word;
    },
  };
}

/** A list. With `leastItems` an emptier one is an error. */
export function listOf<Item>(item: Format<Item>, leastItems = 0): Format<Item[]> {
  return {
    expects: `a list of: ${item.expects}`,
    parse(raw, path, report) {
      if (!Array.isArray(raw)) {
        report(path, `expected a list, found ${describe(raw)}`);
        return undefined;
      }
      if (raw.length < leastItems) report(path, `expected at least ${leastItems} of: ${item.expects}`);
      return raw.map((element: unknown, index) => item.parse(element, [...path, index], report)) as Item[];
    },
  };
}

/** A value, or the word "none" for null. */
export function orNone<Value>(format: Format<Value>): Format<Value | null> {
  return {
    expects: `${format.expects}, or none`,
    parse: (raw, path, report) => (raw === "none" ? null : format.parse(raw, path, report)),
  };
}

/** A list, or one item instead of a list of one. */
export function oneOrMore<Item>(item: Format<Item>): Format<Item[]> {
  const list = listOf(item);
  return { ...list, parse: (raw, path, report) => (Array.isArray(raw) ? list : single(item)).parse(raw, path, report) };
}

function single<Item>(item: Format<Item>): Format<Item[]> {
  return {
    expects: item.expects,
    parse(raw, path, report) {
      const value = item.parse(raw, path, report);
      return value === undefined ? undefined : [value];
    },
  };
}

/** A field of a {@link record}: required unless it has a default or is optional. */
export interface Field<Value> {
  readonly format: Format<Value>;
  readonly default?: Value;
  /** It may be left out, and is undefined then. */
  readonly optional?: boolean;
}

type FieldValues<Fields> = {
  [Name in keyof Fields]: Fields[Name] extends Field<infer Value>
    ? Fields[Name] extends { readonly optional: true }
      ? Value | undefined
      : Value
    : never;
};

/** A mapping with these fields and no others. */
export function record<const Fields extends Record<string, Field<unknown>>>(
  fields: Fields,
): Format<FieldValues<Fields>> {
  const names = Object.keys(fields);
  return {
    expects: `a mapping of ${names.join(", ")}`,
    parse(raw, path, report) {
      if (raw === null || typeof raw !== "object" || Array.isArray(raw)) {
        report(path, `expected a mapping of ${names.join(", ")}, found ${describe(raw)}`);
        return undefined;
      }
      const given = raw as Record<string, unknown>;
      const unknown = Object.keys(given).filter((name) => !Object.hasOwn(fields, name));
      for (const name of unknown) report([...path, name], unknownKey(name, names), "key");
      const meant = unknown.map((name) => nearest(name, names));
      const values = names.map((name) => {
        const value = parseField(name, fields[name], given, path, report);
        return [name, meant.includes(name) ? undefined : value] as const;
      });
      return Object.fromEntries(values) as FieldValues<Fields>;
    },
  };
}

function parseField(
  name: string,
  field: Field<unknown> | undefined,
  given: Record<string, unknown>,
  path: Path,
  report: Report,
): unknown {
  if (field === undefined) return undefined;
  if (given[name] !== undefined) return field.format.parse(given[name], [...path, name], report);
  if (field.default === undefined && field.optional !== true)
    report([...path, name], `missing, expected ${field.format.expects}`);
  return field.default;
}

/** The message for a key that does not exist. */
export function unknownKey(name: string, known: readonly string[]): string {
  const close = nearest(name, known);
  return `unknown key ${name}${close === undefined ? `; known: ${known.join(", ")}` : `; did you mean ${close}?`}`;
}
