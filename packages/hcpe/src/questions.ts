/** The commands of `hcpe` that ask the running daemon, beside `status`. */
import type { Question } from "@hybrid-access/core/cli/program";
import { renderConnections, renderEvent, renderEvents, renderPaths } from "./render.ts";

export const QUESTIONS: readonly Question[] = [
  {
    name: "connections",
    description: "list the open connections with their subflows",
    path: ({ limit }) => (limit === undefined ? "/connections" : `/connections?limit=${encodeURIComponent(limit)}`),
    render: renderConnections,
    limited: true,
  },
  {
    name: "paths",
    description: "show every uplink: state, quality, rates, quota",
    path: () => "/paths",
    render: renderPaths,
  },
  {
    name: "events",
    description: "show what happened to gateways, uplinks and subflows lately",
    path: () => "/events",
    render: renderEvents,
    follow: { path: "/events/follow", render: renderEvent },
  },
];
