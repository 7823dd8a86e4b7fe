/** Drives a path manager: events and uplinks in, its commands to the engine, its timers by Node's clock. */
import type { PathControl } from "@hybrid-access/core/engine/engine";
import type { PathCommand, PathManager, UplinkAddress } from "@hybrid-access/core/policy/path-manager/path-manager";
import type { Logger } from "@hybrid-access/core/services/log";

export class PathDriver {
  readonly #manager: PathManager;
  readonly #control: PathControl;
  readonly #log: Logger;
  #timer: NodeJS.Timeout | undefined;

  constructor(manager: PathManager, control: PathControl, log: Logger) {
    this.#manager = manager;
    this.#control = control;
    this.#log = log;
    control.onEvent((event) => {
      log.debug({ event }, "path event");
      this.#carryOut(manager.onEvent(event, performance.now()));
    });
  }

  setUplinks(addresses: readonly UplinkAddress[]): void {
    this.#carryOut(this.#manager.onUplinks(addresses, performance.now()));
  }

  #carryOut(commands: readonly PathCommand[]): void {
    for (const command of commands) {
      const done = this.#control.execute(command);
      this.#log.debug({ command, done }, "path command");
    }
    this.#schedule();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const nextMs = this.#manager.nextTimerMs;
    if (nextMs === undefined) return;
    this.#timer = setTimeout(
      () => this.#carryOut(this.#manager.onTimer(performance.now())),
      Math.max(1, nextMs - performance.now()),
    );
    this.#timer.unref();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#control.close();
  }
}
