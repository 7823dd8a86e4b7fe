/** The HCPE's configuration file. */
import type { ConfigOptions } from "@hybrid-access/core/cli/program";
import type { Pair } from "@hybrid-access/core/policy/path-manager/pairs";
import { POLICY_NAMES } from "@hybrid-access/core/policy/path-manager/policies";
import { DAYS } from "@hybrid-access/core/policy/schedule";
import { commonSettings, RELAY_TIMEOUTS } from "@hybrid-access/core/services/config/common";
import {
  absolutePath,
  address,
  addressPrefix,
  bitRate,
  duration,
  interfaceName,
  listOf,
  oneOf,
  oneOrMore,
  orNone,
  port,
  record,
  share,
  size,
  text,
  timeOfDay,
  timeZone,
  wholeNumber,
} from "@hybrid-access/core/services/config/formats";
import { type Config, loadConfig } from "@hybrid-access/core/services/config/load";
import { DEFAULT_CONVERT_PORT } from "@hybrid-access/core/wire/convert/codes";
import { hcpeIssues } from "./config-issues.ts";
import { gatewayHost } from "./gateway-host.ts";

const quota = record({
  bytes: { format: size },
  direction: { format: oneOf("down", "up", "both"), default: "both" },
  resetDay: { format: wholeNumber(1, 31), default: 1 },
  timeZone: { format: timeZone, default: "UTC" },
  warnAt: { format: listOf(share), default: [0.8, 0.95] },
  whenUsed: { format: oneOf("backup", "off"), default: "backup" },
});

const DNS_PORT = 53;
const UNKNOWN_RATE = { down: 0, up: 0 };
const DO_WITHOUT: Pair["onFailure"] = "none";

/** Every setting of hcpe.yaml. */
export const hcpeSchema = {
  ...commonSettings("hcpe"),
  lan: {
    interfaces: { doc: "Interfaces whose TCP is carried", format: listOf(interfaceName, 1) },
  },
  uplinks: {
    doc: "Access networks; their addresses, gateways and routes come from the kernel",
    format: listOf(
      record({
        name: { format: text },
        interface: { format: interfaceName },
        cost: { format: wholeNumber(0, 1_000_000), default: 0 },
        quota: { format: quota, optional: true },
        rate: { format: record({ down: { format: bitRate }, up: { format: bitRate } }), default: UNKNOWN_RATE },
      }),
      1,
    ),
  },
  gateways: {
    doc: "HAGs, the preferred one first",
    format: listOf(
      record({ address: { format: gatewayHost }, port: { format: port, default: DEFAULT_CONVERT_PORT } }),
      1,
    ),
  },
  resolvers: {
    doc: "DNS servers for the names of gateways; without any, those of the host",
    format: listOf(record({ address: { format: address }, port: { format: port, default: DNS_PORT } })),
    default: [],
  },
  policy: {
    doc: "Which subflows a connection has, where no rule says otherwise",
    format: oneOf(...POLICY_NAMES),
    default: "aggregate",
  },
  stateDirectory: {
    doc: "Where is kept what must survive a restart of the host: what quotas have used",
    format: absolutePath,
    default: "/var/lib/hcpe",
  },
  policyModule: {
    doc: "The file of the policy `module`",
    format: orNone(absolutePath),
    default: "none",
  },
  rules: {
    doc: "Policies by connection; the first rule that matches decides",
    format: listOf(
      record({
        lan: { format: oneOrMore(addressPrefix), default: [] },
        destinations: { format: oneOrMore(addressPrefix), default: [] },
        ports: { format: oneOrMore(port), default: [] },
        dscp: { format: oneOrMore(wholeNumber(0, 63)), default: [] },
        policy: { format: oneOf(...POLICY_NAMES) },
        joinPort: { format: port, default: 0 },
        during: { format: text, optional: true },
      }),
    ),
    default: [],
  },
  schedules: {
    doc: "Times of the week, for `rules[].during`",
    format: listOf(
      record({
        name: { format: text },
        from: { format: timeOfDay },
        to: { format: timeOfDay },
        days: { format: oneOrMore(oneOf(...DAYS)), default: [...DAYS] },
        timeZone: { format: timeZone, default: "UTC" },
      }),
    ),
    default: [],
  },
  ndiffports: {
    doc: "Subflows of the policy `ndiffports` between its pair of addresses",
    format: wholeNumber(1, 8),
    default: 2,
  },
  pairs: {
    doc: "Pairs of prefixes of the policy `pairs`",
    format: listOf(
      record({
        local: { format: addressPrefix },
        remote: { format: addressPrefix },
        onFailure: { format: oneOf("none", "any"), default: DO_WITHOUT },
      }),
    ),
    default: [],
  },
  subflows: {
    perConnection: { doc: "Subflows of one connection", format: wholeNumber(1, 8), default: 8 },
    perPair: { doc: "The same, between one pair of addresses", format: wholeNumber(1, 8), default: 8 },
    perGateway: {
      doc: "Subflows toward one gateway, of all connections",
      format: wholeNumber(1, 10_000_000),
      default: 262_144,
    },
    total: { doc: "Subflows of all connections", format: wholeNumber(1, 10_000_000), default: 262_144 },
    hold: {
      doc: "How old a connection is before it gets further subflows; short ones do without",
      format: orNone(duration),
      default: "none",
    },
    holdBytes: {
      doc: "How much it has carried before; with both, whichever comes first",
      format: orNone(size),
      default: "none",
    },
  },
  bypass: {
    destinations: { doc: "Destinations that are not carried", format: listOf(addressPrefix), default: [] },
    ports: { doc: "Destination ports that are not carried", format: listOf(port), default: [] },
    dscp: { doc: "Traffic classes (DSCP) that are not carried", format: listOf(wholeNumber(0, 63)), default: [] },
  },
  timeouts: {
    ...RELAY_TIMEOUTS,
    gateway: { doc: "For a gateway to accept a connection; then it goes direct", format: duration, default: "900ms" },
    check: {
      doc: "How often each of several gateways is asked whether it serves, and for its load",
      format: duration,
      default: "30s",
    },
    reply: { doc: "For a gateway to say that it has reached the server", format: duration, default: "60s" },
  },
} as const;

export type HcpeConfig = Config<typeof hcpeSchema>;

/** Loads and checks the configuration. Throws a ConfigError. */
export function loadHcpeConfig({ config, set }: ConfigOptions): HcpeConfig {
  return loadConfig({
    schema: hcpeSchema,
    file: config,
    environmentPrefix: "HCPE",
    environment: process.env,
    overrides: set,
    check: hcpeIssues,
  });
}
