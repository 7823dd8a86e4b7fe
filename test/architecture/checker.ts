/** Judges source files by the rules of layers.ts. Pure: text in, violations out. */
import { posix } from "node:path";
import { ENGINE_FOLDER, LAYERS, type Layer, LIBC_FILE, MOST_LINES } from "./layers.ts";

export interface SourceFile {
  /** From the root of the repository, with "/". */
  readonly path: string;
  readonly text: string;
}

export type Rule =
  | "layer"
  | "unknown-folder"
  | "seam"
  | "koffi"
  | "node-module"
  | "npm-package"
  | "daemons-apart"
  | "test-stays-outside"
  | "package-by-name"
  | "clock"
  | "file-length"
  | "tsconfig";

export interface Violation {
  readonly rule: Rule;
  /** "packages/core/src/wire/tcp-options.ts:4". */
  readonly place: string;
  /** What is there, and why it must not be. */
  readonly message: string;
}

/** One line for a person, with where to read on. */
export function formatViolation({ rule, place, message }: Violation): string {
  return `${place}: [${rule}] ${message} (docs/adr/0001-layers-enforced-by-the-compiler.md)`;
}

/** Every violation of one file of packages/ or test/. */
export function checkSource(file: SourceFile): Violation[] {
  const code = withoutComments(file.text);
  const layer = layerOf(file.path);
  return [
    ...checkLength(file),
    ...(layer === undefined && isProduct(file.path) ? [unknownFolder(file.path)] : []),
    ...importsOf(code).flatMap(({ specifier, line }) => checkImport(file.path, specifier, line)),
    ...(layer !== undefined && LAYERS[layer]?.pure ? checkClock(file.path, code) : []),
  ];
}

function isProduct(path: string): boolean {
  return path.startsWith("packages/");
}

function layerOf(path: string): string | undefined {
  return Object.entries(LAYERS).find(([, { folder }]) => path.startsWith(`${folder}/`))?.[0];
}

function unknownFolder(path: string): Violation {
  const message = "belongs to no layer: give its folder a row in test/architecture/layers.ts and in ARCHITECTURE.md";
  return { rule: "unknown-folder", place: path, message };
}

function checkLength({ path, text }: SourceFile): Violation[] {
  const lines = text.split("\n").length - 1;
  if (lines <= MOST_LINES) return [];
  const message = `has ${lines} lines, more than ${MOST_LINES}: a file has one subject and is read from the top down`;
  return [{ rule: "file-length", place: path, message }];
}

/** Comments as blanks, so that lines keep their numbers. The formatter puts white space before each of them. */
function withoutComments(text: string): string {
  return text
    .replace(/(^|\s)\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, " "))
    .replace(/(^|\s)\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, " "));
}

interface Import {
  readonly specifier: string;
  readonly line: number;
}

/** Static imports and re-exports begin a line; dynamic ones stand anywhere. */
function importsOf(code: string): Import[] {
  const patterns = [
    /^(?:import|export)\b[^"';]*?\bfrom\s*"([^"]+)"/gm,
    /^import\s*"([^"]+)"/gm,
    /\bimport\("([^"]+)"\)/g,
  ];
  return patterns
    .flatMap((pattern) => Array.from(code.matchAll(pattern)))
    .map(({ 1: specifier = "", index }) => ({ specifier, line: lineOf(code, index) }));
}

function lineOf(code: string, index: number): number {
  return code.slice(0, index).split("\n").length;
}

function checkImport(from: string, specifier: string, line: number): Violation[] {
  const found = judgeImport(from, specifier);
  return found === undefined ? [] : [{ rule: found[0], place: `${from}:${line}`, message: found[1] }];
}

type Judgement = readonly [Rule, string] | undefined;

function judgeImport(from: string, specifier: string): Judgement {
  if (specifier === "koffi") return judgeKoffi(from);
  const name = layerOf(from);
  const layer = name === undefined ? undefined : LAYERS[name];
  if (name === undefined || layer === undefined) return undefined;
  if (specifier.startsWith("node:")) return judgeNodeModule(name, layer, specifier);
  const target = targetOf(from, specifier);
  return target === undefined
    ? judgePackage(name, layer, specifier)
    : judgeTarget(from, name, layer, target, specifier);
}

function judgeKoffi(from: string): Judgement {
  if (from === LIBC_FILE) return undefined;
  return ["koffi", `imports koffi: only ${LIBC_FILE} binds the C library, so that another binding replaces one file`];
}

