import { setTimeout as delay } from "node:timers/promises";
import { connectNats, ensureTopology } from "@bimip/nats";
import type { RunningService, ServiceContext } from "@bimip/runtime";
import type { StorageConfig } from "./config.js";

export { readConfig } from "./config.js";

const RETRY_MS = 500;

/**
 * Owns the streams and buckets: makes them, brings them to the configured shape, and makes them again where NATS came
 * back without them. The other services wait for it at their start, and never need it afterwards.
 */
export async function createStorage(config: StorageConfig, context: ServiceContext): Promise<RunningService> {
  const { logger, health, signal } = context;
  const link = await connectNats({
    servers: config.NATS_URL,
    name: "bimip-storage",
    onError: (error) => logger.error({ err: error }, "NATS"),
  });
  const topology = {
    partitions: config.BIMIP_LOG_PARTITIONS,
    replicas: config.BIMIP_REPLICAS,
    dedupeWindowS: config.BIMIP_DEDUPE_WINDOW_S,
    logMaxAgeS: config.BIMIP_LOG_MAX_AGE_S,
  };
  await ensureTopology(link.nc, topology);
  health.set("topology", true);
  logger.info(topology, "streams and buckets are as configured");

  const restore = async (): Promise<void> => {
    while (link.up && !signal.aborted) {
      try {
        await ensureTopology(link.nc, topology);
        health.set("topology", true);
        return;
      } catch (error) {
        logger.warn({ err: error }, "topology not confirmed, trying again");
        await delay(RETRY_MS);
      }
    }
  };
  link.onChange((up) => {
    if (!up) return health.set("topology", false, "NATS is away");
    void restore();
  });
  return { stop: () => link.nc.drain() };
}
