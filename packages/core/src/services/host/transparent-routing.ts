/**
 * Routing that delivers marked packets to this host whatever their destination: what transparent sockets need beside
 * the mark that nftables sets (Documentation/networking/tproxy.rst).
 */
import type { OwnRoute, RouteClient, Rule } from "../../platform/netlink/route.ts";

/** Firewall mark of packets that belong to a transparent socket. */
export const TRANSPARENT_MARK = 0x5124;
const TABLE = 5124;
/** Before the main table's rule (32766), behind what an administrator puts first. */
const PRIORITY = 5124;
const LOOPBACK_INDEX = 1;

const FAMILIES = ["ipv4", "ipv6"] as const;

/** Marks and accepts packets of connections that a transparent socket of this host holds. */
export const MARK_TRANSPARENT = `socket transparent 1 meta mark set ${TRANSPARENT_MARK} accept`;

/** What is asked of a {@link RouteClient} to change its host's own routes and rules. */
export type OwnRouting = Pick<RouteClient, "ownLocalRoutes" | "ownRules" | "addRoute" | "addRule">;

/** Adds the routes and rules, both families, as far as they are missing. */
export function addTransparentRouting(client: OwnRouting): void {
  const isOurs = (family: string) => (present: { family: string; table: number }) =>
    present.family === family && present.table === TABLE;
  const routes = client.ownLocalRoutes();
  const rules = client.ownRules();
  for (const family of FAMILIES) {
    const route: OwnRoute = { family, table: TABLE, kind: "local", interfaceIndex: LOOPBACK_INDEX };
    const rule: Rule = { family, priority: PRIORITY, table: TABLE, mark: TRANSPARENT_MARK };
    if (!routes.some(isOurs(family))) client.addRoute(route);
    if (!rules.some(isOurs(family))) client.addRule(rule);
  }
}
