import { BimipError, ErrorCode, type TokenAuthority, TokenTask, TokenType } from "@bimip/protocol";
import { type BackoffOptions, backoffMs } from "../backoff.js";
import { isPassing } from "../passing.js";
import { randomId } from "../random-id.js";
import { retryAfterMs } from "../retry-after.js";
import { Waiter } from "../waiter.js";
import { readClaims } from "./claims.js";
import type { Credentials } from "./credentials.js";
import { tokenFrame, tokensIn } from "./frames.js";
import { renewalMs } from "./renewal-time.js";
import type { Tokens } from "./token-store.js";

/** The longest that a timer may be set for. */
const MAX_TIMER_MS = 2_147_483_647;

export interface RenewalOptions {
  readonly credentials: Credentials;
  readonly backoff: BackoffOptions;
  /** That an answer may take, milliseconds. */
  readonly timeoutMs: number;
  /** The account; "" = not known. */
  readonly ownEid: () => string;
  /** The session goes on with this token. */
  readonly onToken: (token: string) => void;
  /** The refresh token was refused. */
  readonly onRefused: (error: BimipError) => void;
  readonly onError: (error: BimipError) => void;
}

interface Session {
  readonly send: (frame: Uint8Array) => void;
  token: string;
  /** It replaced another one on this connection. */
  isNew: boolean;
}

/** What was sent and waits for its answer. */
interface Asked {
  readonly id: string;
  readonly task: TokenTask;
  /** "": a family is begun. */
  readonly refreshToken: string;
  /** The new one, of AUTHENTICATE. */
  readonly token: string;
  readonly timer: ReturnType<typeof setTimeout>;
}

interface Waiting {
  readonly resolve: (tokens: Tokens) => void;
  readonly reject: (error: BimipError) => void;
  readonly timer: ReturnType<typeof setTimeout>;
}

/** Gives the open session a new token before the one it has expires: by the refresh token, else by the token function. */
export class Renewal {
  readonly #o: RenewalOptions;
  readonly #waiting = new Set<Waiting>();
  #session: Session | undefined;
  #asked: Asked | undefined;
  readonly #replaced = new Waiter();
  /** The new token is being fetched, or what is asked with is being kept. */
  #preparing = false;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Why no family can be begun on this connection. */
  #noFamily: BimipError | undefined;

  constructor(options: RenewalOptions) {
    this.#o = options;
  }

  /** Questions that wait for their answer. */
  get underWay(): number {
    return this.#asked === undefined ? 0 : 1;
  }

  /** Resolves when the answer is there that a refresh token was used for, or cannot come any more; undefined = none is awaited. */
  get replaced(): Promise<void> | undefined {
    return this.#asked?.task === TokenTask.REFRESH ? this.#replaced.wait() : undefined;
  }

  /** @param token that the session was opened with */
  open(send: (frame: Uint8Array) => void, token: string): void {
    this.#session = { send, token, isNew: false };
    this.#attempt = 0;
    this.#noFamily = undefined;
    this.#arm();
  }

