import { startAdminServer } from "./admin-server.js";
import { ConfigError, loadConfig } from "./config.js";
import { createHealth, type Health } from "./health.js";
import { createLogger, type Logger } from "./logger.js";
import { createMetrics, type Metrics } from "./metrics.js";

/** A service that has started. */
export interface RunningService {
  /** Port it listens on for clients, if any; told to the parent process. */
  readonly port?: number;
  /** Finishes what is under way and lets go of everything. Called once, given up at the stop deadline. */
  stop(): Promise<void>;
}

/** What a service gets from the process it runs in. */
export interface ServiceContext {
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly health: Health;
  /** Aborts when the process is asked to stop, also during the start. */
  readonly signal: AbortSignal;
}

/** What a parent process is told, over IPC, once the service has started and all parts of its health are ok. */
export interface ReadyMessage {
  readonly type: "ready";
  readonly port?: number;
}

/** What `runService` runs. */
export interface RunOptions {
  /** Short name of the service, in each log line and metric. */
  readonly name: string;
  /** Port of the administrative server instead of BIMIP_ADMIN_PORT; 0 = none. */
  readonly adminPort?: number;
  /** Makes the service; resolves when it does its work. */
  start(context: ServiceContext): Promise<RunningService>;
}

/**
 * The body of a service's main.ts: configuration, log, metrics, health, start, and the end of the process.
 *
 * SIGTERM, SIGINT (but for a supervised process) and the loss of the parent's IPC channel stop the service: it is no longer ready, `stop` is called,
 * the process exits with 0, or with 1 when `stop` fails or BIMIP_STOP_DEADLINE_MS passes. A start that fails, an
 * unhandled rejection and an uncaught exception are logged in one line and exit with 1.
 *
 * Resolves when the service is ready or is being stopped; the process lives on.
 */
export async function runService(options: RunOptions): Promise<void> {
  const config = readConfig(options.name);
  const logger = createLogger(options.name, config.BIMIP_LOG_LEVEL);
  exitOnBug(logger);
  const health = createHealth();
  const metrics = createMetrics(options.name);
  const stopping = new AbortController();
  // Parts that a start sets ok one by one must not add up to ready before it is done.
  health.set("start", false, "starting");

  let service: RunningService | undefined;
  const startService = async (): Promise<void> => {
    const adminPort = options.adminPort ?? config.BIMIP_ADMIN_PORT;
    if (adminPort !== 0) {
      const admin = await startAdminServer({ port: adminPort, host: config.BIMIP_ADMIN_HOST, health, metrics });
      logger.info({ host: config.BIMIP_ADMIN_HOST, port: admin.port }, "administrative server");
    }
    service = await options.start({ logger, metrics, health, signal: stopping.signal });
    health.set("start", true);
  };
  let started: Promise<void> | undefined;

  const stopService = async (reason: string): Promise<void> => {
    if (stopping.signal.aborted) return;
    logger.info({ reason }, "stopping");
    health.shutDown();
    const deadline = setTimeout(() => {
      logger.error({ deadlineMs: config.BIMIP_STOP_DEADLINE_MS }, "not stopped in time, exit");
      process.exit(1);
    }, config.BIMIP_STOP_DEADLINE_MS);
    stopping.abort(new Error(`stopping: ${reason}`));
    try {
      // A start that gives up because of the signal has nothing to stop.
      await started?.catch(() => undefined);
      await service?.stop();
    } catch (error) {
      logger.error({ err: error }, "stop failed");
      process.exit(1);
    }
    clearTimeout(deadline);
    logger.info("stopped");
    process.exit(0);
  };
  // Before the start: a signal that came in between would end the process the hard way.
  stopOnRequest((reason) => void stopService(reason));
  if (stopping.signal.aborted) return;

  try {
    started = startService();
    await started;
  } catch (error) {
    if (stopping.signal.aborted) return;
    logger.fatal({ err: error }, `start failed: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  }
  const stopped = new Promise<void>((resolve) => {
    stopping.signal.addEventListener("abort", () => resolve());
  });
  await Promise.race([health.whenReady(), stopped]);
  if (stopping.signal.aborted) return;
  logger.info(service?.port === undefined ? {} : { port: service.port }, "ready");
  tellParent(service?.port === undefined ? { type: "ready" } : { type: "ready", port: service.port });
}

function readConfig(name: string) {
  try {
    return loadConfig(["BIMIP_LOG_LEVEL", "BIMIP_ADMIN_PORT", "BIMIP_ADMIN_HOST", "BIMIP_STOP_DEADLINE_MS"]);
  } catch (error) {
    const problems = error instanceof ConfigError ? error.problems : [];
    createLogger(name, "info").fatal({ problems }, `start failed: ${String(error)}`);
    return process.exit(1);
  }
}

function exitOnBug(logger: Logger): void {
  process.on("uncaughtException", (error) => {
    logger.fatal({ err: error }, "uncaught exception");
    process.exit(1);
  });
  process.on("unhandledRejection", (reason) => {
    logger.fatal({ err: reason }, "unhandled rejection");
    process.exit(1);
  });
}

/**
 * Ctrl-C reaches a whole process group. Under a supervisor it is the supervisor's: it ends its services in order, each
 * by SIGTERM. A second request must not hurry.
 */
function stopOnRequest(stop: (reason: string) => void): void {
  const supervised = process.send !== undefined;
  process.on("SIGTERM", () => stop("SIGTERM"));
  process.on("SIGINT", () => {
    if (!supervised) stop("SIGINT");
  });
  process.on("disconnect", () => stop("the parent process is gone"));
  // The parent may have gone before this module was loaded.
  if (process.send !== undefined && !process.connected) stop("the parent process is gone");
}

function tellParent(message: ReadyMessage): void {
  // With a callback, a channel that was just closed is not an uncaught error; 'disconnect' deals with it.
  process.send?.(message, undefined, undefined, () => undefined);
}
