/** What a lab consists of, as data: nodes (network namespaces), links between them, routes. */
import type { LinkOptions } from "@hybrid-access/core/testing/link";

/** One network namespace. */
export interface NodeSpec {
  /** Forwards packets between its interfaces. */
  readonly router?: boolean;
  /** Addresses of its loopback interface, besides 127.0.0.1 and ::1. */
  readonly loopback?: readonly string[];
}

/** One end of a link. */
export interface InterfaceSpec {
  readonly node: string;
  readonly name: string;
  /** With prefix length: "10.1.1.2/24", "fd11::2/64". */
  readonly addresses: readonly string[];
}

/** What the link emulator does to each direction, named after the order of the ends. */
export interface Emulation {
  readonly forward: LinkOptions;
  readonly backward: LinkOptions;
}

/** A cable. Without emulation it is a veth pair; with it, two interfaces joined by the emulator. */
export interface LinkSpec {
  readonly name: string;
  readonly ends: readonly [InterfaceSpec, InterfaceSpec];
  readonly emulation?: Emulation;
}

export interface RouteSpec {
  readonly node: string;
  /** "default" or a prefix; the family follows from `via`. */
  readonly to: string;
  readonly via: string;
  readonly metric?: number;
}

export interface Topology {
  readonly nodes: Readonly<Record<string, NodeSpec>>;
  readonly links: readonly LinkSpec[];
  readonly routes: readonly RouteSpec[];
  /** nft rule sets of a node's own, such as a home router's NAT. */
  readonly firewalls?: Readonly<Record<string, string>>;
}
