import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** An issuer that publishes its keys, on 127.0.0.1; `answer` may be replaced by one that behaves badly. */
export class JwksServer {
  /** How often it was asked. */
  reads = 0;
  answer: (response: ServerResponse) => void = answerJson({ keys: [] });
  #server: Server;
  readonly #port: number;

  private constructor(server: Server) {
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  static async start(...keys: readonly unknown[]): Promise<JwksServer> {
    const issuer: JwksServer = new JwksServer(await listen(0, (response) => issuer.#take(response)));
    issuer.publish(...keys);
    return issuer;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/jwks.json`;
  }

  /** JWKs. */
  publish(...keys: readonly unknown[]): void {
    this.answer = answerJson({ keys });
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** On the same address, after `stop`. */
  async startAgain(): Promise<void> {
    this.#server = await listen(this.#port, (response) => this.#take(response));
  }

  #take(response: ServerResponse): void {
    this.reads++;
    this.answer(response);
  }
}

export function answerJson(value: unknown): (response: ServerResponse) => void {
  return (response) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

async function listen(port: number, take: (response: ServerResponse) => void): Promise<Server> {
  const server = createServer((_request, response) => take(response));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}
