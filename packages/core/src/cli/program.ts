/** The command tree that hcpe and hag share: run, check, status, version. */
import { Command, CommanderError, Option } from "commander";
import { describeError } from "../base/error.ts";
import { askDaemon, followDaemon } from "../services/admin.ts";
import { EXIT, exitCodeFor } from "./exit-code.ts";
import { renderStatus } from "./status.ts";

/** What a daemon's command has of its own. */
export interface DaemonCommands {
  readonly name: "hcpe" | "hag";
  readonly description: string;
  readonly version: string;
  readonly defaultConfig: string;
  /** Serves until told to end. */
  run(config: ConfigOptions): Promise<void>;
  /** Loads the configuration and tries what the host offers; gives what it found. Throws when something needed lacks. */
  check(config: ConfigOptions): object | Promise<object>;
  adminSocket(config: ConfigOptions): string;
  /** Questions to the running daemon besides `status`. */
  readonly questions?: readonly Question[];
}

/** A command that asks the running daemon. */
export interface Question {
  /** Its words, with a space between: "farm status" is `status` in the group `farm`. */
  readonly name: string;
  readonly description: string;
  /** The path on the admin socket. */
  path(options: QuestionOptions): string;
  /** The answer as text; left out: as `status` is shown. */
  render?(answer: object): string;
  /** Takes `--limit <number>`. */
  readonly limited?: boolean;
  /** With `--follow`: a path that goes on, and one of its items as text. */
  readonly follow?: { readonly path: string; render(item: object): string };
}

export interface QuestionOptions {
  readonly limit?: string;
  readonly follow?: boolean;
}

export interface ConfigOptions {
  readonly config: string;
  readonly set: readonly string[];
}

interface OutputOptions extends ConfigOptions {
  readonly json?: boolean;
}

/** Parses `argv` (without node and script), runs the command, and gives the exit code. */
export async function runProgram(commands: DaemonCommands, argv: readonly string[]): Promise<number> {
  const program = new Command(commands.name)
    .description(commands.description)
    .version(`${commands.name} ${commands.version}`, "-V, --version", "print the version")
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error:/, `${commands.name}:`)) })
    .exitOverride();
  const command = (name: string, description: string, group = program) =>
    group
      .command(name)
      .description(description)
      .exitOverride()
      .option("-c, --config <file>", "configuration file", commands.defaultConfig)
      .addOption(
        new Option("--set <key=value>", "override a setting; may be repeated").argParser(collect).default([], "none"),
      );
  command("run", "run in the foreground until SIGTERM; SIGHUP reloads").action((options: ConfigOptions) =>
    commands.run(options),
  );
  command("check", "check the configuration and what this host offers")
    .option("--json", "print JSON")
    .action(async (options: OutputOptions) => print(await commands.check(options), options));
  command("status", "ask the running daemon how it is")
    .option("--json", "print JSON")
    .action(async (options: OutputOptions) => {
      print((await askDaemon(commands.adminSocket(options), "/status")) as object, options);
    });
  for (const question of commands.questions ?? []) {
    const words = question.name.split(" ");
    const group = words.slice(0, -1).reduce((parent, word) => parent.command(word).exitOverride(), program);
    const asked = command(words.at(-1) ?? "", question.description, group).option("--json", "print JSON");
    if (question.limited) asked.option("--limit <number>", "show no more than this");
    if (question.follow) asked.option("--follow", "go on with what happens from now on");
    asked.action((options: OutputOptions & QuestionOptions) => ask(commands, question, options));
  }
  program
    .command("version")
    .description("print the version")
    .option("--json", "print JSON")
    .option("-c, --config <file>", "accepted for uniformity", commands.defaultConfig)
    .action(({ json }: { json?: boolean }) => {
      const version = { name: commands.name, version: commands.version, node: process.versions.node };
      process.stdout.write(`${json ? JSON.stringify(version) : `${commands.name} ${commands.version}`}\n`);
    });
  try {
    await program.parseAsync(argv, { from: "user" });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const lines = describeError(error).split("\n");
    process.stderr.write(lines.map((line) => `${commands.name}: ${line}\n`).join(""));
    return exitCodeFor(error);
  }
}

async function ask(
  commands: DaemonCommands,
  question: Question,
  options: OutputOptions & QuestionOptions,
): Promise<void> {
  const socket = commands.adminSocket(options);
  const { json = false } = options;
  if (options.follow !== true || question.follow === undefined) {
    const answer = (await askDaemon(socket, question.path(options))) as object;
    process.stdout.write(json ? `${JSON.stringify(answer)}\n` : (question.render ?? renderStatus)(answer));
    return;
  }
  const stop = new AbortController();
  // Whoever read the output has gone (`| head`).
  process.stdout.once("error", () => stop.abort());
  for await (const item of followDaemon(socket, question.follow.path, stop.signal)) {
    process.stdout.write(json ? `${JSON.stringify(item)}\n` : question.follow.render(item));
  }
}

function collect(value: string, previous: readonly string[]): readonly string[] {
  return [...previous, value];
}

function print(answer: object, { json = false }: OutputOptions): void {
  process.stdout.write(json ? `${JSON.stringify(answer)}\n` : renderStatus(answer));
}
