import { hostname } from "node:os";
import type { ServiceContext, Settings } from "@bimip/runtime";
import { errors } from "@nats-io/nats-core";
import { connectNats, type Link, NatsRefused } from "./connect.js";
import { newInbox } from "./inbox.js";
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
 * @throws ConfigError for access that is configured by halves, NatsRefused when NATS does not let it in, or lets
 * it in as another service
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
  if (!(await hasInbox(link))) {
    await link.nc.close();
    const where = describeServers(config.NATS_URL);
    const hint = "see BIMIP_NATS_USER, BIMIP_NATS_PASSWORD_FILE, BIMIP_NATS_NKEY_FILE";
    throw new NatsRefused(`these are not the credentials of ${service} for NATS at ${where}: ${hint}`);
  }
  answerStatus(link, { service, name: node ?? hostname() }, health);
  return { link, access };
}

/** Whether answers can reach it: each service may listen to inboxes of its own only, so another one's credentials show here. */
async function hasInbox({ nc }: Link): Promise<boolean> {
  let isAllowed = true;
  const inbox = nc.subscribe(newInbox(nc), {
    callback(error) {
      if (error instanceof errors.PermissionViolationError) isAllowed = false;
    },
  });
  // A refusal comes before the answer to this. NATS that is away again is for the connection to mend.
  await nc.flush().catch(() => undefined);
  inbox.unsubscribe();
  return isAllowed;
}
