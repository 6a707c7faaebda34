import { chmod, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Child, describeExit, startChild } from "./child.js";
import { hasCode, mkdirs } from "./files.js";
import { type NatsLogin, waitForJetStream } from "./jetstream-probe.js";
import { endLeftOver, hasArgument } from "./left-over.js";
import { logTail } from "./log-tail.js";
import type { Run } from "./supervisor.js";

// A large store is read back before the port opens.
const READY_MS = 60_000;
const POLL_MS = 10;

/** How to run a nats-server on a data directory. */
export interface NatsServerOptions {
  /** Path of the binary, such as `findNatsServer` returns. */
  readonly binary: string;
  /** Folder for its configuration, log, process id and, below `nats/`, its streams. Made when missing. */
  readonly dataDir: string;
  /** Port on 127.0.0.1. Default: a free one, kept over restarts. */
  readonly port?: number;
  /** Name of the server. Default: one that it makes up at each start. */
  readonly name?: string;
  /** Further lines of its configuration file. */
  readonly config?: string;
  /** Whom to ask it as whether it is ready, where `config` makes users. */
  readonly login?: NatsLogin;
  /** Further lines of that file's `jetstream` block, such as `sync_interval: always`. */
  readonly jetstream?: string;
}

/** Starts the same nats-server, again and again, on the same port and store. */
export interface NatsLauncher {
  readonly storeDir: string;
  readonly logFile: string;
  /** 0 until the first run is ready. */
  readonly port: number;
  /** Ends a nats-server that an earlier process left on this data directory; its process id if there was one. */
  endLeftOver(): Promise<number | undefined>;
  launch(): Promise<Run>;
  /** Forgets the process id, after a stop in order. */
  clear(): Promise<void>;
}

/** Lays out the data directory; starts nothing yet. */
export function createNatsLauncher(options: NatsServerOptions): NatsLauncher {
  const dataDir = resolve(options.dataDir);
  const path = (name: string) => join(dataDir, name);
  const files = { config: path("nats-server.conf"), pid: path("nats-server.pid"), log: path("nats-server.log") };
  const [storeDir, portsDir] = [path("nats"), path("nats-ports")];
  let port = options.port ?? 0;

  const configuration = () =>
    [
      // -1 has the server choose, and say so in a file: no other process can take the port in between.
      `port: ${port || -1}`,
      'host: "127.0.0.1"',
      ...(options.name ? [`server_name: ${quote(options.name)}`] : []),
      `pid_file: ${quote(files.pid)}`,
      `ports_file_dir: ${quote(portsDir)}`,
      `jetstream {\n  store_dir: ${quote(storeDir)}\n  ${options.jetstream ?? ""}\n}`,
      options.config ?? "",
      "",
    ].join("\n");

  const becomeReady = async (child: Child): Promise<void> => {
    const ended = new AbortController();
    void child.exited.then((exit) => ended.abort(new Error(`nats-server ended with ${describeExit(exit)}`)));
    const late = new Error(`nats-server does not answer after ${READY_MS / 1_000} s`);
    const timer = setTimeout(() => ended.abort(late), READY_MS);
    const { signal } = ended;
    try {
      port = await portOf(child.pid, portsDir, signal);
      await waitForJetStream(port, signal, options.login);
    } catch (error) {
      const reason: unknown = signal.aborted ? signal.reason : error;
      const message = reason instanceof Error ? reason.message : String(reason);
      throw new Error(`${message}\n${logTail(files.log)}`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    storeDir,
    logFile: files.log,
    get port() {
      return port;
    },
    endLeftOver: () =>
      endLeftOver({ pidFile: files.pid, isOurs: (running) => hasArgument(running, "-c", files.config) }),
    async launch() {
      await rm(portsDir, { recursive: true, force: true });
      await mkdirs(dataDir, storeDir, portsDir);
      await writeFile(files.config, configuration(), { mode: 0o600 });
      await chmod(files.config, 0o600);
      const child = startChild({
        command: options.binary,
        args: ["-c", files.config],
        env: process.env,
        logFile: files.log,
      });
      // The server writes the same by itself, but only once it has read its store.
      if (child.pid) await writeFile(files.pid, `${child.pid}\n`);
      return Object.assign(child, { ready: becomeReady(child) });
    },
    clear: () => rm(files.pid, { force: true }),
  };
}

/** A string of NATS's configuration language. */
function quote(text: string): string {
  return `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** Reads the port from `<program>_<pid>.ports`, which the server writes when it listens. */
async function portOf(pid: number, portsDir: string, signal: AbortSignal): Promise<number> {
  for (;;) {
    signal.throwIfAborted();
    const name = (await readdir(portsDir)).find((entry) => entry.endsWith(`_${pid}.ports`));
    const port = name ? portIn(await readFile(join(portsDir, name), "utf8").catch(ifGone)) : undefined;
    if (port) return port;
    await sleep(POLL_MS, undefined, { signal });
  }
}

function ifGone(error: unknown): string {
  if (hasCode(error, "ENOENT")) return "";
  throw error;
}

function portIn(text: string): number | undefined {
  // The file may be seen half written.
  const found = /"nats":\s*\["nats:\/\/[^"]*:(\d+)"/.exec(text)?.[1];
  return found ? Number(found) : undefined;
}
