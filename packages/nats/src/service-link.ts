import { hostname } from "node:os";
import type { ServiceContext, Settings } from "@bimip/runtime";
import { connectNats, type Link } from "./connect.js";
import { ACCESS_SETTINGS, describeServers, type ServiceAccess, serviceAccess } from "./nats-access.js";
import { answerStatus } from "./process-status.js";

export interface ServiceLink {
  readonly link: Link;
  readonly access: ServiceAccess;
}

/**
 * A service's connection to NATS, as the settings have it: with its own user's permissions, what it was not allowed logged
 * and counted, and an answer for whoever asks how it is.
 *
 * @param node of a gateway; the others are called by their host
 * @throws ConfigError for access that is configured by halves, NatsRefused when NATS does not let it in
 */
export async function connectService(
  service: "gateway" | "router" | "awareness" | "storage",
  config: Pick<Settings, (typeof ACCESS_SETTINGS)[number]>,
  context: ServiceContext,
  node?: string,
): Promise<ServiceLink> {
  const { logger, health, metrics, signal } = context;
  const access = serviceAccess(config);
  const violations = metrics.counter({
    name: "bimip_nats_violations_total",
    help: "What this service tried in NATS and its permissions do not hold, by operation.",
    labelNames: ["operation"],
  });
  const link = await connectNats({
    ...access.access,
    as: service,
    name: node === undefined ? `bimip-${service}` : `bimip-${service} ${node}`,
    signal,
    onError: (error) => logger.error({ err: error }, "NATS"),
    onWaiting: (error) =>
      logger.warn({ err: error, servers: describeServers(config.NATS_URL) }, "NATS does not answer, trying again"),
    onViolation({ operation, subject }) {
      violations.inc({ operation });
      logger.error({ operation, subject }, "NATS does not allow this");
    },
  });
  answerStatus(link, { service, name: node ?? hostname() }, health);
  return { link, access };
}
