import { BimipError, encodeStanza, ErrorCode, type Page, QuerySchema, validateStanza } from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type BackoffOptions, backoffMs } from "./backoff.js";
import { randomId } from "./random-id.js";

type QueryInit = Omit<MessageInitShape<typeof QuerySchema>, "id" | "$typeName">;

interface Asked {
  readonly id: string;
  readonly frame: Uint8Array;
  readonly timer: ReturnType<typeof setTimeout>;
  readonly resolve: (page: Page) => void;
  readonly reject: (error: BimipError) => void;
  /** How often the server asked to try again. */
  refusals: number;
  /** The last time, if it was not sent again since. */
  refusal: BimipError | undefined;
  retry: ReturnType<typeof setTimeout> | undefined;
}

/** The server takes so many of a connection at once. */
const MAX_UNDER_WAY = 8;

/**
 * The questions that wait for their Page. They wait for a connection, are asked again on the next one, and again where
 * the server asks to try later.
 */
export class Queries {
  readonly #timeoutMs: number;
  readonly #backoff: BackoffOptions;
  readonly #asked = new Map<string, Asked>();
  readonly #underWay = new Set<Asked>();
  /** Not under way, in the order they are to go. */
  #waiting: Asked[] = [];
  #send: ((frame: Uint8Array) => void) | undefined;

  /** @param timeoutMs that a question may take, waiting included */
  constructor(timeoutMs: number, backoff: BackoffOptions) {
    this.#timeoutMs = timeoutMs;
    this.#backoff = backoff;
  }

  /** Questions that were sent and wait for their answer. */
  get underWay(): number {
    return this.#underWay.size;
  }

  /**
   * Rejects with a BimipError: 422 for a wrong field, what the server said, or when the time is over 429 or 503 (the
   * server's last word, or never connected), 408.
   */
  ask(init: QueryInit): Promise<Page> {
    const id = randomId();
    const value = create(QuerySchema, { ...init, id });
    const problem = validateStanza({ kind: "query", value });
    if (problem !== undefined) return Promise.reject(problem);
    const frame = encodeStanza("query", value);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#giveUp(asked), this.#timeoutMs);
      const asked: Asked = { id, frame, timer, resolve, reject, refusals: 0, refusal: undefined, retry: undefined };
      this.#asked.set(id, asked);
      this.#waiting.push(asked);
      this.#pump();
    });
  }

  open(send: (frame: Uint8Array) => void): void {
    this.#send = send;
    this.#pump();
  }

  interrupt(): void {
    this.#send = undefined;
    this.#waiting = [...this.#underWay, ...this.#waiting];
    this.#underWay.clear();
  }

  answer(page: Page): void {
    const asked = this.#asked.get(page.id);
    if (asked === undefined) return;
    this.#settle(asked);
    asked.resolve(page);
  }

  /** An error that names a stanza. true if it was a question of ours. */
  refuse(error: BimipError): boolean {
    const asked = this.#asked.get(error.id ?? "");
    if (asked === undefined) return false;
    if (error.code === ErrorCode.TRY_AGAIN || error.code === ErrorCode.TOO_FAST) this.#postpone(asked, error);
    else {
      this.#settle(asked);
      asked.reject(error);
    }
    return true;
  }

  /** Nothing will be answered any more. */
  abandon(error: BimipError): void {
    this.#send = undefined;
    for (const asked of this.#asked.values()) {
      this.#settle(asked);
      asked.reject(error);
    }
  }

  #pump(): void {
    while (this.#send !== undefined && this.#underWay.size < MAX_UNDER_WAY) {
      const asked = this.#waiting.shift();
      if (asked === undefined) return;
      asked.refusal = undefined;
      this.#underWay.add(asked);
      this.#send(asked.frame);
    }
  }

  #postpone(asked: Asked, error: BimipError): void {
    if (!this.#underWay.delete(asked)) return;
    asked.refusal = error;
    asked.retry = setTimeout(
      () => {
        this.#waiting.push(asked);
        this.#pump();
      },
      backoffMs(++asked.refusals, this.#backoff),
    );
    this.#pump();
  }

  #giveUp(asked: Asked): void {
    const { id, refusal } = asked;
    const [code, text] =
      this.#send === undefined ? [ErrorCode.TRY_AGAIN, "no connection"] : [ErrorCode.TIMED_OUT, "no answer"];
    this.#settle(asked);
    asked.reject(refusal ?? new BimipError(code, `query: ${text} within ${this.#timeoutMs} ms`, { id }));
  }

  #settle(asked: Asked): void {
    clearTimeout(asked.timer);
    clearTimeout(asked.retry);
    this.#asked.delete(asked.id);
    if (!this.#underWay.delete(asked)) this.#waiting = this.#waiting.filter((other) => other !== asked);
    this.#pump();
  }
}