  interrupt(): void {
    this.#session = undefined;
    this.#preparing = false;
    this.#answered();
    clearTimeout(this.#timer);
  }

  /** Nothing will be answered any more. */
  abandon(error: BimipError): void {
    this.interrupt();
    for (const waiting of this.#waiting) this.#settle(waiting).reject(error);
  }

  /** New tokens, now. Rejects with a BimipError: what the server said, 408, or 503 where no connection came. */
  refresh(): Promise<Tokens> {
    const { timeoutMs } = this.#o;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const text = this.#session === undefined ? "no connection" : "no answer";
        const code = this.#session === undefined ? ErrorCode.TRY_AGAIN : ErrorCode.TIMED_OUT;
        this.#settle(waiting).reject(new BimipError(code, `token_authority: ${text} within ${timeoutMs} ms`));
      }, timeoutMs);
      const waiting: Waiting = { resolve, reject, timer };
      this.#waiting.add(waiting);
      this.#noFamily = undefined;
      this.#begin();
    });
  }

  /** The server made new tokens, here or when it opened the session. */
  took(tokens: Tokens): void {
    this.#o.credentials.took(tokens);
    for (const waiting of this.#waiting) this.#settle(waiting).resolve(tokens);
    this.#goOn(tokens.token);
  }

  /** An answer. true if it was waited for. */
  take(authority: TokenAuthority): boolean {
    const asked = this.#asked;
    if (asked === undefined || authority.id !== asked.id) return false;
    this.#answered();
    const isRefresh = asked.task === TokenTask.REFRESH;
    if (authority.type === TokenType.RESULT) {
      if (!isRefresh) this.#goOn(asked.token);
      else this.#onTokens(tokensIn(authority));
      return true;
    }
    const error = new BimipError(ErrorCode.NOT_AUTHENTICATED, authority.details || "the token was refused");
    if (!isRefresh) this.#failed(error);
    else if (asked.refreshToken === "") this.#refused(error);
    else this.#o.onRefused(error);
    return true;
  }

  /** An error that names a stanza. true if it was a question of ours. */
  refuse(error: BimipError): boolean {
    const asked = this.#asked;
    if (asked === undefined || error.id !== asked.id) return false;
    this.#answered();
    if (asked.task === TokenTask.REFRESH && !isPassing(error)) this.#refused(error);
    else this.#failed(error);
    return true;
  }

  #onTokens(tokens: Tokens | undefined): void {
    if (tokens !== undefined) this.took(tokens);
    else this.#refused(new BimipError(ErrorCode.INTERNAL, "token_authority: the answer holds no tokens"));
  }

  /** The session has this token from now on. */
  #goOn(token: string): void {
    this.#attempt = 0;
    if (this.#session === undefined) return;
    Object.assign(this.#session, { token, isNew: true });
    this.#o.onToken(token);
    this.#arm();
  }

  get #wantsFamily(): boolean {
    const { credentials } = this.#o;
    const isWanted = credentials.wantsFamily || (this.#waiting.size > 0 && credentials.refreshToken === undefined);
    return isWanted && this.#noFamily === undefined;
  }

  /** Sets the alarm for the session's token. */
  #arm(): void {
    clearTimeout(this.#timer);
    const { credentials } = this.#o;
    const isRenewable = credentials.refreshToken !== undefined ? this.#noFamily === undefined : credentials.canAsk;
    if (this.#wantsFamily || this.#waiting.size > 0) return this.#begin();
    if (this.#session === undefined || !isRenewable) return;
    const ms = renewalMs(this.#session.token, this.#session.isNew);
    if (ms !== undefined) this.#wait(ms);
  }

  #wait(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer =
      ms > MAX_TIMER_MS
        ? setTimeout(() => this.#wait(ms - MAX_TIMER_MS), MAX_TIMER_MS)
        : setTimeout(() => this.#begin(), ms);
  }

  #begin(): void {
    const session = this.#session;
    if (session === undefined || this.#asked !== undefined || this.#preparing) return;
    clearTimeout(this.#timer);
    this.#preparing = true;
    this.#question(session)
      .then((question) => this.#ask(session, question))
      .catch((cause: unknown) => {
        if (session !== this.#session) return;
        this.#preparing = false;
        const told = new BimipError(ErrorCode.TRY_AGAIN, "no new token could be had", { cause });
        this.#failed(cause instanceof BimipError ? cause : told);
      });
  }

  async #question(session: Session): Promise<Pick<Asked, "task" | "refreshToken" | "token">> {
    const { credentials } = this.#o;
    // The one that goes out may be the last that is known to anybody.
    const refreshToken = await credentials.newest();
    if (refreshToken !== undefined) return { task: TokenTask.REFRESH, refreshToken, token: "" };
    if (this.#wantsFamily) return { task: TokenTask.REFRESH, refreshToken: "", token: "" };
    const token = await credentials.ask();
    this.#checkNewer(session.token, token);
    return { task: TokenTask.AUTHENTICATE, refreshToken: "", token };
  }

  #checkNewer(before: string, token: string): void {
    const [now, next] = [readClaims(before), readClaims(token)];
    const ownEid = this.#o.ownEid();
    if (ownEid !== "" && next.eid !== undefined && next.eid !== ownEid) {
      const details = `token: it belongs to ${next.eid}, the client to ${ownEid}`;
      throw new BimipError(ErrorCode.CONFLICT, details, { field: "token" });
    }
    if (now.expiresAtMs === undefined || next.expiresAtMs === undefined || next.expiresAtMs > now.expiresAtMs) return;
    throw new BimipError(ErrorCode.TRY_AGAIN, "the token function gave no token that is good for longer");
  }

  #ask(session: Session, { task, refreshToken, token }: Pick<Asked, "task" | "refreshToken" | "token">): void {
    if (session !== this.#session) return;
    this.#preparing = false;
    const { timeoutMs } = this.#o;
    const id = randomId();
    const frame = tokenFrame({ id, task, token, refreshToken });
    const timer = setTimeout(() => {
      this.#answered();
      this.#failed(new BimipError(ErrorCode.TIMED_OUT, `token_authority: no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    this.#asked = { id, task, refreshToken, token, timer };
    session.send(frame);
  }

  #answered(): void {
    clearTimeout(this.#asked?.timer);
    this.#asked = undefined;
    this.#replaced.resolve();
  }

  /** It may go another time; until the session's token expires there is some. */
  #failed(error: BimipError): void {
    this.#o.onError(error);
    this.#wait(Math.max(retryAfterMs(error), backoffMs(++this.#attempt, this.#o.backoff)));
  }

  /** The server renews nothing by refresh tokens, or not for this session. */
  #refused(error: BimipError): void {
    this.#noFamily = error;
    if (this.#waiting.size === 0) this.#o.onError(error);
    for (const waiting of this.#waiting) this.#settle(waiting).reject(error);
    this.#arm();
  }

  #settle(waiting: Waiting): Waiting {
    clearTimeout(waiting.timer);
    this.#waiting.delete(waiting);
    return waiting;
  }
}
