/**
 * Installs what a fresh clone lacks, and nothing else: npm packages, and the Debian packages that the lab needs. It asks
 * nothing. Where Debian packages may not be installed it names them and ends with exit code 1.
 *
 * Plain JavaScript without dependencies: it runs before anything is installed or built.
 */
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** A program the lab starts, and the Debian package it comes from. */
const PROGRAMS = [
  ["ip", "iproute2"],
  ["nft", "nftables"],
  ["sysctl", "procps"],
  ["curl", "curl"],
  ["nc", "netcat-openbsd"],
  ["redis-server", "redis-server"],
];

function say(text) {
  process.stderr.write(`prepare: ${text}\n`);
}

/** Runs a command to its end; when it fails, what it printed says why, and one line says what was wanted. */
function run(purpose, file, args, environment = {}) {
  try {
    // Standard output stays free for the command that follows: it may print JSON.
    execFileSync(file, args, { cwd: root, stdio: ["ignore", 2, 2], env: { ...process.env, ...environment } });
  } catch (error) {
    say(
      `${purpose} failed: "${[file, ...args].join(" ")}" ${error.status === null ? error.message : `ended with ${error.status}`}`,
    );
    process.exit(1);
  }
}

function npmPackagesAreCurrent() {
  const installed = `${root}/node_modules/.package-lock.json`;
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync(`${root}/package-lock.json`).mtimeMs;
}

function hasProgram(name) {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];
  return folders.some((folder) => existsSync(`${folder}/${name}`));
}

/** How to become root without being asked for a password; undefined when there is no way. */
function rootCommand() {
  if (process.getuid?.() === 0) return [];
  try {
    execFileSync("sudo", ["-n", "true"], { stdio: "ignore" });
    return ["sudo", "-n"];
  } catch {
    return undefined;
  }
}

function installDebianPackages() {
  const missing = PROGRAMS.filter(([program]) => !hasProgram(program)).map(([, name]) => name);
  if (missing.length === 0) return;
  const asRoot = rootCommand();
  if (asRoot === undefined || !hasProgram("apt-get")) {
    say(`these Debian packages are missing and may not be installed from here: ${missing.join(" ")}`);
    say(`install them (apt-get install ${missing.join(" ")}) and start again`);
    process.exit(1);
  }
  say(`installing Debian packages: ${missing.join(" ")}`);
  installed = true;
  const apt = (...args) => {
    const [file, ...rest] = [...asRoot, "apt-get", "-q", "-y", ...args];
    run("installing Debian packages", file, rest, { DEBIAN_FRONTEND: "noninteractive" });
  };
  apt("update");
  apt("install", "--no-install-recommends", ...missing);
}

const startMs = performance.now();
let installed = false;
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  say(`Node ${process.versions.node} is too old: 20.19 or later is needed`);
  process.exit(1);
}
if (!npmPackagesAreCurrent()) {
  say("installing npm packages");
  installed = true;
  run("installing npm packages", "npm", ["ci", "--no-audit", "--no-fund"]);
}
if (!process.argv.includes("--npm-only")) installDebianPackages();
if (installed) say(`installed what was missing in ${Math.round((performance.now() - startMs) / 1000)} s`);
