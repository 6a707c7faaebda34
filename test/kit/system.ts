import { issueToken } from "@bimip/auth";
import { createAwareness, readConfig as readAwarenessConfig } from "@bimip/awareness";
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
  stop(): Promise<void>;
}

/**
 * @param options.awareness replicas of it, 1 unless told
 * @param options.onLog gets every line that a service logs, JSON, down to level trace
 */
export async function startSystem(
  options: { gateways?: number; awareness?: number; env?: Record<string, string>; onLog?: (line: string) => void } = {},
): Promise<System> {
  const nats = await startTestNats();
  const env = { NATS_URL: nats.url, BIMIP_JWT_SECRET: SECRET, BIMIP_PORT: "0", ...options.env };
  const abort = new AbortController();
  const services: RunningService[] = [];
  const devices: Device[] = [];
  const metrics: Metrics[] = [];
  const { onLog } = options;
  const start = async <T extends RunningService>(
    name: string,
    create: (context: ServiceContext) => Promise<T>,
  ): Promise<T> => {
    const ofService = createMetrics(name);
    metrics.push(ofService);
    const logger =
      onLog === undefined
        ? createLogger(name, "silent")
        : createLogger(name, "trace", { write: (line) => onLog(line) });
    const service = await create({ logger, metrics: ofService, health: createHealth(), signal: abort.signal });
    services.unshift(service);
    return service;
  };
  await start("storage", (context) => createStorage(readStorageConfig(env), context));
  await start("router", (context) => createRouter(readRouterConfig(env), context));
  for (let at = 0; at < (options.awareness ?? 1); at++)
    await start("awareness", (context) => createAwareness(readAwarenessConfig(env), context));
  const urls: string[] = [];
  for (let at = 0; at < (options.gateways ?? 1); at++) {
    const config = readGatewayConfig({ ...env, BIMIP_NODE: `gateway-${at + 1}` });
    const { port } = await start("gateway", (context) => createGateway(config, context));
    urls.push(`ws://127.0.0.1:${port}/v1/ws`);
  }
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
    async stop() {
      for (const device of devices) device.socket.terminate();
      abort.abort();
      for (const service of services) await service.stop();
      await nats.remove();
    },
  };
}
