import { BimipError, ErrorCode } from "@bimip/protocol";
import { type BackoffOptions, backoffMs } from "../backoff.js";
import type { Tokens, TokenStore } from "./token-store.js";

/** How the application took new tokens. */
export type Heard = "taken" | "failed" | "unheard";

export interface TokenSaverOptions {
  readonly store: TokenStore | undefined;
  readonly backoff: BackoffOptions;
  /** Tells the application, and waits for its promises. */
  readonly tell: (tokens: Tokens) => Promise<Heard>;
  readonly onError: (error: BimipError) => void;
}

/**
 * Brings new tokens to where they survive a crash: the store, then the application. Tries until both have taken them. A refresh
 * token that is lost after its successor was made is a lost device: its next use looks like a thief's.
 */
export class TokenSaver {
  readonly #o: TokenSaverOptions;
  /** What is to be done next. */
  #due: { /** undefined: the last are to be deleted. */ readonly tokens: Tokens | undefined } | undefined;
  /** What the store has; the application may not have it yet. */
  #stored: Tokens | undefined;
  #saving: Promise<void> | undefined;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(options: TokenSaverOptions) {
    this.#o = options;
  }

  /** There is something that is not kept yet. */
  get busy(): boolean {
    return this.#due !== undefined;
  }

  save(tokens: Tokens): void {
    this.#due = { tokens };
    this.start();
  }

  /** Goes on with what was not kept before `end`. */
  start(): void {
    this.#ended = false;
    this.#run();
  }

  /** Resolves when everything is kept, or at `end`. */
  async kept(): Promise<void> {
    await this.#saving;
  }

  /** Tries no more. Resolves when the attempt under way is through. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#wake?.();
    await this.#saving;
  }

  /** What was saved is of no use any more. Tried once, after `end` too, and before what is saved next. */
  async clear(): Promise<void> {
    this.#due = { tokens: undefined };
    this.#wake?.();
    this.#run();
    await this.#saving;
  }

  #run(): void {
    if (this.#due !== undefined) this.#saving ??= this.#saveAll();
  }

  async #saveAll(): Promise<void> {
    for (let attempt = 1; this.#due !== undefined; attempt++) {
      const due = this.#due;
      if (due.tokens !== undefined && this.#ended) break;
      if (due.tokens === undefined ? await this.#delete() : await this.#try(due.tokens)) {
        if (this.#due === due) this.#due = undefined;
        attempt = 0;
      } else if (this.#due === due && !this.#ended) {
        await this.#wait(backoffMs(attempt, this.#o.backoff));
      }
    }
    this.#saving = undefined;
  }

  async #delete(): Promise<true> {
    try {
      await this.#o.store?.save(undefined);
    } catch (cause) {
      this.#o.onError(saveError("cannot be deleted", cause));
    }
    return true;
  }

  async #try(tokens: Tokens): Promise<boolean> {
    const { store, tell, onError } = this.#o;
    if (store !== undefined && this.#stored !== tokens) {
      try {
        await store.save(tokens);
        this.#stored = tokens;
      } catch (cause) {
        onError(saveError("cannot be kept", cause));
        return false;
      }
    }
    const heard = await tell(tokens);
    if (heard === "unheard" && store === undefined) {
      const details = "nobody keeps the new refresh token: it is lost when the process ends; listen to `tokens`";
      onError(new BimipError(ErrorCode.INTERNAL, details));
    }
    return heard !== "failed";
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

function saveError(what: string, cause: unknown): BimipError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BimipError(ErrorCode.INTERNAL, `the tokens ${what}: ${why}`, { cause });
}