function judgeNodeModule(name: string, { pure, nodeModules }: Layer, specifier: string): Judgement {
  if (nodeModules === "any" || nodeModules.includes(specifier.slice("node:".length))) return undefined;
  const why = pure
    ? "pure code does no I/O, so that it runs in virtual time and in every engine"
    : "the system is reached through platform";
  return ["node-module", `${name} imports ${specifier}: ${why}`];
}

function judgePackage(name: string, { packages }: Layer, specifier: string): Judgement {
  if (packages.some((allowed) => specifier === allowed || specifier.startsWith(`${allowed}/`))) return undefined;
  const known = packages.length === 0 ? "it uses none" : `it uses ${packages.join(", ")}`;
  return ["npm-package", `${name} imports the npm package ${specifier}: ${known}; a dependency is a decision`];
}

/** The file an import means, from the root of the repository; undefined for an npm package. */
function targetOf(from: string, specifier: string): string | undefined {
  if (specifier.startsWith(".")) return posix.join(posix.dirname(from), specifier);
  const [, name, rest = ""] = /^@hybrid-access\/([^/]+)(?:\/(.*))?$/.exec(specifier) ?? [];
  return name === undefined ? undefined : `packages/${name}/src/${rest}`;
}

function judgeTarget(from: string, name: string, layer: Layer, target: string, specifier: string): Judgement {
  if (target.startsWith("test/")) {
    return ["test-stays-outside", `imports ${specifier}: the product does not depend on its tests`];
  }
  const other = layerOf(target);
  if (other === name) return undefined;
  if (isDaemon(name) && isDaemon(other ?? "")) {
    return ["daemons-apart", `${name} imports ${other}: the daemons share core and speak by RFC 8803 alone`];
  }
  if (specifier.startsWith(".") && packageOf(from) !== packageOf(target)) {
    return ["package-by-name", `imports ${specifier}: another package is named, @hybrid-access/core/<layer>/<file>`];
  }
  if (other === undefined || !layer.uses.includes(other)) {
    const uses = layer.uses.length === 0 ? "uses no other layer" : `uses only ${layer.uses.join(", ")}`;
    return ["layer", `${name} imports ${other ?? specifier}: ${name} ${uses}, and an arrow never points back`];
  }
  if (target.startsWith(ENGINE_FOLDER) && target.slice(ENGINE_FOLDER.length).includes("/")) {
    return ["seam", `imports ${specifier}: engines are chosen in engine/engines.ts and used through engine/engine.ts`];
  }
  return undefined;
}

function isDaemon(name: string): boolean {
  return name === "hcpe" || name === "hag";
}

function packageOf(path: string): string {
  return path.split("/").slice(0, 2).join("/");
}

/** Where time, chance and waiting come from. */
const CLOCKS =
  /\b(?:Date\.now|new Date\(\s*\)|performance\.\w+|process\.hrtime|Math\.random|getRandomValues|randomUUID|setTimeout|setInterval|setImmediate)\b/g;

function checkClock(path: string, code: string): Violation[] {
  return Array.from(code.matchAll(CLOCKS), ({ 0: name, index }) => ({
    rule: "clock" as const,
    place: `${path}:${lineOf(code, index)}`,
    message: `uses ${name}: time is a parameter (nowMs) and chance a port (base/random.ts), so that a run repeats exactly`,
  }));
}

/** What a layer's tsconfig.json says, as far as the rules go. */
export interface ProjectFile {
  readonly extends: string;
  readonly references: readonly { readonly path: string }[];
}

/** Whether the compiler enforces what layers.ts says about `name`. */
export function checkProject(name: string, project: ProjectFile): Violation[] {
  const layer = LAYERS[name];
  if (layer === undefined) return [];
  const place = `${layer.folder}/tsconfig.json`;
  const referenced = project.references.map(({ path }) => layerOf(`${posix.join(layer.folder, path)}/x`) ?? path);
  const extra = referenced.filter((reference) => !layer.uses.includes(reference));
  const missing = layer.uses.filter((used) => !referenced.includes(used));
  const base = layer.pure ? "tsconfig.base.json" : "tsconfig.node.json";
  const messages = [
    ...extra.map((reference) => `references ${reference}, which ${name} may not use`),
    ...missing.map((used) => `lacks the reference to ${used}, which ${name} may use`),
    ...(posix.basename(project.extends) === base ? [] : [`extends ${project.extends}, and must extend ${base}`]),
  ];
  return messages.map((message) => ({ rule: "tsconfig", place, message }));
}
