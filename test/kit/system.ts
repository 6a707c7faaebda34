import { issueToken } from "@bimip/auth";
import { createAwareness, readConfig as readAwarenessConfig } from "@bimip/awareness";
import { developmentLimits } from "@bimip/devstack";
import { createGateway, readConfig as readGatewayConfig } from "@bimip/gateway";
import { createRouter, readConfig as readRouterConfig } from "@bimip/router";
import {
  createHealth,
  createLogger,
  createMetrics,
  type Metrics,
  type RunningService,
  type ServiceContext,
} from "@bimip/runtime";
import { createStorage, readConfig as readStorageConfig } from "@bimip/storage";
import { Device } from "./device.js";
import { startTestNats } from "./nats.js";

export const SECRET = "a secret of the tests, longer than 32 bytes";

/** The four services in this process, over a real nats-server. */
export interface System {
  readonly nats: Awaited<ReturnType<typeof startTestNats>>;
  /** One URL per gateway. */
  readonly urls: readonly string[];
  token(eid: string, device: string, extra?: { scope?: string }): Promise<string>;
  /** What /metrics of all services would say. */
  metrics(): Promise<string>;
  /** Connects a device to the first (or the given) gateway. */
  device(
    eid: string,
    device: string,
    options?: {
      gateway?: number;
      query?: string;
      scope?: string;
      settle?: boolean;
      /** Gets everything retained, where a further device of a user would begin at the head. */
      everything?: boolean;
    },
  ): Promise<Device>;
  /** Stops all services and nats-server, and starts them again on the same store; the gateways' URLs are others then. */
  restart(): Promise<void>;
  /** Stops the services of that name, as if they were not there. */
  stopServices(name: "router" | "storage" | "awareness" | "gateway"): Promise<void>;
  stop(): Promise<void>;
}

/**
 * @param options.awareness replicas of it, 1 unless told
 * @param options.onLog gets every line that a service logs, JSON, down to level trace
 */
export async function startSystem(
  options: { gateways?: number; awareness?: number; env?: Record<string, string>; onLog?: (line: string) => void } = {},
): Promise<System> {
  const nats = await startTestNats({ users: { partitions: Number(options.env?.["BIMIP_LOG_PARTITIONS"] ?? 4) } });
  const env = {
    NATS_URL: nats.url,
    BIMIP_JWT_SECRET: SECRET,
    BIMIP_PORT: "0",
    ...developmentLimits(options.env ?? {}),
    ...options.env,
  };
  const abort = new AbortController();
  const services: { readonly name: string; stop(): Promise<void> }[] = [];
  const devices: Device[] = [];
  const metrics: Metrics[] = [];
  const { onLog } = options;
  /** Each service has its own user's permissions: what they do not hold is a bug of the table, or of the service. */
  const violations: string[] = [];
  const onLine = (line: string): void => {
    if (line.includes("NATS does not allow this")) violations.push(line);
    onLog?.(line);
  };
  const start = async <T extends RunningService>(
    name: string,
    create: (context: ServiceContext) => Promise<T>,
  ): Promise<T> => {
    const ofService = createMetrics(name);
    metrics.push(ofService);
    const logger = createLogger(name, onLog === undefined ? "error" : "trace", { write: onLine });
    const service = await create({ logger, metrics: ofService, health: createHealth(), signal: abort.signal });
    services.unshift({ name, stop: () => service.stop() });
    return service;
  };
  const urls: string[] = [];
  const startAll = async (): Promise<void> => {
    await start("storage", (context) => createStorage(readStorageConfig({ ...env, ...nats.env("storage") }), context));
    await start("router", (context) => createRouter(readRouterConfig({ ...env, ...nats.env("router") }), context));
    for (let at = 0; at < (options.awareness ?? 1); at++)
      await start("awareness", (context) =>
        createAwareness(readAwarenessConfig({ ...env, ...nats.env("awareness") }), context),
      );
    for (let at = 0; at < (options.gateways ?? 1); at++) {
      const config = readGatewayConfig({ ...env, ...nats.env("gateway"), BIMIP_NODE: `gateway-${at + 1}` });
      const { port } = await start("gateway", (context) => createGateway(config, context));
      urls.push(`ws://127.0.0.1:${port}/v1/ws`);
    }
  };
  const stopAll = async (wanted: (name: string) => boolean): Promise<void> => {
    for (const service of services.filter(({ name }) => wanted(name))) {
      services.splice(services.indexOf(service), 1);
      await service.stop();
    }
  };
  await startAll();
  const token: System["token"] = (eid, device, extra = {}) => issueToken({ secret: SECRET, eid, device, ...extra });
  return {
    nats,
    urls,
    token,
    metrics: async () => (await Promise.all(metrics.map((one) => one.text()))).join("\n"),
    async device(eid, name, { gateway = 0, query, scope, settle = true, everything = false } = {}) {
      const url = urls[gateway] ?? "";
      const device = await Device.open(url, {
        token: await token(eid, name, scope === undefined ? {} : { scope }),
        ...(everything ? { query: "?resume=manual" } : query === undefined ? {} : { query }),
        settle: settle && !everything,
      });
      devices.push(device);
      if (everything) device.resume(-1n);
      if (everything && settle) await device.resumed();
      return device;
    },
    async restart() {
      await stopAll(() => true);
      urls.length = 0;
      metrics.length = 0;
      await nats.restart();
      await startAll();
    },
    stopServices: (name) => stopAll((one) => one === name),
    async stop() {
      for (const device of devices) device.socket.terminate();
      abort.abort();
      await stopAll(() => true);
      await nats.remove();
      if (violations.length > 0) throw new Error(`NATS did not allow:\n${violations.join("")}`);
    },
  };
}
