import type { DataDir } from "./data-dir.js";
import { type SupervisedProcess, supervise, type Supervisor } from "./supervisor.js";

/** Name of the server among the processes of a stack. */
export const NATS = "nats-server";

const NATS_STOP_MS = 20_000;

/** The processes of a stack, in the order of their start. */
export interface RunningSet {
  readonly isStopping: boolean;
  readonly all: readonly Supervisor[];
  /** @throws Error when the set is being stopped. */
  start(process: SupervisedProcess): Supervisor;
  /** @throws Error when there is none of this name. */
  get(name: string): Supervisor;
  ready(deadlineMs: number): Promise<void>;
  readonly stop: () => Promise<void>;
}

/** @param stopDeadlineMs for each service, before it is killed. `stop` gives the data directory back. */
export function createRunningSet(stopDeadlineMs: number, dataDir: DataDir): RunningSet {
  const all: Supervisor[] = [];
  // A parent that dies of an error takes its children along; after a kill -9 the next start does.
  const endAll = () => {
    for (const one of all) void one.kill("SIGTERM");
  };
  process.once("exit", endAll);
  const stopThose = async (deadlineMs: number, which: (name: string) => boolean) => {
    await Promise.all(all.filter(({ name }) => which(name)).map((one) => one.stop(deadlineMs)));
  };
  const stopAll = async () => {
    const isGateway = (name: string) => name.startsWith("gateway");
    // nats-server is still kept running: what the gateways have under way is stored through it.
    for (const one of all) if (one.name !== NATS) one.retire();
    await stopThose(stopDeadlineMs, isGateway);
    await stopThose(stopDeadlineMs, (name) => name !== NATS && !isGateway(name));
    await stopThose(NATS_STOP_MS, (name) => name === NATS);
    process.removeListener("exit", endAll);
    await dataDir.release();
  };
  let stopped: Promise<void> | undefined;
  return {
    all,
    get isStopping() {
      return stopped !== undefined;
    },
    start(process) {
      if (stopped) throw new Error("the stack is being stopped");
      const supervisor = supervise(process);
      all.push(supervisor);
      return supervisor;
    },
    get(name) {
      const found = all.find((one) => one.name === name);
      if (!found) throw new Error(`no process ${name}: there are ${all.map((one) => one.name).join(", ")}`);
      return found;
    },
    async ready(deadlineMs) {
      await Promise.all(all.map((one) => one.whenReady(deadlineMs)));
    },
    stop: () => (stopped ??= stopAll()),
  };
}
