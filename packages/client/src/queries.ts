import { BimipError, encodeStanza, ErrorCode, type Page, QuerySchema, validateStanza } from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { randomId } from "./random-id.js";

type QueryInit = Omit<MessageInitShape<typeof QuerySchema>, "id" | "$typeName">;

interface Asked {
  readonly frame: Uint8Array;
  readonly timer: ReturnType<typeof setTimeout>;
  readonly resolve: (page: Page) => void;
  readonly reject: (error: BimipError) => void;
}

/** The questions that wait for their Page. They wait for a connection, and are asked again on the next one. */
export class Queries {
  readonly #timeoutMs: number;
  readonly #asked = new Map<string, Asked>();
  #send: ((frame: Uint8Array) => void) | undefined;

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** Rejects with a BimipError: 422 for a wrong field, 408 or (never connected) 503 in time, or what the server said. */
  ask(init: QueryInit): Promise<Page> {
    const id = randomId();
    const value = create(QuerySchema, { ...init, id });
    const problem = validateStanza({ kind: "query", value });
    if (problem !== undefined) return Promise.reject(problem);
    const frame = encodeStanza("query", value);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(id), this.#timeoutMs);
      this.#asked.set(id, { frame, timer, resolve, reject });
      this.#send?.(frame);
    });
  }

  open(send: (frame: Uint8Array) => void): void {
    this.#send = send;
    for (const { frame } of this.#asked.values()) send(frame);
  }

  interrupt(): void {
    this.#send = undefined;
  }

  answer(page: Page): void {
    this.#settle(page.id)?.resolve(page);
  }

  /** An error that names a stanza. true if it was a question of ours. */
  refuse(error: BimipError): boolean {
    const asked = this.#settle(error.id ?? "");
    asked?.reject(error);
    return asked !== undefined;
  }

  /** Nothing will be answered any more. */
  abandon(error: BimipError): void {
    this.#send = undefined;
    for (const id of this.#asked.keys()) this.#settle(id)?.reject(error);
  }

  #giveUp(id: string): void {
    const error =
      this.#send === undefined
        ? new BimipError(ErrorCode.TRY_AGAIN, `query: no connection within ${this.#timeoutMs} ms`, { id })
        : new BimipError(ErrorCode.TIMED_OUT, `query: no answer within ${this.#timeoutMs} ms`, { id });
    this.#settle(id)?.reject(error);
  }

  #settle(id: string): Asked | undefined {
    const asked = this.#asked.get(id);
    this.#asked.delete(id);
    clearTimeout(asked?.timer);
    return asked;
  }
}
