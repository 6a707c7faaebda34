import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import {
  bucketHead,
  BUCKETS,
  call,
  connectService,
  createLogReader,
  createTurns,
  laneDepthFor,
  LogEpochs,
  partitionOf,
  PROCEDURES,
  Publisher,
  reliedOn,
  scanLog,
  waitForReplicas,
  waitForTopology,
  watchNatsConfig,
} from "@bimip/nats";
import { CloseCode } from "@bimip/protocol";
import type { RunningService, ServiceContext } from "@bimip/runtime";
import { listenUws } from "./adapters/uws.js";
import { Audit } from "./audit.js";
import { Authenticator } from "./authenticator.js";
import { GatewayAwareness } from "./awareness/gateway-awareness.js";
import { Lease } from "./awareness/lease.js";
import type { GatewayConfig } from "./config.js";
import { createDoor } from "./door/create-door.js";
import { FlowPolicy } from "./flow-policy.js";
import type { Gateway } from "./gateway.js";
import { LateResends } from "./late-resend.js";
import { createLimits } from "./limits/create-limits.js";
import { createGatewayMetrics } from "./metrics.js";
import { PositionCheck } from "./position-check.js";
import { Progress } from "./progress.js";
import { ReceiptsGiven } from "./receipts-given.js";
import { Registrations } from "./registration.js";
import { Revocations } from "./revocations.js";
import { openTokenKeys } from "./token-keys.js";
import { Users } from "./users.js";

export { readConfig } from "./config.js";

const CLOSE_SLICE = 200;
const CLOSE_SLICE_MS = 20;
const RECEIPTS_TIMEOUT_MS = 2_000;
const MAX_CONCURRENT_RESUMES = 64;
/** What is tried until it works, such as telling that sessions ended, gets so long at the stop. */
const STOP_WORK_MS = 5_000;
const STOP_NATS_MS = 2_000;

