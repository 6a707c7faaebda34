import { connect as connectTransport, type NatsConnection } from "@nats-io/transport-node";

export type { NatsConnection };

/** How a connection stands, and who wants to know. */
export interface Link {
  readonly nc: NatsConnection;
  /** False from the moment a disconnect is noticed until the reconnect. */
  readonly up: boolean;
  /** Calls back at every loss and return; returns the way to stop that. */
  onChange(listener: (up: boolean) => void): () => void;
}

/**
 * Connects to NATS and stays connected: reconnects for ever, finds a half-open connection within some 15 s (the
 * client's own defaults give up after 10 tries and notice after 4–6 minutes).
 *
 * @param options.servers comma-separated URLs, as in NATS_URL
 * @param options.name shown by nats-server's connection list
 */
export async function connectNats(options: {
  servers: string;
  name: string;
  onError?: (error: unknown) => void;
}): Promise<Link> {
  const nc = await connectTransport({
    servers: options.servers.split(",").map((server) => server.trim()),
    name: options.name,
    maxReconnectAttempts: -1,
    waitOnFirstConnect: true,
    reconnectTimeWait: 250,
    reconnectJitter: 250,
    pingInterval: 5_000,
    maxPingOut: 2,
    ignoreClusterUpdates: false,
  });
  const listeners = new Set<(up: boolean) => void>();
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
      else if (status.type === "error") options.onError?.(status.error);
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
