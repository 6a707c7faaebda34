import { loadSigningKey, type SigningKey } from "@bimip/auth";
import { BUCKETS, CasBucket, type Link, PROCEDURES, QUEUES, serve } from "@bimip/nats";
import type { Logger, Metrics } from "@bimip/runtime";
import { FamilyStore } from "./family-store.js";
import { createTokenMetrics } from "./metrics.js";
import { Refresher } from "./refresh.js";
import { RevocationStore } from "./revocation-store.js";
import { Revoker } from "./revoke.js";
import { Signing } from "./signing.js";
import type { TokenConfig } from "./token-config.js";

/**
 * Answers what gateways and operators ask about tokens: refuse them, renew them.
 *
 * @throws Error naming the file when a signing key cannot be read
 */
export async function serveTokens(options: {
  readonly config: TokenConfig;
  readonly link: Link;
  /** Of awareness. */
  readonly registry: CasBucket;
  readonly metrics: Metrics;
  readonly logger: Logger;
}): Promise<void> {
  const { config, link, registry, logger } = options;
  const { nc } = link;
  const metrics = createTokenMetrics(options.metrics);
  const { signingKeyFiles, skewS } = config;
  const [key, ...formerKeys] = await Promise.all(signingKeyFiles.map((path) => readKey(path)));
  const signing = key === undefined ? undefined : new Signing({ key, formerKeys, config });
  if (key !== undefined) logger.info({ algorithm: key.algorithm, kid: key.kid }, "renews tokens");
  if (key !== undefined && config.maxLifetimeS > 0 && config.lifetimeS > config.maxLifetimeS)
    logger.warn(
      { lifetimeS: config.lifetimeS, maxLifetimeS: config.maxLifetimeS },
      "BIMIP_TOKEN_LIFETIME_S is above BIMIP_JWT_MAX_LIFETIME_S: renewed tokens live as long as the latter says",
    );
  const revocations = new RevocationStore(await CasBucket.open(nc, BUCKETS.revocations), skewS);
  const families = new FamilyStore(await CasBucket.open(nc, BUCKETS.refresh), skewS);
  const revoker = new Revoker({ store: revocations, families, registry, config, metrics, logger });
  const refresher = new Refresher({ signing, families, revocations, revoker, config, metrics, logger });
  serve(
    nc,
    PROCEDURES.revoke,
    QUEUES.router,
    (request) => revoker.handle(request),
    (error) => logger.warn({ err: error }, "not revoked"),
  );
  serve(
    nc,
    PROCEDURES.refresh,
    QUEUES.router,
    (request) => refresher.handle(request),
    (error) => logger.warn({ err: error }, "no new tokens"),
  );
}

async function readKey(path: string): Promise<SigningKey> {
  try {
    return await loadSigningKey(path);
  } catch (cause) {
    throw new Error(`BIMIP_TOKEN_SIGNING_KEY_FILE: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
