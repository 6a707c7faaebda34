import type { NatsAccess } from "@bimip/nats";
import { openDataDir, type DataDir } from "./data-dir.js";
import { developmentLimits } from "./development-limits.js";
import { findNatsServer } from "./find-nats-server.js";
import { checkPort } from "./free-port.js";
import { keptJwtSecret } from "./jwt-secret.js";
import { createNatsLauncher } from "./nats-launcher.js";
import { adminAccess, adoptOldStore, type DevNatsUsers, keptNatsUsers, natsUserOf } from "./nats-users.js";
import { createRunningSet, NATS, type RunningSet } from "./running-set.js";
import { bimipServices, endServiceLeftOver, launchService, type ServiceSpec } from "./service-spec.js";
import type { StackEvent } from "./stack-event.js";
import { readStackSettings, type StackSettings } from "./stack-settings.js";

const READY_MS = 60_000;
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
  /** Gives up a start that is under way: it stops what was started, then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
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
  /** `ws://host:port/v1/ws` of the first gateway; `wss`, and below `https`, where it has a certificate. */
  readonly url: string;
  /** `http://host:port` of the first gateway. */
  readonly httpUrl: string;
  /** The same of every gateway, in order. */
  readonly gateways: readonly { readonly name: string; readonly url: string; readonly httpUrl: string }[];
  readonly natsUrl: string;
  /** How to get in there as somebody who may do everything; without a user where it is not the stack's own. */
  readonly natsAccess: NatsAccess;
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
  const { signal } = options;
  const givenUp = new Promise<never>((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    signal?.throwIfAborted();
    return await Promise.race([bringUp(options, { settings, services, dataDir, running }), givenUp]);
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
  const onEvent = (event: StackEvent) => {
    // Ctrl-C reaches the whole group: what ends by itself meanwhile is no news.
    if (!running.isStopping || event.type === "stopped") options.onEvent?.(event);
  };
  const { host, ports } = settings;
  for (const spec of services) {
    const pid = await endServiceLeftOver(spec, dataDir);
    if (pid !== undefined) onEvent({ type: "left-over", name: spec.name, pid });
  }
  for (const port of ports) await checkPort(port, host);
  const secret = settings.secret ?? (await keptJwtSecret(dataDir.secretFile));
  const users = settings.natsUrl === undefined ? await keptNatsUsers(dataDir.path, settings.partitions) : undefined;
  const natsUrl = settings.natsUrl ?? (await startNats({ options, dataDir, running, onEvent, users }));
  const env = {
    ...options.env,
    ...developmentLimits(options.env),
    // Tokens are renewed with the key that they are made with.
    ...(settings.secret === undefined && !options.env["BIMIP_TOKEN_SIGNING_KEY_FILE"]
      ? { BIMIP_TOKEN_SIGNING_KEY_FILE: dataDir.secretFile }
      : {}),
    NATS_URL: natsUrl,
    BIMIP_HOST: host,
    BIMIP_PORT: String(ports[0]),
    BIMIP_JWT_SECRET: secret,
    BIMIP_DATA_DIR: dataDir.path,
  };
  for (const spec of services) {
    const user = natsUserOf(spec.name);
    const login = user === undefined ? {} : users?.env(user);
    const launch = () => launchService(spec, dataDir, { ...env, ...login });
    running.start({ name: spec.name, logFile: dataDir.logFile(spec.name), launch, onEvent });
  }
  await running.ready(READY_MS);

  const secure = options.env["BIMIP_TLS_CERT_FILE"] ? "s" : "";
  const gateways = ports.map((port, index) => ({
    name: index === 0 ? "gateway" : `gateway-${index + 1}`,
    url: `ws${secure}://${addressOf(host)}:${port}/v1/ws`,
    httpUrl: `http${secure}://${addressOf(host)}:${port}`,
  }));
  const [first] = gateways;
  if (!first) throw new Error("a stack needs at least one gateway");
  return {
    url: first.url,
    httpUrl: first.httpUrl,
    gateways,
    natsUrl,
    natsAccess: users === undefined ? { servers: natsUrl } : adminAccess(dataDir.path, natsUrl),
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
  readonly users: DevNatsUsers | undefined;
}): Promise<string> {
  const { options, dataDir, running, onEvent, users } = plan;
  const { env, signal } = options;
  const onProgress = (line: string) => onEvent({ type: "progress", line });
  const binary = await findNatsServer({ env, onProgress, ...(signal && { signal }) });
  onProgress(`nats-server ${binary.version} (${binary.path})`);
  const launcher = createNatsLauncher({
    binary: binary.path,
    dataDir: dataDir.path,
    name: "nats-1",
    ...(users !== undefined && { config: users.config, login: users.admin }),
  });
  const leftOver = await launcher.endLeftOver();
  if (leftOver !== undefined) onEvent({ type: "left-over", name: NATS, pid: leftOver });
  await adoptOldStore(launcher.storeDir);
  const { logFile } = launcher;
  const server = running.start({ name: NATS, logFile, launch: () => launcher.launch(), onEvent });
  await server.whenReady(READY_MS);
  return `nats://127.0.0.1:${launcher.port}`;
}

/** The address a client on this machine reaches a listening address at. */
function addressOf(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}
