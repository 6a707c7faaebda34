import type { Health, Logger, Metrics } from "@bimip/runtime";
import type { ProxyProtocolOptions, TlsOptions, UwsOptions } from "../adapters/uws-options.js";
import type { GatewayConfig } from "../config.js";
import type { Gateway } from "../gateway.js";
import { Networks } from "./address.js";
import { ClientAddresses } from "./client-address.js";
import { ConnectRate } from "./connect-rate.js";
import { Connections } from "./connections.js";
import { ExpiryWatch } from "./expiry-watch.js";
import { hasFiles, maxSockets, openFiles } from "./file-limit.js";
import { FrontDoor } from "./front-door.js";
import { Origins } from "./origin.js";

const TLS_POLL_MS = 1_000;
/** Of a connection that a proxies' listener hands on: the proxy's, and both ends of the inner one. */
const DESCRIPTORS_BEHIND_LISTENER = 3;

export interface DoorParts {
  readonly door: FrontDoor;
  /** For the transport that the door stands in. */
  readonly options: UwsOptions;
  readonly stop: () => void;
}

/** What the settings make of the door. */
export function createDoor(
  config: GatewayConfig,
  gateway: Gateway,
  { logger, metrics, health }: { readonly logger: Logger; readonly metrics: Metrics; readonly health: Health },
): DoorParts {
  const trusted = new Networks(config.BIMIP_TRUSTED_PROXIES);
  const source = config.BIMIP_CLIENT_ADDRESS;
  const addresses = new ClientAddresses({ source, trusted });
  const connections = new Connections({
    connections: config.BIMIP_MAX_CONNECTIONS,
    perAddress: config.BIMIP_MAX_CONNECTIONS_PER_ADDRESS,
    perUser: config.BIMIP_MAX_CONNECTIONS_PER_USER,
    strangers: config.BIMIP_MAX_UNAUTHENTICATED,
    strangersPerAddress: config.BIMIP_MAX_UNAUTHENTICATED_PER_ADDRESS,
  });
  const files = openFiles();
  const sockets = maxSockets(files, source === "proxy-protocol" ? DESCRIPTORS_BEHIND_LISTENER : 1);
  if (sockets < config.BIMIP_MAX_CONNECTIONS) {
    const text = "the limit of open files allows fewer connections than BIMIP_MAX_CONNECTIONS: see ulimit -n";
    logger.warn({ connections: sockets, limit: config.BIMIP_MAX_CONNECTIONS }, text);
  }
  const door = new FrontDoor(gateway, {
    addresses,
    origins: new Origins(config.BIMIP_ALLOWED_ORIGINS),
    rate: new ConnectRate(config.BIMIP_RATE_CONNECTS),
    connections,
    hasFiles: () => hasFiles(files),
  });
  metrics.gauge({
    name: "bimip_gateway_sockets",
    help: "Accepted connections, those that have not asked anything yet among them.",
    collect: (gauge) => gauge.set(door.sockets),
  });
  metrics.gauge({
    name: "bimip_gateway_unauthenticated_connections",
    help: "Open WebSockets that have not sent a token yet.",
    collect: (gauge) => gauge.set(connections.strangers),
  });
  const expiry = new ExpiryWatch(logger);
  const proxyProtocol: ProxyProtocolOptions = {
    isTrusted: (peer) => trusted.has(addresses.read(peer)),
    timeoutMs: config.BIMIP_AUTH_TIMEOUT_MS,
  };
  const options: UwsOptions = {
    host: config.BIMIP_HOST,
    port: config.BIMIP_PORT,
    maxFrameBytes: config.BIMIP_MAX_FRAME_BYTES,
    maxBackpressureBytes: config.BIMIP_MAX_BACKPRESSURE_BYTES,
    idleTimeoutS: config.BIMIP_IDLE_TIMEOUT_S,
    health,
    metrics,
    isAdmin: config.BIMIP_ADMIN_PORT === 0,
    tls: tlsOptions(config, { logger, metrics, expiry }),
    proxyProtocol: source === "proxy-protocol" ? proxyProtocol : undefined,
    onCut: (reason) => gateway.metrics.cut.inc({ reason }),
  };
  return {
    door,
    options,
    stop() {
      door.stop();
      expiry.stop();
    },
  };
}

function tlsOptions(
  config: GatewayConfig,
  { logger, metrics, expiry }: { readonly logger: Logger; readonly metrics: Metrics; readonly expiry: ExpiryWatch },
): TlsOptions | undefined {
  const { BIMIP_TLS_CERT_FILE: certFile, BIMIP_TLS_KEY_FILE: keyFile } = config;
  if (certFile === undefined || keyFile === undefined) return undefined;
  // Only with TLS: a time of 0 would look like one long past.
  const gauge = metrics.gauge({
    name: "bimip_gateway_tls_expiry_timestamp_seconds",
    help: "When the certificate in use expires, epoch seconds.",
  });
  return {
    files: { certFile, keyFile },
    pollMs: TLS_POLL_MS,
    onUse({ expiresMs, subject }) {
      gauge.set(expiresMs / 1_000);
      logger.info({ subject, expires: new Date(expiresMs).toISOString() }, "TLS certificate in use");
      expiry.watch(expiresMs);
    },
    onError: (error) => logger.error({ err: error }, "TLS files not taken, the certificate in use stays"),
  };
}
