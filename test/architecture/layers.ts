/** The layers of ARCHITECTURE.md as data, and what each may use. A new folder or package gets its row here. */

/** One folder that is a TypeScript project of its own. */
export interface Layer {
  /** From the root of the repository. */
  readonly folder: string;
  /** The layers it may import, which are also the references of its tsconfig.json. */
  readonly uses: readonly string[];
  /** No I/O, no clock, no randomness: no Node types either. */
  readonly pure: boolean;
  /** Node's own modules, without "node:". */
  readonly nodeModules: readonly string[] | "any";
  /** npm packages. */
  readonly packages: readonly string[];
}

const CORE = ["base", "wire", "policy", "platform", "engine", "dataplane", "services", "cli"];

function pure(name: string, uses: readonly string[], packages: readonly string[] = []): Layer {
  return { folder: `packages/core/src/${name}`, uses, pure: true, nodeModules: [], packages };
}

function core(
  name: string,
  uses: readonly string[],
  nodeModules: Layer["nodeModules"],
  packages: readonly string[] = [],
): Layer {
  return { folder: `packages/core/src/${name}`, uses, pure: false, nodeModules, packages };
}

function daemon(name: string, packages: readonly string[] = []): Layer {
  return { folder: `packages/${name}`, uses: CORE, pure: false, nodeModules: "any", packages };
}

export const LAYERS: Readonly<Record<string, Layer>> = {
  base: pure("base", [], ["ipaddr.js"]),
  wire: pure("wire", ["base"]),
  policy: pure("policy", ["base", "wire"]),
  stack: pure("stack", ["base", "wire", "policy"]),
  testing: pure("testing", ["base", "wire", "stack"]),
  platform: core("platform", ["base"], ["crypto", "fs", "os", "v8"], ["koffi"]),
  // Reaches the system through platform, so that what an engine asks of it can be seen in one place.
  engine: core("engine", ["base", "wire", "policy", "stack", "platform"], []),
  // A worker reads no file and talks to nobody but the main thread.
  dataplane: core("dataplane", ["base", "wire", "policy", "platform", "engine"], ["events", "worker_threads"]),
  services: core("services", ["base", "platform"], "any", ["convict", "ioredis", "pino", "yaml"]),
  cli: core("cli", ["base", "services"], "any", ["commander"]),
  hcpe: daemon("hcpe", ["node-cron"]),
  hag: daemon("hag"),
};

/** The only file that binds the C library. */
export const LIBC_FILE = "packages/core/src/platform/libc.ts";

/** Implementations of the seam stand in folders below this one; only this layer and tests name them. */
export const ENGINE_FOLDER = "packages/core/src/engine/";

/** A file that is longer has more than one subject. */
export const MOST_LINES = 500;
