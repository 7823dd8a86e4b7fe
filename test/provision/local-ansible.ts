/** Real `ansible-playbook` (Debian's ansible-core) on the example inventory, with this host as every host and folders of its own. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
export const ANSIBLE = join(ROOT, "ansible");

/** Those of the example that run a daemon. */
export const HOSTS = ["hag-1", "hag-2", "home-1", "home-2"];

/** What a run did on a host, from its recap. */
export interface Recap {
  readonly changed: number;
  readonly failed: number;
}

export interface Run {
  readonly status: number | null;
  /** Everything it printed. */
  readonly output: string;
  readonly hosts: ReadonlyMap<string, Recap>;
}

/** Why there is no Ansible here; undefined when there is. */
export function whyNoAnsible(): string | undefined {
  const { error, status, stderr } = spawnSync("ansible-playbook", ["--version"], { encoding: "utf8" });
  return status === 0 ? undefined : (error?.message ?? stderr);
}

export function versionOf(daemon: string): string {
  const { version } = JSON.parse(readFileSync(join(ROOT, "packages", daemon, "package.json"), "utf8")) as {
    version: string;
  };
  return version;
}

/** Hosts that are folders: `directory/HOST` is the daemon's configuration folder of each. */
export class LocalHosts {
  readonly directory = mkdtempSync(join(tmpdir(), "hybrid-access-ansible-"));
  readonly #variables: string;

  constructor() {
    for (const daemon of ["hag", "hcpe"]) this.#addRelease(daemon);
    for (const name of ["bin", ...HOSTS.map((host) => join("units", host))]) {
      mkdirSync(join(this.directory, name), { recursive: true });
    }
    this.#variables = join(this.directory, "variables.json");
    const user = process.geteuid?.() === 0 ? "root" : (process.env.USER ?? "");
    writeFileSync(
      this.#variables,
      JSON.stringify({
        ansible_connection: "local",
        ansible_become: false,
        ansible_python_interpreter: "/usr/bin/python3",
        hybrid_access_node: process.execPath,
        hybrid_access_tarballs: "",
        hybrid_access_running: false,
        hybrid_access_prefix: join(this.directory, "opt"),
        hybrid_access_bin_directory: join(this.directory, "bin"),
        hybrid_access_unit_directory: join(this.directory, "units", "{{ inventory_hostname }}"),
        hag_user: user,
        hcpe_user: user,
        hag_sysctl_file: join(this.directory, "sysctl.conf"),
        hag_config_directory: join(this.directory, "{{ inventory_hostname }}"),
        hcpe_config_directory: join(this.directory, "{{ inventory_hostname }}"),
      }),
    );
  }

  /** The version of this tree, as npm would have left it. */
  #addRelease(daemon: string): void {
    const modules = join(this.directory, "opt", daemon, versionOf(daemon), "node_modules");
    mkdirSync(join(modules, "@hybrid-access"), { recursive: true });
    symlinkSync(join(ROOT, "packages", daemon), join(modules, "@hybrid-access", daemon));
    writeFileSync(join(modules, ".package-lock.json"), "{}");
  }

  /** Runs site.yml on some hosts (as of `--limit`), with further arguments of ansible-playbook. */
  site(hosts: string, ...args: readonly string[]): Run {
    return this.run(["playbooks/site.yml", "--skip-tags", "user", "-e", `@${this.#variables}`, "-l", hosts, ...args]);
  }

  run(args: readonly string[]): Run {
    const { status, stdout, stderr } = spawnSync("ansible-playbook", args, {
      cwd: ANSIBLE,
      encoding: "utf8",
      env: {
        ...process.env,
        LC_ALL: "C.UTF-8",
        ANSIBLE_HOME: join(this.directory, "ansible"),
        ANSIBLE_LOCAL_TEMP: join(this.directory, "temporary"),
        ANSIBLE_REMOTE_TEMP: join(this.directory, "temporary"),
        ANSIBLE_PIPELINING: "1",
        ANSIBLE_NOCOLOR: "1",
      },
    });
    return { status, output: stdout + stderr, hosts: recapOf(stdout) };
  }

  file(...path: readonly string[]): string {
    return readFileSync(join(this.directory, ...path), "utf8");
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function recapOf(output: string): Map<string, Recap> {
  const rows = output.matchAll(/^(\S+) +: ok=\d+ +changed=(\d+) +unreachable=\d+ +failed=(\d+)/gm);
  return new Map(
    Array.from(rows, ([, host = "", changed, failed]) => [host, { changed: Number(changed), failed: Number(failed) }]),
  );
}
