import { openDataDir, type DataDir } from "./data-dir.js";
import { findNatsServer } from "./find-nats-server.js";
import { checkPort } from "./free-port.js";
import { keptJwtSecret } from "./jwt-secret.js";
import { createNatsLauncher } from "./nats-launcher.js";
import { bimipServices, endServiceLeftOver, launchService, type ServiceSpec } from "./service-spec.js";
import type { StackEvent } from "./stack-event.js";
import { readStackSettings, type StackSettings } from "./stack-settings.js";
import { supervise, type Supervisor } from "./supervisor.js";

const READY_MS = 60_000;
const NATS = "nats-server";
const NATS_STOP_MS = 20_000;
// Beyond what a service gives itself, before it is killed.
const STOP_GRACE_MS = 2_000;

/** How to start a stack. The environment's settings are those of docs/5-setup.md; `port`, `host`, `natsUrl` win over it. */
export interface StackOptions {
  /** Folder for everything that is kept: streams, secret, logs, process ids. One stack at a time. */
  readonly dataDir: string;
  /** Handed on to the services, with the addresses and the secret filled in. */
  readonly env: NodeJS.ProcessEnv;
  /** Port of the first gateway, 0 = any free one. Default: BIMIP_PORT. */
  readonly port?: number;
  /** Default: BIMIP_HOST. */
  readonly host?: string;
  /** Uses this server instead of starting one. Default: NATS_URL. */
  readonly natsUrl?: string;
  /** Gateways, on further free ports. Default 1. */
  readonly gateways?: number;
  /** What runs instead of the four services; for tests of the stack itself. */
  readonly services?: readonly ServiceSpec[];
  readonly onEvent?: (event: StackEvent) => void;
}

/** A process of the stack; its id changes when it is started again. */
export interface StackProcess {
  readonly name: string;
  readonly pid: number;
  /** Sends a signal; resolves when the process has ended, or at once for a signal that does not end it. */
  kill(signal: NodeJS.Signals): Promise<void>;
}

