import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Health } from "./health.js";
import type { Metrics } from "./metrics.js";

/** An HTTP answer, whatever server sends it. */
export interface AdminAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

const plain = "text/plain; charset=utf-8";

/**
 * The answer to a GET of an administrative path, undefined for any other path: `/healthz` 200 while the process lives,
 * `/readyz` 200 or 503 with the parts as JSON, `/metrics` for Prometheus.
 *
 * @param path without query string
 */
export async function answerAdmin(
  path: string,
  sources: { readonly health: Health; readonly metrics: Metrics },
): Promise<AdminAnswer | undefined> {
  switch (path) {
    case "/healthz":
      return { status: 200, contentType: plain, body: "ok" };
    case "/readyz": {
      const ready = sources.health.ready;
      return { status: ready.ok ? 200 : 503, contentType: "application/json", body: JSON.stringify(ready) };
    }
    case "/metrics":
      return { status: 200, contentType: sources.metrics.contentType, body: await sources.metrics.text() };
    default:
      return undefined;
  }
}

/** A running administrative server. */
export interface AdminServer {
  /** The port it listens on, also where any free one was asked for. */
  readonly port: number;
  /** Stops listening and ends open connections. */
  close(): Promise<void>;
}

/**
 * Serves the administrative paths on a port of their own.
 *
 * @param options.port 0 = any free port
 * @throws Error when the address cannot be listened on
 */
export async function startAdminServer(options: {
  readonly port: number;
  readonly host: string;
  readonly health: Health;
  readonly metrics: Metrics;
}): Promise<AdminServer> {
  const answer = async (method: string, path: string): Promise<AdminAnswer> => {
    if (method !== "GET" && method !== "HEAD") return { status: 405, contentType: plain, body: "method not allowed" };
    try {
      return (await answerAdmin(path, options)) ?? { status: 404, contentType: plain, body: "not found" };
    } catch (error) {
      // A metric's collect function failed: that scrape fails, the service goes on.
      return { status: 500, contentType: plain, body: String(error) };
    }
  };
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
    const { status, contentType, body } = await answer(request.method ?? "GET", path);
    response.writeHead(status, { "content-type": contentType, "content-length": Buffer.byteLength(body) });
    response.end(request.method === "HEAD" ? undefined : body);
  };
  const server = createServer((request, response) => void respond(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the administrative server has no TCP port");
  return {
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
