import {
  createVerifier,
  isAlgorithm,
  Jwks,
  KeyFiles,
  type KeyReading,
  type KeySource,
  type VerificationKey,
  type Verifier,
} from "@bimip/auth";
import { jitteredStepMs } from "@bimip/nats";
import type { ServiceContext } from "@bimip/runtime";
import type { GatewayConfig } from "./config.js";

const RETRY_STEPS_MS = [1_000, 2_000, 5_000, 10_000, 30_000];
const LOCAL_HOSTS = ["localhost", "127.0.0.1", "[::1]"];

type TokenConfig = Pick<GatewayConfig, Extract<keyof GatewayConfig, `BIMIP_JW${string}`>>;

/** What verifies tokens, and the keys behind it, which change while it runs. */
export interface TokenKeys {
  readonly verifier: Verifier;
  /** The keys are not read again. */
  stop(): void;
}

/**
 * A verifier with the keys and rules of the configuration. Resolves when all keys were read once; until the JWKS was, the
 * part `jwks` of the health is not ok.
 *
 * @throws Error naming a key file that cannot be used; what the signal aborts with
 */
export async function openTokenKeys(config: TokenConfig, context: ServiceContext): Promise<TokenKeys> {
  const { logger, metrics } = context;
  const algorithms = config.BIMIP_JWT_ALGORITHMS.filter(isAlgorithm);
  const reads = metrics.counter({
    name: "bimip_gateway_token_key_reads_total",
    help: "Times that keys of tokens were read, by source (file, jwks) and result (read, refused).",
    labelNames: ["source", "result"],
  });
  const log = {
    read(setting: string, { keys, skipped }: KeyReading, path?: string): void {
      const used = keys.filter(({ algorithm }) => algorithms.includes(algorithm));
      const told = { setting, path, keys: used.map(({ algorithm, kid }) => ({ algorithm, kid })), skipped };
      if (used.length === 0) logger.warn(told, "no key there that tokens may be signed with");
      else logger.info(told, "keys of tokens read");
    },
    refused(setting: string, error: Error): void {
      logger.error({ setting, err: error }, `keys of tokens not read, those from before stay: ${error.message}`);
    },
  };

  const files = await KeyFiles.open(config.BIMIP_JWT_KEY_FILES, {
    onRead(path, reading) {
      reads.inc({ source: "file", result: "read" });
      log.read("BIMIP_JWT_KEY_FILES", reading, path);
    },
    onError(error) {
      reads.inc({ source: "file", result: "refused" });
      log.refused("BIMIP_JWT_KEY_FILES", error);
    },
  }).catch((cause: unknown) => {
    throw new Error(`BIMIP_JWT_KEY_FILES: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  });
  /** The last complaint about the JWKS, which is tried again every few seconds; undefined while it works. */
  let complaint: string | undefined;
  const jwks = openJwks(config, {
    onRead(reading, changed) {
      reads.inc({ source: "jwks", result: "read" });
      if (changed || complaint !== undefined) log.read("BIMIP_JWKS_URL", reading);
      complaint = undefined;
    },
    onError(error) {
      reads.inc({ source: "jwks", result: "refused" });
      if (error.message !== complaint) log.refused("BIMIP_JWKS_URL", error);
      complaint = error.message;
    },
  });
  const sources: KeySource[] = jwks === undefined ? [files] : [files, jwks];
  const stop = (): void => {
    files.close();
    jwks?.close();
  };
  measure(context, sources, jwks);
  if (jwks !== undefined) {
    warnOfPlainHttp(config, context);
    await firstReading(jwks, context, stop);
  }
  const verifier = createVerifier({
    ...(config.BIMIP_JWT_SECRET === undefined ? {} : { secret: config.BIMIP_JWT_SECRET }),
    sources,
    algorithms,
    issuers: config.BIMIP_JWT_ISSUER,
    audiences: config.BIMIP_JWT_AUDIENCE,
    skewS: config.BIMIP_JWT_CLOCK_SKEW_S,
    maxLifetimeS: config.BIMIP_JWT_MAX_LIFETIME_S,
  });
  return { verifier, stop };
}

function openJwks(
  config: TokenConfig,
  told: Pick<ConstructorParameters<typeof Jwks>[0], "onRead" | "onError">,
): Jwks | undefined {
  const { BIMIP_JWKS_URL: url, BIMIP_JWKS_REFRESH_S: refreshS, BIMIP_JWKS_KEEP_S: keepS } = config;
  if (url === undefined) return undefined;
  const retryMs = (failures: number) => jitteredStepMs(RETRY_STEPS_MS, failures - 1);
  return new Jwks({ url, refreshS, keepS, retryMs, ...told });
}

/** A gateway that has no keys yet would tell good clients that their tokens are bad, and they would not come again. */
async function firstReading(jwks: Jwks, { health, signal }: ServiceContext, stop: () => void): Promise<void> {
  health.set("jwks", false, "not read yet");
  const abort = (): void => stop();
  signal.addEventListener("abort", abort);
  if (signal.aborted) stop();
  await jwks.read;
  signal.removeEventListener("abort", abort);
  signal.throwIfAborted();
  health.set("jwks", true);
}

function warnOfPlainHttp({ BIMIP_JWKS_URL: url = "" }: TokenConfig, { logger }: ServiceContext): void {
  const { protocol, hostname } = new URL(url);
  if (protocol === "https:" || LOCAL_HOSTS.includes(hostname)) return;
  logger.warn(
    { setting: "BIMIP_JWKS_URL" },
    "keys are read over http: whoever can change what travels there can let anybody in",
  );
}

function measure({ metrics }: ServiceContext, sources: readonly KeySource[], jwks: Jwks | undefined): void {
  const honoured = ({ fromMs = 0, untilMs = Infinity }: VerificationKey) => {
    const nowMs = Date.now();
    return fromMs <= nowMs && nowMs < untilMs;
  };
  metrics.gauge({
    name: "bimip_gateway_token_keys",
    help: "Keys from files and the JWKS that tokens may be signed with now.",
    collect: (gauge) => gauge.set(sources.flatMap(({ keys }) => keys.filter(honoured)).length),
  });
  if (jwks === undefined) return;
  metrics.gauge({
    name: "bimip_gateway_jwks_age_seconds",
    help: "Time since the JWKS was last read.",
    collect: (gauge) => gauge.set((Date.now() - (jwks.readAtMs ?? Date.now())) / 1_000),
  });
}
