/** Settings that both daemons have. */
import { absolutePath, duration, oneOf, wholeNumber } from "./formats.ts";
import type { Config, Draft, SettingIssue } from "./load.ts";

/** The one of `congestion` that leaves it to the engine. */
export const OWN_CONGESTION = "auto";

export function commonSettings(daemon: "hcpe" | "hag") {
  return {
    engine: {
      doc: "The Multipath TCP implementation: `kernel` is Linux's own, `userspace` this project's, over TUN devices",
      format: oneOf("kernel", "userspace"),
      default: "kernel",
    },
    congestion: {
      doc: "Congestion control of `engine: userspace`; `auto` is `cubic`, and with `kernel` what the host has",
      format: oneOf(OWN_CONGESTION, "cubic", "reno", "lia", "olia", "balia", "wvegas"),
      default: OWN_CONGESTION,
    },
    scheduler: {
      doc: "Which subflow carries the next bytes of a connection; `default` is the engine's own choice",
      format: oneOf("default", "lowest-rtt", "round-robin", "random"),
      default: "default",
    },
    workers: { doc: "Data-plane threads", format: wholeNumber(1, 64), default: 1 },
    maxConnections: { doc: "Connections of one worker at once", format: wholeNumber(1, 1_000_000), default: 65_536 },
    admin: {
      socket: { doc: "Unix socket of the admin interface", format: absolutePath, default: `/run/${daemon}/admin.sock` },
    },
    log: {
      level: {
        doc: "The least severe level to log",
        format: oneOf("trace", "debug", "info", "warn", "error"),
        default: "info",
      },
    },
    drain: { doc: "How long connections may go on after SIGTERM", format: duration, default: "10s" },
  } as const;
}

/** How long a relayed connection may be silent. RFC 5382 section 5 asks a NAT for at least 2 hours 4 minutes. */
export const RELAY_TIMEOUTS = {
  idle: { doc: "A connection without a byte for this long is reset", format: duration, default: "124m" },
  halfClosed: { doc: "The same, once one side has ended its stream", format: duration, default: "60m" },
} as const;

type CommonConfig = Config<ReturnType<typeof commonSettings>>;

/** What can be chosen of the project's own transport alone, and is not left out. */
export function transportIssues({ engine, congestion, scheduler }: Draft<CommonConfig>): SettingIssue[] {
  if (engine !== "kernel") return [];
  const issues: SettingIssue[] = [];
  if (congestion !== undefined && congestion !== OWN_CONGESTION) {
    const message = "the kernel has its own (net.ipv4.tcp_congestion_control): leave it out, or take engine: userspace";
    issues.push({ path: ["congestion"], message });
  }
  if (scheduler !== undefined && scheduler !== "default") {
    const message = "Linux has one scheduler: leave it out, or take engine: userspace";
    issues.push({ path: ["scheduler"], message });
  }
  return issues;
}
