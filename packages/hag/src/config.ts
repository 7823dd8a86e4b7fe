/** The HAG's configuration file. */

import type { ConfigOptions } from "@hybrid-access/core/cli/program";
import { commonSettings, RELAY_TIMEOUTS, transportIssues } from "@hybrid-access/core/services/config/common";
import {
  address,
  addressPrefix,
  duration,
  listOf,
  oneOf,
  port,
  record,
  secret,
  wholeNumber,
} from "@hybrid-access/core/services/config/formats";
import { type Config, type Draft, loadConfig, type SettingIssue } from "@hybrid-access/core/services/config/load";
import { DEFAULT_CONVERT_PORT } from "@hybrid-access/core/wire/convert/codes";
import { farmIssues, farmSettings } from "./farm/config.ts";

/** Every setting of hag.yaml. */
export const hagSchema = {
  ...commonSettings("hag"),
  listen: {
    doc: "Where HCPEs connect to",
    format: listOf(record({ address: { format: address }, port: { format: port, default: DEFAULT_CONVERT_PORT } }), 1),
    default: [{ address: "::" }],
  },
  clients: { doc: "Prefixes whose hosts may use the gateway", format: listOf(addressPrefix) },
  destinations: {
    allow: { doc: "Destinations allowed although they are not public", format: listOf(addressPrefix), default: [] },
    deny: {
      doc: "Destinations denied although they are public or allowed",
      format: listOf(addressPrefix),
      default: [],
    },
  },
  egress: {
    source: {
      doc: "Whose address servers see: the gateway's (`shared`), or the client's own (`client`)",
      format: oneOf("shared", "client"),
      default: "shared",
    },
  },
  cookies: {
    keys: {
      doc: "With a key, clients must prove their address by a cookie (RFC 8803 section 6.2.7); the first key makes cookies, all accept them",
      format: listOf(secret(16)),
      default: [],
    },
  },
  limits: {
    pending: {
      doc: "Connections of one client that are being set up",
      format: wholeNumber(1, 1_000_000),
      default: 256,
    },
    open: { doc: "Connections of one client", format: wholeNumber(1, 1_000_000), default: 16_384 },
    newPerSecond: {
      doc: "New connections of one client in a second",
      format: wholeNumber(1, 1_000_000),
      default: 2000,
    },
  },
  subflows: {
    perConnection: {
      doc: "Subflows of one connection, the initial one included; the HCPE is told, the kernel keeps to it",
      format: wholeNumber(1, 8),
      default: 8,
    },
    total: {
      doc: "Subflows of all connections; while there are so many, no further ones are taken",
      format: wholeNumber(1, 10_000_000),
      default: 10_000_000,
    },
  },
  announce: {
    doc: "Further addresses, or ports, that connections are told of for their subflows",
    format: listOf(record({ address: { format: address }, port: { format: port, default: 0 } })),
    default: [],
  },
  farm: farmSettings,
  timeouts: {
    ...RELAY_TIMEOUTS,
    header: { doc: "For the Convert message to arrive", format: duration, default: "5s" },
    connect: { doc: "For the server to answer", format: duration, default: "20s" },
  },
} as const;

export type HagConfig = Config<typeof hagSchema>;

/** Loads and checks the configuration. Throws a ConfigError. */
export function loadHagConfig({ config, set }: ConfigOptions): HagConfig {
  return loadConfig({
    schema: hagSchema,
    file: config,
    environmentPrefix: "HAG",
    environment: process.env,
    overrides: set,
    check: (config) => [...transportIssues(config), ...announceIssues(config), ...farmIssues(config.farm ?? {})],
  });
}

type HagDraft = Draft<HagConfig>;

/** The kernel listens on an announced port by itself. */
function announceIssues({ announce = [], listen = [] }: HagDraft): SettingIssue[] {
  return announce.flatMap((end, index) => {
    const port = end?.port;
    if (port === undefined || !listen.some((own) => own?.port === port)) return [];
    return [{ path: ["announce", index, "port"], message: `the gateway listens on port ${port} itself: leave it out` }];
  });
}
