import { BUCKETS, CasBucket, connectNats, PROCEDURES, QUEUES, serve, waitForTopology } from "@bimip/nats";
import { Kvm } from "@nats-io/kv";
import type { RunningService, ServiceContext } from "@bimip/runtime";
import type { RouterConfig } from "./config.js";
import { decideFlow, type FlowRules } from "./flow.js";
import { startPush } from "./push/push.js";

export { readConfig } from "./config.js";

/** Policy: answers gateways whether one user may write to another. Offline push, where a provider is configured. */
export async function createRouter(config: RouterConfig, context: ServiceContext): Promise<RunningService> {
  const { logger, health, signal, metrics } = context;
  const link = await connectNats({
    servers: config.NATS_URL,
    name: "bimip-router",
    onError: (error) => logger.error({ err: error }, "NATS"),
  });
  const { partitions } = await waitForTopology(link.nc, { signal });
  const rules: FlowRules = {
    unknownRecipient: config.BIMIP_UNKNOWN_RECIPIENT,
    sessions: await new Kvm(link.nc).open(BUCKETS.awareness),
    contacts: await CasBucket.open(link.nc, BUCKETS.awareness),
  };
  const flows = metrics.counter({
    name: "bimip_router_flows_total",
    help: "Decided flows, by outcome (0 = allowed, else the error code).",
    labelNames: ["code"],
  });
  serve(
    link.nc,
    PROCEDURES.flow,
    QUEUES.router,
    async (request) => {
      const answer = await decideFlow(rules, request);
      flows.inc({ code: answer.code });
      return answer;
    },
    (error) => logger.warn({ err: error }, "flow not decided"),
  );
  await link.nc.flush();
  const push =
    config.push === undefined ? undefined : await startPush({ config: config.push, link, partitions, metrics, logger });
  health.set("nats", true);
  link.onChange((up) => health.set("nats", up, up ? undefined : "disconnected"));
  return {
    async stop() {
      await push?.stop();
      await link.nc.drain();
    },
  };
}
