import {
  connect as connectTransport,
  type ConnectionOptions,
  errors,
  type NatsConnection,
} from "@nats-io/transport-node";
import { setTimeout as delay } from "node:timers/promises";
import { setInboxPrefix } from "./inbox.js";
import { accessOptions, describeServers, type NatsAccess } from "./nats-access.js";
import { inboxPrefix, type NatsUser } from "./permissions.js";

export type { NatsConnection };

/** How a connection stands, and who wants to know. */
export interface Link {
  readonly nc: NatsConnection;
  /** False from the moment a disconnect is noticed until the reconnect. */
  readonly up: boolean;
  /** Calls back at every loss and return; returns the way to stop that. */
  onChange(listener: (up: boolean) => void): () => void;
}

/** Something that nats-server did not let us do. */
export interface NatsViolation {
  readonly operation: "publish" | "subscription";
  readonly subject: string;
}

export interface ConnectOptions extends NatsAccess {
  /** Shown by nats-server's connection list. */
  readonly name: string;
  /** Whose permissions it has: answers come to this user's inbox. */
  readonly as?: NatsUser;
  readonly onError?: (error: unknown) => void;
  /** Instead of `onError`, for what the permissions do not hold. */
  readonly onViolation?: (violation: NatsViolation) => void;
  /** The first connect failed, and is tried again. Absent: `onError`. */
  readonly onWaiting?: (error: unknown) => void;
  /** Gives up the first connect. */
  readonly signal?: AbortSignal;
}

/** NATS is there, and does not let us in: nothing that trying again could mend. */
export class NatsRefused extends Error {
  override readonly name = "NatsRefused";
}

const RETRY_MS = 250;
const TELL_EVERY_MS = 10_000;
const CONNECT_MS = 5_000;

/**
 * Connects to NATS and stays connected: reconnects for ever, finds a half-open connection within some 15 s (the
 * client's own defaults give up after 10 tries and notice after 4–6 minutes).
 *
 * Waits for a NATS that does not answer. @throws NatsRefused when it answers and refuses us, or is not the one that the
 * certificates speak of; Error for a file that cannot be read
 */
export async function connectNats(options: ConnectOptions): Promise<Link> {
  const prefix = options.as === undefined ? undefined : inboxPrefix(options.as);
  const nc = await connectAtLast(options, {
    ...accessOptions(options),
    name: options.name,
    ...(prefix !== undefined && { inboxPrefix: prefix }),
    timeout: CONNECT_MS,
    maxReconnectAttempts: -1,
    // A password that is replaced in two steps must not end the connection for good.
    ignoreAuthErrorAbort: true,
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    pingInterval: 5_000,
    maxPingOut: 2,
    ignoreClusterUpdates: false,
  });
  if (prefix !== undefined) setInboxPrefix(nc, prefix);
  return follow(nc, options);
}

/** Tries until NATS answers. */
async function connectAtLast(options: ConnectOptions, settings: ConnectionOptions): Promise<NatsConnection> {
  let toldAtMs = Number.NEGATIVE_INFINITY;
  for (;;) {
    options.signal?.throwIfAborted();
    try {
      // In a cluster that refuses us each server would tell the library of the others again, and it would go round for ever.
      await (await connectTransport({ ...settings, ignoreClusterUpdates: true })).close();
      return await connectTransport(settings);
    } catch (error) {
      const refusal = refusalOf(error, options);
      if (refusal !== undefined) throw refusal;
      if (performance.now() - toldAtMs > TELL_EVERY_MS) {
        toldAtMs = performance.now();
        (options.onWaiting ?? options.onError)?.(error);
      }
      await delay(RETRY_MS);
    }
  }
}

/** Node's codes for a certificate that does not hold, beside those that begin with ERR_TLS or ERR_SSL. */
const CERTIFICATE_CODES =
  /^(?:ERR_TLS|ERR_SSL|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|EPROTO)/;

/** Why it is of no use to try again; undefined: it is. */
export function refusalOf(error: unknown, { user, nkeyFile, servers, caFile }: NatsAccess): NatsRefused | undefined {
  const where = describeServers(servers);
  if (error instanceof errors.AuthorizationError && !/timeout/i.test(error.message)) {
    const who =
      nkeyFile !== undefined
        ? `the nkey of ${nkeyFile}`
        : user === undefined
          ? "us without a user"
          : `the user ${user}`;
    const hint = "see BIMIP_NATS_USER, BIMIP_NATS_PASSWORD_FILE, BIMIP_NATS_NKEY_FILE";
    return new NatsRefused(`NATS at ${where} refuses ${who} (${error.message}): ${hint}`, { cause: error });
  }
  const code = codeOf(error);
  if (code !== undefined && CERTIFICATE_CODES.test(code)) {
    const trusted = caFile === undefined ? "BIMIP_NATS_CA_FILE is not set" : `BIMIP_NATS_CA_FILE is ${caFile}`;
    return new NatsRefused(`TLS with NATS at ${where} fails (${code}): ${trusted}`, { cause: error });
  }
  if (error instanceof errors.ConnectionError && error.message.includes("'tls'"))
    return new NatsRefused(`NATS at ${where} does not speak TLS, which BIMIP_NATS_CA_FILE asks for`, { cause: error });
  return undefined;
}

function codeOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause)
    if ("code" in at && typeof at.code === "string") return at.code;
  return undefined;
}

function follow(nc: NatsConnection, options: ConnectOptions): Link {
  const { onError, onViolation } = options;
  const listeners = new Set<(up: boolean) => void>();
  let refusedAtMs = Number.NEGATIVE_INFINITY;
  /** A login that has become wrong is refused several times a second, until its file holds the new one. */
  const tell = (error: Error): void => {
    const refusal = refusalOf(error, options);
    if (refusal === undefined) return onError?.(error);
    if (performance.now() - refusedAtMs <= TELL_EVERY_MS) return;
    refusedAtMs = performance.now();
    onError?.(refusal);
  };
  let up = true;
  const change = (next: boolean): void => {
    if (up === next) return;
    up = next;
    for (const listener of listeners) listener(next);
  };
  void (async () => {
    for await (const status of nc.status()) {
      if (status.type === "disconnect") change(false);
      else if (status.type === "reconnect") change(true);
      else if (status.type === "error") {
        const { error } = status;
        if (error instanceof errors.PermissionViolationError && onViolation !== undefined) onViolation(error);
        else tell(error);
      }
    }
    change(false);
  })();
  return {
    nc,
    get up() {
      return up && !nc.isClosed();
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
