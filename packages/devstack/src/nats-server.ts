import { createNatsLauncher, type NatsLauncher, type NatsServerOptions } from "./nats-launcher.js";
import { logTail } from "./log-tail.js";
import type { Run } from "./supervisor.js";

const STOP_MS = 20_000;

/** A running nats-server. Nothing watches over it: after `kill` it stays down until `restart`. */
export interface NatsServerHandle {
  /** `nats://127.0.0.1:<port>`. */
  readonly url: string;
  readonly port: number;
  /** Of the present run. */
  readonly pid: number;
  /** Folder of its streams. */
  readonly storeDir: string;
  /** SIGTERM, SIGKILL after 20 s; resolves when it has ended. */
  stop(): Promise<void>;
  /** Sends a signal; resolves when the process has ended, or at once for a signal that does not end it. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Ends it if it runs, and starts it again on the same port and store; resolves when JetStream answers. */
  restart(): Promise<void>;
  /** The last lines of its log. */
  logTail(): string;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts a nats-server with JetStream on files, on 127.0.0.1, in this process's group; ends one that an earlier process
 * left over on this data directory first. Resolves when JetStream answers.
 *
 * @throws Error with the last lines of its log when it ends before, or does not answer within a minute.
 */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServerHandle> {
  const launcher = createNatsLauncher(options);
  await launcher.endLeftOver();
  return createHandle(launcher, await launchReady(launcher));
}

async function launchReady(launcher: NatsLauncher): Promise<Run> {
  const run = await launcher.launch();
  try {
    await run.ready;
    return run;
  } catch (error) {
    await run.kill("SIGKILL");
    await launcher.clear();
    throw error;
  }
}

function createHandle(launcher: NatsLauncher, first: Run): NatsServerHandle {
  let run = first;
  const stop = async () => {
    await run.stop(STOP_MS);
    await launcher.clear();
  };
  return {
    url: `nats://127.0.0.1:${launcher.port}`,
    port: launcher.port,
    get pid() {
      return run.pid;
    },
    storeDir: launcher.storeDir,
    stop,
    kill: (signal) => run.kill(signal),
    async restart() {
      await run.stop(STOP_MS);
      run = await launchReady(launcher);
    },
    logTail: () => logTail(launcher.logFile),
    [Symbol.asyncDispose]: stop,
  };
}
