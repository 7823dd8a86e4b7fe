/** The settings of a gateway that is one of a farm, and what makes no sense among them. */
import { familyOf, formatIpAddress, type IpAddress } from "@hybrid-access/core/base/ip-address";
import { findPrefix } from "@hybrid-access/core/base/prefix";
import {
  address,
  addressPrefix,
  durationBetween,
  type Format,
  listOf,
  oneOf,
  port,
  record,
  text,
  wholeNumber,
} from "@hybrid-access/core/services/config/formats";
import type { Config, Draft, SettingIssue } from "@hybrid-access/core/services/config/load";
import { isNodeName } from "@hybrid-access/core/services/registry/registry";

const DEFAULT_REDIS_PORT = 6379;

/** The word for a file that is not used. */
const NO_FILE = "none";

const nodeName: Format<string> = {
  expects: "a name (1 to 32 of a to z, 0 to 9 and -)",
  parse(raw, path, report) {
    if (isNodeName(raw)) return raw;
    report(path, `expected ${this.expects}, found ${JSON.stringify(raw)}`);
    return undefined;
  },
};

export const farmSettings = {
  steering: {
    doc: "Whether this gateway is one of a farm behind one address: `none`; `steer`, directors bring every subflow to its owner; `announce`, each gateway announces its own address for further subflows",
    format: oneOf("none", "steer", "announce"),
    default: "none",
  },
  name: { doc: "The farm", format: nodeName, default: "farm" },
  node: { doc: "This gateway; every gateway of the farm has another name", format: nodeName, default: "hag" },
  role: {
    doc: "What this gateway does: `director` steers, `converter` converts, `both`",
    format: oneOf("director", "converter", "both"),
    default: "both",
  },
  virtualAddresses: {
    doc: "The farm's addresses, at most one of each family; on no interface of any gateway",
    format: listOf(address),
    default: [],
  },
  addresses: {
    doc: "This gateway's own addresses, one of each family of `virtualAddresses`, on a link that all gateways share",
    format: listOf(address),
    default: [],
  },
  network: {
    doc: "Prefixes in which the gateways of the farm have their own addresses; the registry's others are ignored",
    format: listOf(addressPrefix),
    default: [],
  },
  weight: { doc: "Share of new connections, relative to the others'", format: wholeNumber(1, 1000), default: 100 },
  lease: {
    doc: "How long a gateway that says nothing still counts as alive",
    format: durationBetween("200ms", "1m"),
    default: "1s",
  },
  hold: {
    doc: "How long a director keeps a SYN whose owner is not known yet; clients repeat it after 1 s",
    format: durationBetween("1ms", "1s"),
    default: "20ms",
  },
  joinsWithoutRedis: {
    doc: "A join whose owner nobody can name because Redis does not answer: `drop`, the client repeats it; `hash`, to some gateway",
    format: oneOf("drop", "hash"),
    default: "drop",
  },
  tokenLife: {
    doc: "How long the registry keeps a token that nobody renews",
    format: durationBetween("10s", "24h"),
    default: "10m",
  },
  clientLimits: {
    doc: "Whether `limits.open` is for a client's connections at this gateway (`own`) or at all of the farm (`shared`)",
    format: oneOf("own", "shared"),
    default: "own",
  },
  limitsWithoutRedis: {
    doc: "With `clientLimits: shared`, while Redis is away: each gateway allows all of `limits.open` (`own`), or its part (`divided`)",
    format: oneOf("own", "divided"),
    default: "own",
  },
  cookieKeys: {
    doc: "Which keys cookies have: `own`, this gateway's `cookies.keys`; `shared`, keys that the farm draws and changes by itself, and that all its gateways accept. `cookies.keys` are accepted then too",
    format: oneOf("own", "shared"),
    default: "own",
  },
  cookieKeyLife: {
    doc: "With `cookieKeys: shared`: after so long a key makes no cookies any more; after twice as long those it has made are refused",
    format: durationBetween("1m", "8760h"),
    default: "24h",
  },
  redis: {
    mode: { doc: "What `servers` are", format: oneOf("single", "sentinel", "cluster"), default: "single" },
    servers: {
      doc: "Redis servers, Sentinels or Cluster nodes; without any, the gateway keeps its registry to itself",
      format: listOf(record({ host: { format: text }, port: { format: port, default: DEFAULT_REDIS_PORT } })),
      default: [],
    },
    primary: { doc: "The name that Sentinels have for the master", format: text, default: "mymaster" },
    username: { doc: "User of Redis's access control list", format: text, default: "default" },
    passwordFile: { doc: "File with the user's password, or `none`", format: text, default: NO_FILE },
    tls: { doc: "Whether to speak TLS", format: oneOf("off", "on"), default: "off" },
    caFile: { doc: "File with the certificates to believe, or `none` for the host's", format: text, default: NO_FILE },
  },
} as const;

export type FarmConfig = Config<typeof farmSettings>;

/** The path, unless there is no file. */
export function fileOf(setting: string): string | undefined {
  return setting === NO_FILE ? undefined : setting;
}

/** Everything about the settings that makes no sense together. What could not be read is left out. */
export function farmIssues({ steering, addresses, virtualAddresses, network }: Draft<FarmConfig>): SettingIssue[] {
  if (steering === undefined || steering === "none") return [];
  const issues: SettingIssue[] = [];
  const wrong = (key: string, message: string) => issues.push({ path: ["farm", key], message });
  if (virtualAddresses?.length === 0) wrong("virtualAddresses", "a farm needs at least one");
  if (hasTwoOfAFamily(virtualAddresses)) wrong("virtualAddresses", "there can be one of each family");
  if (hasTwoOfAFamily(addresses)) wrong("addresses", "there can be one of each family");
  if (isWhole(addresses)) {
    const families = addresses.map(familyOf);
    for (const virtual of present(virtualAddresses)) {
      if (families.includes(familyOf(virtual))) continue;
      wrong("addresses", `there is none of the family of ${formatIpAddress(virtual)}`);
    }
  }
  if (isWhole(network)) {
    for (const own of present(addresses)) {
      if (findPrefix(network, own) === undefined) wrong("network", `${formatIpAddress(own)} lies outside`);
    }
  }
  return issues;
}

type DraftList<Item> = readonly (Item | undefined)[] | undefined;

/** Whether every item could be read: only then can it be said what a list lacks. */
function isWhole<Item>(list: DraftList<Item>): list is readonly Item[] {
  return list?.every((item) => item !== undefined) === true;
}

function present<Item>(list: DraftList<Item>): Item[] {
  return (list ?? []).filter((item) => item !== undefined);
}

function hasTwoOfAFamily(list: DraftList<IpAddress>): boolean {
  const addresses = present(list);
  return new Set(addresses.map(familyOf)).size !== addresses.length;
}
