import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { eventually } from "./eventually.js";

/** A request that came, whole. */
export interface ReceivedCall {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  /** Milliseconds before the answer; Infinity: never. */
  readonly afterMs?: number;
}

/** An HTTP server on 127.0.0.1 that keeps every call, answered as `answer` says: 204 unless told otherwise. */
export class HttpReceiver {
  readonly calls: ReceivedCall[] = [];
  answer: (call: ReceivedCall) => Answer = () => ({ status: 204 });
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    server.on("request", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const call = { path: request.url ?? "", headers: request.headers, body: Buffer.concat(chunks) };
        this.calls.push(call);
        const { status, headers = {}, afterMs = 0 } = this.answer(call);
        if (afterMs === Infinity) return;
        setTimeout(() => response.writeHead(status, headers).end(), afterMs);
      });
    });
  }

  static async start(): Promise<HttpReceiver> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new HttpReceiver(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The bodies as JSON, of those for `eid` if given. */
  pushes(eid?: string): WebhookBody[] {
    const bodies = this.calls.map(({ body }) => JSON.parse(body.toString()) as WebhookBody);
    return eid === undefined ? bodies : bodies.filter((body) => body.eid === eid);
  }

  async count(eid: string, count: number): Promise<WebhookBody[]> {
    return eventually(
      () => `${count} pushes for ${eid}, not ${this.pushes(eid).length}`,
      () => (this.pushes(eid).length >= count ? this.pushes(eid) : undefined),
    );
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** What docs/push.md says a call of the webhook holds. */
export interface WebhookBody {
  readonly id: string;
  readonly eid: string;
  readonly kind: string;
  readonly stanza: { message?: { id: string; monotonic_id: number; payload?: { data?: Record<string, string> } } };
  readonly monotonic_id: number;
  readonly badge: number;
  readonly timestamp: number;
  readonly online: boolean;
  readonly reason: string;
}