/** A running stack. */
export interface Stack {
  /** `ws://host:port/v1/ws` of the first gateway. */
  readonly url: string;
  /** `http://host:port` of the first gateway. */
  readonly httpUrl: string;
  /** The same of every gateway, in order. */
  readonly gateways: readonly { readonly name: string; readonly url: string; readonly httpUrl: string }[];
  readonly natsUrl: string;
  /** Key of the tokens' HS256 signature. */
  readonly secret: string;
  /** Absolute path. */
  readonly dataDir: string;
  /** The present process ids, nats-server's first, if the stack runs one. */
  processes(): { readonly name: string; readonly pid: number }[];
  /** @throws Error when nothing has this name: `nats-server`, `storage`, `router`, `awareness`, `gateway`, `gateway-2` … */
  process(name: string): StackProcess;
  /**
   * Resolves when every process is ready, now or after a restart.
   *
   * @param deadlineMs default 60,000. @throws Error with the last lines of the log of one that is not.
   */
  ready(deadlineMs?: number): Promise<void>;
  /** Ends the gateways, then the other services, then nats-server. Again, or meanwhile, waits for the same end. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts nats-server and the services, all in this process's group, and keeps them running. Resolves when all are ready.
 *
 * @throws Error when the data directory is in use, the port is taken, no nats-server is found, or a process does not
 * become ready within 60 s; nothing is left running then.
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const settings = await readStackSettings(options.env, options);
  const services = options.services ?? bimipServices(settings.ports, options.env);
  const dataDir = await openDataDir(options.dataDir);
  const running = createRunningSet(settings.stopDeadlineMs + STOP_GRACE_MS, dataDir);
  try {
    return await bringUp(options, { settings, services, dataDir, running });
  } catch (error) {
    await running.stop();
    throw error;
  }
}

interface Plan {
  readonly settings: StackSettings;
  readonly services: readonly ServiceSpec[];
  readonly dataDir: DataDir;
  readonly running: RunningSet;
}

async function bringUp(options: StackOptions, { settings, services, dataDir, running }: Plan): Promise<Stack> {
  const onEvent = (event: StackEvent) => options.onEvent?.(event);
  const { host, ports } = settings;
  for (const spec of services) {
    const pid = await endServiceLeftOver(spec, dataDir);
    if (pid !== undefined) onEvent({ type: "left-over", name: spec.name, pid });
  }
  for (const port of ports) await checkPort(port, host);
  const secret = settings.secret ?? (await keptJwtSecret(dataDir.secretFile));
  const natsUrl = settings.natsUrl ?? (await startNats({ options, dataDir, running, onEvent }));
  const env = {
    ...options.env,
    NATS_URL: natsUrl,
    BIMIP_HOST: host,
    BIMIP_PORT: String(ports[0]),
    BIMIP_JWT_SECRET: secret,
    BIMIP_DATA_DIR: dataDir.path,
  };
  for (const spec of services) {
    const launch = () => launchService(spec, dataDir, env);
    running.add(supervise({ name: spec.name, logFile: dataDir.logFile(spec.name), launch, onEvent }));
  }
  await running.ready(READY_MS);

  const gateways = ports.map((port, index) => ({
    name: index === 0 ? "gateway" : `gateway-${index + 1}`,
    url: `ws://${addressOf(host)}:${port}/v1/ws`,
    httpUrl: `http://${addressOf(host)}:${port}`,
  }));
  const [first] = gateways;
  if (!first) throw new Error("a stack needs at least one gateway");
  return {
    url: first.url,
    httpUrl: first.httpUrl,
    gateways,
    natsUrl,
    secret,
    dataDir: dataDir.path,
    processes: () => running.all.map(({ name, pid }) => ({ name, pid })),
    process: (name) => running.get(name),
    ready: (deadlineMs = READY_MS) => running.ready(deadlineMs),
    stop: running.stop,
    [Symbol.asyncDispose]: running.stop,
  };
}

async function startNats(plan: {
  options: StackOptions;
  dataDir: DataDir;
  running: RunningSet;
  readonly onEvent: (event: StackEvent) => void;
}): Promise<string> {
  const { options, dataDir, running, onEvent } = plan;
  const onProgress = (line: string) => onEvent({ type: "progress", line });
  const binary = await findNatsServer({ env: options.env, onProgress });
  onProgress(`nats-server ${binary.version} (${binary.path})`);
  const launcher = createNatsLauncher({ binary: binary.path, dataDir: dataDir.path });
  const leftOver = await launcher.endLeftOver();
  if (leftOver !== undefined) onEvent({ type: "left-over", name: NATS, pid: leftOver });
  const { logFile } = launcher;
  const server = supervise({ name: NATS, logFile, launch: () => launcher.launch(), onEvent });
  running.add(server);
  await server.whenReady(READY_MS);
  return `nats://127.0.0.1:${launcher.port}`;
}

/** The address a client on this machine reaches a listening address at. */
function addressOf(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

interface RunningSet {
  readonly all: readonly Supervisor[];
  add(supervisor: Supervisor): void;
  get(name: string): Supervisor;
  ready(deadlineMs: number): Promise<void>;
  readonly stop: () => Promise<void>;
}

/** The processes of a stack, in the order of their start. */
function createRunningSet(stopDeadlineMs: number, dataDir: DataDir): RunningSet {
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
    await stopThose(stopDeadlineMs, isGateway);
    await stopThose(stopDeadlineMs, (name) => name !== NATS && !isGateway(name));
    await stopThose(NATS_STOP_MS, (name) => name === NATS);
    process.removeListener("exit", endAll);
    await dataDir.release();
  };
  let stopped: Promise<void> | undefined;
  return {
    all,
    add: (supervisor) => all.push(supervisor),
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
