import { jetstreamManager } from "@nats-io/jetstream";
import { CONSUMERS, connectNats, type Link, logStream, STREAMS } from "@bimip/nats";
import { createRouter, readConfig } from "@bimip/router";
import { createHealth, createLogger, createMetrics, type Metrics } from "@bimip/runtime";
import { eventually } from "./eventually.js";
import { startSystem, type System } from "./system.js";

const PARTITIONS = 4;

/** Short, so that tests are. */
export const PUSH_ENV = {
  BIMIP_PUSH_WEBHOOK_SECRET: "the webhook's secret of the tests, 32 bytes",
  BIMIP_PUSH_AFTER_MS: "800",
  BIMIP_PUSH_TIMEOUT_MS: "3000",
  BIMIP_PUSH_RETRY_MS: "50",
  BIMIP_PUSH_MAX_TRIES: "4",
};

export interface PushRouter {
  readonly metrics: Metrics;
  stop(): Promise<void>;
}

/** A system, and routers with push beside its own, which has none. */
export interface PushSystem {
  readonly system: System;
  readonly link: Link;
  router(env: Record<string, string>): Promise<PushRouter>;
  /** Resolves when no entry waits for its mark and no mark for a look: nothing more will be pushed. */
  quiet(withinMs?: number): Promise<void>;
  stopRouters(): Promise<void>;
  stop(): Promise<void>;
}

export async function startPushSystem(): Promise<PushSystem> {
  const system = await startSystem({ env: { BIMIP_PROGRESS_FLUSH_MS: "20", BIMIP_OFFLINE_GRACE_MS: "100" } });
  const link = await connectNats({ servers: system.nats.url, name: "push-test" });
  const jsm = await jetstreamManager(link.nc);
  const routers = new Set<PushRouter>();
  const stopRouters = async (): Promise<void> => {
    for (const router of routers) await router.stop();
  };
  const open = async (): Promise<number> => {
    const consumers = [
      ...Array.from({ length: PARTITIONS }, (_, partition) => [logStream(partition), CONSUMERS.pushOnLog] as const),
      [STREAMS.push, CONSUMERS.pushMarks] as const,
    ];
    let sum = 0;
    for (const [stream, consumer] of consumers) {
      const info = await jsm.consumers.info(stream, consumer);
      sum += info.num_pending + info.num_ack_pending;
    }
    return sum;
  };
  return {
    system,
    link,
    async router(env) {
      const metrics = createMetrics("router");
      const config = readConfig({ NATS_URL: system.nats.url, ...PUSH_ENV, ...env });
      const { signal } = new AbortController();
      const service = await createRouter(config, {
        logger: createLogger("router", "silent"),
        metrics,
        health: createHealth(),
        signal,
      });
      const router: PushRouter = {
        metrics,
        async stop() {
          if (routers.delete(router)) await service.stop();
        },
      };
      routers.add(router);
      return router;
    },
    async quiet(withinMs) {
      // Marks are written after entries: two times in a row, so that what was between the two is seen.
      let times = 0;
      await eventually(
        "all marks looked at",
        async () => {
          times = (await open()) === 0 ? times + 1 : 0;
          return times >= 3;
        },
        withinMs,
      );
    },
    stopRouters,
    async stop() {
      await stopRouters();
      await link.nc.close();
      await system.stop();
    },
  };
}
