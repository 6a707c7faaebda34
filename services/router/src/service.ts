import {
  BUCKETS,
  CasBucket,
  connectService,
  PROCEDURES,
  QUEUES,
  reliedOn,
  serve,
  waitForTopology,
  watchNatsConfig,
} from "@bimip/nats";
import type { RunningService, ServiceContext } from "@bimip/runtime";
import type { RouterConfig } from "./config.js";
import { decideFlow, type FlowRules } from "./flow.js";
import { startPush } from "./push/push.js";
import { serveTokens } from "./tokens/tokens.js";

export { readConfig } from "./config.js";

/** Policy: answers gateways whether one user may write to another; refuses and renews tokens. Offline push, where a provider is configured. */
export async function createRouter(config: RouterConfig, context: ServiceContext): Promise<RunningService> {
  const { logger, health, signal, metrics } = context;
  const { link, access } = await connectService("router", config, context);
  const partitions = await waitForTopology(link.nc, { signal });
  const promises = reliedOn("router", { partitions, replicas: config.BIMIP_REPLICAS });
  const unwatch = watchNatsConfig({ link, access, promises, context });
  const registry = await CasBucket.open(link.nc, BUCKETS.awareness);
  const rules: FlowRules = { unknownRecipient: config.BIMIP_UNKNOWN_RECIPIENT, bucket: registry };
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
  await serveTokens({ config: config.tokens, link, registry, metrics, logger });
  await link.nc.flush();
  const push =
    config.push === undefined ? undefined : await startPush({ config: config.push, link, partitions, metrics, logger });
  health.set("nats", true);
  link.onChange((up) => health.set("nats", up, up ? undefined : "disconnected"));
  return {
    async stop() {
      unwatch();
      await push?.stop();
      await link.nc.drain();
    },
  };
}