/** The edge: holds the devices' sockets. Resolves when it is ready to take them. */
export async function createGateway(
  config: GatewayConfig,
  context: ServiceContext,
): Promise<RunningService & { port: number }> {
  const { logger, health, signal } = context;
  const tokenKeys = await openTokenKeys(config, context);
  const { link, access } = await connectService("gateway", config, context, config.BIMIP_NODE);
  const partitions = await waitForTopology(link.nc, { signal });
  const replicas = await waitForReplicas(link.nc, { signal });
  const promises = reliedOn("gateway", {
    partitions,
    replicas: config.BIMIP_REPLICAS,
    dedupeWindowS: config.BIMIP_DEDUPE_WINDOW_S,
  });
  const unwatch = watchNatsConfig({ link, access, promises, context });
  const pending = { bytes: 0 };
  const gatewayMetrics = createGatewayMetrics(context.metrics, pending);
  const publisher = new Publisher(link, {
    deadlineMs: config.BIMIP_SEND_DEADLINE_MS,
    laneDepth: laneDepthFor(replicas),
    onFailedAttempt: (reason) => {
      gatewayMetrics.publishFailures.inc();
      logger.debug({ reason }, "publish failed");
    },
  });
  const reader = await createLogReader(link, partitions);
  const epochs = await LogEpochs.create(link, partitions);
  const users = new Users(link);
  const node = config.BIMIP_NODE;
  // One token of a subject.
  const process = randomUUID().replaceAll("-", "");
  const awareness = new GatewayAwareness({
    link,
    users,
    node,
    gateway: process,
    head: () => bucketHead(link.nc, BUCKETS.awareness),
    metrics: gatewayMetrics,
    logger,
  });
  const progress = new Progress({
    link,
    flushMs: config.BIMIP_PROGRESS_FLUSH_MS,
    onError(error) {
      gatewayMetrics.progressFailures.inc();
      logger.warn({ err: error }, "acknowledgements not stored, trying again");
    },
  });
  const dedupeWindowMs = config.BIMIP_DEDUPE_WINDOW_S * 1_000;
  const registrations = new Registrations();
  // Before anybody is let in.
  const revocations = new Revocations({ users, logger, gauge: gatewayMetrics.revocations });
  await revocations.follow(link);
  const audit = new Audit(logger, gatewayMetrics.refusals);
  const { rates, abuse, overload, stop: stopLimits } = createLimits(config, { audit, metrics: gatewayMetrics, logger });
  const work = new Set<Promise<void>>();
  let draining = false;
  const gateway: Gateway = {
    node,
    process,
    partitions,
    limits: {
      maxStanzaBytes: config.BIMIP_MAX_STANZA_BYTES,
      maxUnconfirmed: config.BIMIP_MAX_PENDING_PER_SESSION,
      maxPendingBytesPerSession: config.BIMIP_MAX_PENDING_BYTES_PER_SESSION,
      maxPendingBytes: config.BIMIP_MAX_PENDING_BYTES,
      sendDeadlineMs: config.BIMIP_SEND_DEADLINE_MS,
      authTimeoutMs: config.BIMIP_AUTH_TIMEOUT_MS,
      webPushHosts: config.BIMIP_WEBPUSH_HOSTS.split(",").map((host) => host.trim()),
    },
    link,
    publisher,
    reader,
    users,
    awareness,
    policy: new FlowPolicy(link, {
      partitions,
      freshMs: config.BIMIP_FLOW_CACHE_MS,
      deadlineMs: config.BIMIP_SEND_DEADLINE_MS,
    }),
    registrations,
    progress,
    lateResends: new LateResends({
      dedupeWindowMs,
      scan: (request) => scanLog(link, reader, { ...request, partitions }),
      // While NATS is away the question would be lost, and waited for.
      epochOf: async (eid) => (link.up ? epochs.of(eid) : Promise.reject(new Error("NATS is away"))),
    }),
    receiptsGiven: new ReceiptsGiven({
      dedupeWindowMs,
      ask: (eid) => call(link.nc, PROCEDURES.receipts, { eid }, RECEIPTS_TIMEOUT_MS),
    }),
    resumeInTurn: createTurns(MAX_CONCURRENT_RESUMES),
    authenticator: new Authenticator({ verifier: tokenKeys.verifier, revocations, link }),
    revocations,
    audit,
    rates,
    abuse,
    overload,
    logger,
    metrics: gatewayMetrics,
    pending,
    get draining() {
      return draining;
    },
    track(promise) {
      work.add(promise);
      void promise.finally(() => work.delete(promise));
    },
  };
  const positions = new PositionCheck({
    link,
    users,
    reader,
    roundS: config.BIMIP_POSITION_CHECK_S,
    partitionOf: (eid) => partitionOf(eid, partitions),
    onBehind: () => gatewayMetrics.behind.inc(),
    onError: (error) => logger.warn({ err: error }, "positions not compared"),
  });
  health.set("nats", link.up);
  link.onChange((up) => {
    health.set("nats", up, up ? undefined : "disconnected");
    logger.warn({ up }, up ? "NATS is back" : "NATS is away");
    // Copies published while we were away reached nobody here.
    if (!up) return;
    for (const session of users.sessions()) session.delivery.onDoubt("reconnect");
    awareness.onReturn();
  });
  const lease = await Lease.begin({
    link,
    gateway: process,
    node,
    signal,
    onError: (error) => logger.debug({ err: error }, "lease not renewed"),
  });
  const { door, options, stop: stopDoor } = createDoor(config, gateway, context);
  const transport = await listenUws(options, door);
  logger.info({ node: gateway.node, host: config.BIMIP_HOST, port: transport.port, partitions }, "listening");
  return {
    port: transport.port,
    async stop() {
      draining = true;
      unwatch();
      transport.stopAccepting();
      await closeInSlices([...users.sessions()]);
      transport.close();
      tokenKeys.stop();
      positions.stop();
      await publisher.close();
      await progress.flush();
      await soon(STOP_WORK_MS, Promise.allSettled(work));
      registrations.stop();
      awareness.stop();
      revocations.stop();
      stopDoor();
      stopLimits();
      audit.stop();
      await soon(STOP_NATS_MS, lease.end());
      await soon(STOP_NATS_MS, link.nc.drain());
      await link.nc.close();
    },
  };
}

/** Waits for the work, but not for ever: NATS may be away. */
async function soon(ms: number, work: Promise<unknown>): Promise<void> {
  const done = new AbortController();
  const waited = delay(ms, undefined, { signal: done.signal });
  await Promise.race([work, waited].map(async (one) => one.catch(() => undefined)));
  done.abort();
}

async function closeInSlices(sessions: readonly { close(code: number, reason: string): void }[]): Promise<void> {
  for (let at = 0; at < sessions.length; at += CLOSE_SLICE) {
    for (const session of sessions.slice(at, at + CLOSE_SLICE))
      session.close(CloseCode.DRAINING, "draining, come back");
    await delay(CLOSE_SLICE_MS);
  }
}
