/**
 * Installs what a fresh clone lacks, and nothing else: npm packages, and the Debian packages that the lab needs; with
 * --peers also the proxies that benchmarks compare with, whose services are not started, with --ansible Ansible. It asks nothing. Where Debian packages may not be installed it names them and ends with exit code 1.
 *
 * Plain JavaScript without dependencies: it runs before anything is installed or built.
 */
import { execFileSync } from "node:child_process";
import { accessSync, constants, existsSync, statSync } from "node:fs";
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
  ["bird", "bird2"],
  ["openssl", "openssl"],
  ["taskset", "util-linux"],
  ["tshark", "tshark"],
];

/** What `npm run test:ansible` runs. */
const ANSIBLE = [["ansible-playbook", "ansible-core"]];

/** What `npm run bench` compares with. */
const PEERS = [
  ["haproxy", "haproxy"],
  ["nginx", "nginx"],
  ["/usr/lib/nginx/modules/ngx_stream_module.so", "libnginx-mod-stream"],
  ["mptcpize", "mptcpize"],
];

const PACKAGE_DATABASE = "/var/lib/dpkg";

/** Asked by every Debian package that would start a service; exit code 101 forbids it (invoke-rc.d(8)). */
const SERVICE_POLICY = "/usr/sbin/policy-rc.d";
const SERVICES_FORBIDDEN = "#!/bin/sh\nexit 101\n";

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

/** A program by its name, or any file by its path. */
function hasProgram(name) {
  if (name.startsWith("/")) return existsSync(name);
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"];
  return folders.some((folder) => existsSync(`${folder}/${name}`));
}

function mayWrite(path) {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** How to become root without being asked for a password; undefined when there is no way. */
function rootCommand() {
  // Root of a user namespace is not the host's: it may not install.
  if (process.getuid?.() === 0) return mayWrite(PACKAGE_DATABASE) ? [] : undefined;
  try {
    execFileSync("sudo", ["-n", "true"], { stdio: "ignore" });
    return ["sudo", "-n"];
  } catch {
    return undefined;
  }
}

/** From now on until this process ends, no package may start a service. */
function forbidServices(asRoot) {
  if (existsSync(SERVICE_POLICY)) return;
  const shell = (command) => execFileSync("sh", ["-c", command], { input: SERVICES_FORBIDDEN, stdio: ["pipe", 2, 2] });
  const prefix = asRoot.join(" ");
  // Ctrl-C ends apt-get, which ends this process by way of "exit": the policy must not stay.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => process.exit(1));
  process.once("exit", () => shell(`${prefix} rm -f ${SERVICE_POLICY}`));
  shell(`${prefix} tee ${SERVICE_POLICY} >/dev/null && ${prefix} chmod 755 ${SERVICE_POLICY}`);
}

function installDebianPackages(programs) {
  const missing = programs.filter(([program]) => !hasProgram(program)).map(([, name]) => name);
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
  forbidServices(asRoot);
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
if (!process.argv.includes("--npm-only"))
  installDebianPackages([
    ...PROGRAMS,
    ...(process.argv.includes("--peers") ? PEERS : []),
    ...(process.argv.includes("--ansible") ? ANSIBLE : []),
  ]);
if (installed) say(`installed what was missing in ${Math.round((performance.now() - startMs) / 1000)} s`);
