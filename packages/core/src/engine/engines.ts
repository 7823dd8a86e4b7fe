/** Every engine by its name in the configuration: the one place that knows which implementations there are. */
import type { EngineKind } from "./engine-control.ts";
import { KernelControl } from "./kernel/kernel-control.ts";
import { startKernelWorker } from "./kernel/kernel-worker.ts";
import { probeCapabilities } from "./kernel/probe.ts";
import { probeUserspace } from "./userspace/probe.ts";
import { UserspaceControl } from "./userspace/userspace-control.ts";
import { startUserspaceWorker } from "./userspace/userspace-worker.ts";

export const ENGINES = {
  kernel: {
    probe: probeCapabilities,
    openControl: (options) => new KernelControl(options),
    startWorker: startKernelWorker,
  },
  userspace: {
    probe: probeUserspace,
    openControl: (options) => new UserspaceControl(options),
    startWorker: startUserspaceWorker,
  },
} as const satisfies Record<string, EngineKind>;

export type EngineName = keyof typeof ENGINES;
