import { type BimipError, type Page, QuerySchema } from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { BackoffOptions } from "./backoff.js";
import { checkedFrame } from "./checked-frame.js";
import { randomId } from "./random-id.js";
import { Requests } from "./requests.js";

type QueryInit = Omit<MessageInitShape<typeof QuerySchema>, "id" | "$typeName">;

/** The questions that wait for their Page. */
export class Queries {
  readonly #requests: Requests<Page>;

  /** @param timeoutMs that a question may take, waiting included */
  constructor(timeoutMs: number, backoff: BackoffOptions) {
    this.#requests = new Requests({ timeoutMs, backoff, name: "query" });
  }

  /** Questions that were sent and wait for their answer. */
  get underWay(): number {
    return this.#requests.underWay;
  }

  /**
   * Rejects with a BimipError: 422 for a wrong field, what the server said, or when the time is over 429 or 503 (the
   * server's last word, or never connected), 408.
   */
  async ask(init: QueryInit): Promise<Page> {
    const id = randomId();
    return this.#requests.start({ id, frame: checkedFrame("query", create(QuerySchema, { ...init, id })) });
  }

  open(send: (frame: Uint8Array) => void): void {
    this.#requests.open(send);
  }

  interrupt(): void {
    this.#requests.interrupt();
  }

  answer(page: Page): void {
    this.#requests.answer(page.id, page);
  }

  /** An error that names a stanza. true if it was a question of ours. */
  refuse(error: BimipError): boolean {
    return this.#requests.refuse(error);
  }

  /** Nothing will be answered any more. */
  abandon(error: BimipError): void {
    this.#requests.abandon(error);
  }
}
