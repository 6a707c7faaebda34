import { toBinary, create } from "@bufbuild/protobuf";
import { SessionClaimSchema, type SessionEvent } from "@bimip/protocol";
import { BUCKETS, connectNats, openBucket, PROCEDURES, QUEUES, SUBJECTS, serve, waitForTopology } from "@bimip/nats";
import type { RunningService, ServiceContext } from "@bimip/runtime";
import type { AwarenessConfig } from "./config.js";
import { Registry } from "./registry.js";

export { readConfig } from "./config.js";

/** The registry of sessions: records which device is connected where, and tells gateways which session is the newest. */
export async function createAwareness(config: AwarenessConfig, context: ServiceContext): Promise<RunningService> {
  const { logger, health, signal, metrics } = context;
  const link = await connectNats({
    servers: config.NATS_URL,
    name: "bimip-awareness",
    onError: (error) => logger.error({ err: error }, "NATS"),
  });
  await waitForTopology(link.nc, { signal });
  const registry = new Registry(await openBucket(link.nc, BUCKETS.sessions));
  const events = metrics.counter({
    name: "bimip_awareness_session_events_total",
    help: "Sessions opened and ended.",
    labelNames: ["event"],
  });

  const handle = async (event: SessionEvent): Promise<{ epoch: bigint }> => {
    events.inc({ event: event.open ? "open" : "close" });
    const { epoch } = event.open ? await registry.open(event) : await registry.close(event);
    if (event.open) {
      const claim = create(SessionClaimSchema, {
        device: event.device,
        sessionId: event.sessionId,
        epoch: BigInt(epoch),
      });
      link.nc.publish(SUBJECTS.claim(event.eid), toBinary(SessionClaimSchema, claim));
    }
    return { epoch: BigInt(epoch) };
  };
  serve(link.nc, PROCEDURES.sessionEvent, QUEUES.awareness, handle, (error) => {
    logger.warn({ err: error }, "session event not recorded");
  });
  await link.nc.flush();
  health.set("nats", true);
  link.onChange((up) => health.set("nats", up, up ? undefined : "disconnected"));
  return { stop: () => link.nc.drain() };
}
