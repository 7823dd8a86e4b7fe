/** The HCPE's configuration file. */
import type { ConfigOptions } from "@hybrid-access/core/cli/program";
import { commonSettings, RELAY_TIMEOUTS } from "@hybrid-access/core/services/config/common";
import {
  absolutePath,
  address,
  addressPrefix,
  duration,
  interfaceName,
  listOf,
  oneOf,
  port,
  record,
  share,
  size,
  text,
  timeZone,
  wholeNumber,
} from "@hybrid-access/core/services/config/formats";
import { type Config, loadConfig } from "@hybrid-access/core/services/config/load";
import { DEFAULT_CONVERT_PORT } from "@hybrid-access/core/wire/convert/codes";

const quota = record({
  bytes: { format: size },
  direction: { format: oneOf("down", "up", "both"), default: "both" },
  resetDay: { format: wholeNumber(1, 31), default: 1 },
  timeZone: { format: timeZone, default: "UTC" },
  warnAt: { format: listOf(share), default: [0.8, 0.95] },
  whenUsed: { format: oneOf("backup", "off"), default: "backup" },
});

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
      }),
      1,
    ),
  },
  gateways: {
    doc: "HAGs, the preferred one first",
    format: listOf(record({ address: { format: address }, port: { format: port, default: DEFAULT_CONVERT_PORT } }), 1),
  },
  policy: {
    doc: "Which subflows a connection has: `aggregate` has one over every uplink",
    format: oneOf("aggregate"),
    default: "aggregate",
  },
  stateDirectory: {
    doc: "Where is kept what must survive a restart of the host: what quotas have used",
    format: absolutePath,
    default: "/var/lib/hcpe",
  },
  bypass: {
    destinations: { doc: "Destinations that are not carried", format: listOf(addressPrefix), default: [] },
    ports: { doc: "Destination ports that are not carried", format: listOf(port), default: [] },
    dscp: { doc: "Traffic classes (DSCP) that are not carried", format: listOf(wholeNumber(0, 63)), default: [] },
  },
  timeouts: {
    ...RELAY_TIMEOUTS,
    gateway: { doc: "For a gateway to accept a connection; then it goes direct", format: duration, default: "900ms" },
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
  });
}
