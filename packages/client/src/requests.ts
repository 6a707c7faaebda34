import { BimipError, ErrorCode } from "@bimip/protocol";
import { type BackoffOptions, backoffMs } from "./backoff.js";
import { Pace } from "./pace.js";
import { retryAfterMs } from "./retry-after.js";

export interface RequestsOptions {
  /** That a request may take, waiting included; milliseconds. */
  readonly timeoutMs: number;
  readonly backoff: BackoffOptions;
  /** What to call one where no answer comes. */
  readonly name: string;
  /** Throws a BimipError where nothing can be asked; default: one may always ask. */
  readonly check?: () => void;
}

/** A stanza that is answered by one of the same id. */
export interface Request {
  readonly id: string;
  readonly frame: Uint8Array;
  /** It is about to be sent, perhaps not for the first time: what came in answer to it before is void. */
  readonly onSend?: () => void;
}

interface Asked<Answer> extends Request {
  readonly timer: ReturnType<typeof setTimeout>;
  readonly resolve: (answer: Answer | Promise<Answer>) => void;
  readonly reject: (error: BimipError) => void;
  /** How often the server asked to try again. */
  refusals: number;
  /** The last time, if it was not sent again since. */
  refusal: BimipError | undefined;
  retry: ReturnType<typeof setTimeout> | undefined;
}

/** The server takes so many queries of a connection at once; more of the other kinds would gain nothing. */
const MAX_UNDER_WAY = 8;

/**
 * Stanzas that wait for their answer. They wait for a connection, are sent again on the next one, and again where the server
 * asks to try later.
 */
export class Requests<Answer> {
  readonly #o: RequestsOptions;
  readonly #asked = new Map<string, Asked<Answer>>();
  readonly #underWay = new Set<Asked<Answer>>();
  /** Not under way, in the order they are to go. */
  #waiting: Asked<Answer>[] = [];
  readonly #pace = new Pace({ max: MAX_UNDER_WAY, maxAfterRefusal: 1, onGo: () => this.#pump() });
  #send: ((frame: Uint8Array) => void) | undefined;

  constructor(options: RequestsOptions) {
    this.#o = options;
  }

  /** What was sent and waits for its answer. */
  get underWay(): number {
    return this.#underWay.size;
  }

  has(id: string): boolean {
    return this.#asked.has(id);
  }

  /**
   * Rejects with a BimipError: what the server said, or when the time is over 429 or 503 (the server's last word, or never
   * connected), 408.
   *
   * @param instead id of one that gives way to this: it is not sent again, and settles as this one does
   */
  start(request: Request, instead = ""): Promise<Answer> {
    const older = this.#asked.get(instead);
    if (older !== undefined) this.#settle(older);
    const answer = this.#ask(request);
    older?.resolve(answer);
    return answer;
  }

  open(send: (frame: Uint8Array) => void): void {
    this.#send = send;
    this.#pump();
  }

  interrupt(): void {
    this.#send = undefined;
    this.#pace.interrupt();
    this.#waiting = [...this.#underWay, ...this.#waiting];
    this.#underWay.clear();
  }

  /** true if it was a request of ours. */
  answer(id: string, answer: Answer): boolean {
    const asked = this.#asked.get(id);
    if (asked === undefined) return false;
    this.#settle(asked);
    asked.resolve(answer);
    return true;
  }

  /** An error that names a stanza. true if it was a request of ours. */
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
    this.#pace.interrupt();
    for (const asked of this.#asked.values()) {
      this.#settle(asked);
      asked.reject(error);
    }
  }

  #ask(request: Request): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#o.check?.();
      const timer = setTimeout(() => this.#giveUp(asked), this.#o.timeoutMs);
      const asked: Asked<Answer> = {
        ...request,
        timer,
        resolve,
        reject,
        refusals: 0,
        refusal: undefined,
        retry: undefined,
      };
      this.#asked.set(request.id, asked);
      this.#waiting.push(asked);
      this.#pump();
    });
  }

  #pump(): void {
    while (this.#send !== undefined && this.#underWay.size < this.#pace.limit) {
      const asked = this.#waiting.shift();
      if (asked === undefined) return;
      asked.refusal = undefined;
      this.#underWay.add(asked);
      asked.onSend?.();
      this.#send(asked.frame);
    }
  }

  #postpone(asked: Asked<Answer>, error: BimipError): void {
    if (!this.#underWay.delete(asked)) return;
    const waitMs = retryAfterMs(error);
    if (error.code === ErrorCode.TOO_FAST) this.#pace.refused(waitMs);
    asked.refusal = error;
    asked.retry = setTimeout(
      () => {
        this.#waiting.push(asked);
        this.#pump();
      },
      Math.max(waitMs, backoffMs(++asked.refusals, this.#o.backoff)),
    );
    this.#pump();
  }

  #giveUp(asked: Asked<Answer>): void {
    const { id, refusal } = asked;
    const { name, timeoutMs } = this.#o;
    const [code, text] =
      this.#send === undefined ? [ErrorCode.TRY_AGAIN, "no connection"] : [ErrorCode.TIMED_OUT, "no answer"];
    this.#settle(asked);
    asked.reject(refusal ?? new BimipError(code, `${name}: ${text} within ${timeoutMs} ms`, { id }));
  }

  #settle(asked: Asked<Answer>): void {
    clearTimeout(asked.timer);
    clearTimeout(asked.retry);
    this.#asked.delete(asked.id);
    if (!this.#underWay.delete(asked)) this.#waiting = this.#waiting.filter((other) => other !== asked);
    this.#pump();
  }
}
