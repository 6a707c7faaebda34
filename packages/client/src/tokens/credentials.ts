import { BimipError, ErrorCode } from "@bimip/protocol";
import type { TokenSource } from "../client-options.js";
import { within } from "../within.js";
import { leftMs, readClaims } from "./claims.js";
import type { Credential } from "./frames.js";
import { TokenSaver, type TokenSaverOptions } from "./token-saver.js";
import type { SavedTokens, Tokens, TokenStore } from "./token-store.js";

export interface CredentialsOptions extends Omit<TokenSaverOptions, "store"> {
  readonly token: TokenSource | undefined;
  readonly refreshToken: string | TokenStore | undefined;
  /** That a token function may take, milliseconds. */
  readonly timeoutMs: number;
}

/** The tokens of a client: with which one the next connection is opened, and what replaces them. */
export class Credentials {
  readonly #o: CredentialsOptions;
  readonly #store: TokenStore | undefined;
  readonly #saver: TokenSaver;
  #refreshToken: string | undefined;
  /** The access token that goes with it. */
  #token: string | undefined;
  /** The store may hold newer ones: another client may have used it. */
  #toLoad = false;
  /** What a token function gave last, and the server refused. */
  #refused: { readonly token: string; readonly error: BimipError } | undefined;

  constructor(options: CredentialsOptions) {
    const { token, refreshToken } = options;
    this.#o = options;
    this.#store = typeof refreshToken === "object" ? refreshToken : undefined;
    this.#saver = new TokenSaver({ ...options, store: this.#store });
    this.#refreshToken = (typeof refreshToken === "string" && refreshToken) || undefined;
    this.#token = typeof refreshToken === "string" && typeof token === "string" ? token : undefined;
  }

  get refreshToken(): string | undefined {
    return this.#refreshToken;
  }

  /** The application wants refresh tokens and has none yet. */
  get wantsFamily(): boolean {
    return this.#store !== undefined && this.#refreshToken === undefined;
  }

  /** A token function is there to ask. */
  get canAsk(): boolean {
    return typeof this.#o.token === "function";
  }

  /** `connect()` was called: an earlier refusal counts no more. */
  begin(): void {
    this.#refused = undefined;
    this.#toLoad = this.#store !== undefined && !this.#saver.busy;
    this.#saver.start();
  }

  /**
   * For the next connection. Rejects with a BimipError where there is none, or the store fails: nothing more can be done. With
   * another Error where the token function has none now.
   */
  async next(): Promise<Credential> {
    if (this.#toLoad) await this.#load();
    if (this.#goodToken === undefined) await this.newest();
    if (this.#goodToken !== undefined) return { kind: "token", token: this.#goodToken };
    if (this.#refreshToken !== undefined) return { kind: "refresh", refreshToken: this.#refreshToken };
    const token = await this.ask();
    if (token === this.#refused?.token) throw this.#refused.error;
    return { kind: "token", token };
  }

  /** The token that the application gives. Rejects as `next`. */
  async ask(): Promise<string> {
    const { token, timeoutMs } = this.#o;
    if (typeof token === "string" && token !== "") return token;
    if (typeof token !== "function")
      throw new BimipError(ErrorCode.NOT_AUTHENTICATED, "no token: none is kept, none was given");
    const asked = Promise.resolve(token()).catch((cause: unknown) => {
      // One of another client, perhaps: it says nothing about this one.
      throw cause instanceof BimipError ? new Error(cause.details, { cause }) : cause;
    });
    const given = await within(asked, timeoutMs, () => {
      throw new Error(`the token function did not answer within ${timeoutMs} ms`);
    });
    // Without one the server would wait for a first frame.
    if (!given) throw new BimipError(ErrorCode.NOT_AUTHENTICATED, "token: the token function gave none");
    return given;
  }

  /**
   * The refresh token to ask with; undefined = none. Resolves when it would survive a crash. Another client of this store, in
   * another tab, may have used ours meanwhile: a second use would look like a thief's.
   */
  async newest(): Promise<string | undefined> {
    if (this.#refreshToken === undefined) return undefined;
    await this.#saver.kept();
    const before = this.#refreshToken;
    if (before === undefined || this.#store === undefined || this.#saver.busy) return before;
    try {
      const saved = await this.#store.load();
      const isSame = saved?.refreshToken === before;
      if (!isSame && this.#refreshToken === before) this.#adopt(saved);
    } catch (cause) {
      this.#o.onError(loadError(cause));
    }
    return this.#refreshToken;
  }

  /** The server made new ones. */
  took(tokens: Tokens): void {
    this.#token = tokens.token;
    this.#refreshToken = tokens.refreshToken;
    this.#saver.save(tokens);
  }

  /** A connection came up to date. */
  accepted(): void {
    this.#refused = undefined;
  }

  /** The server refused what a connection was opened with, or ended it for its token. true: there is something else to try. */
  refused(credential: Credential, error: BimipError): boolean {
    if (credential.kind === "refresh") {
      void this.forget();
      return false;
    }
    if (this.#refreshToken !== undefined) {
      this.#token = undefined;
      return true;
    }
    // Asked again once: a second refusal in a row is the last.
    if (!this.canAsk || this.#refused !== undefined) return false;
    this.#refused = { token: credential.token, error };
    return true;
  }

  /** None of them lets anybody in any more. Resolves when the store has deleted them; errors are told. */
  forget(): Promise<void> {
    if (this.#refreshToken === undefined) return Promise.resolve();
    this.#token = undefined;
    this.#refreshToken = undefined;
    return this.#saver.clear();
  }

  /** Resolves when no write is under way any more. */
  end(): Promise<void> {
    return this.#saver.end();
  }

  /** The access token, where the next can be had and this one has not expired. */
  get #goodToken(): string | undefined {
    const token = this.#token;
    const isGood = this.#refreshToken !== undefined && token !== undefined && (leftMs(readClaims(token)) ?? 1) > 0;
    return isGood ? token : undefined;
  }

  async #load(): Promise<void> {
    try {
      this.#adopt(await this.#store?.load());
      this.#toLoad = false;
    } catch (cause) {
      throw loadError(cause);
    }
  }

  #adopt(saved: SavedTokens | undefined): void {
    this.#refreshToken = saved?.refreshToken || undefined;
    this.#token = saved?.token || undefined;
  }
}

function loadError(cause: unknown): BimipError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new BimipError(ErrorCode.INTERNAL, `the tokens cannot be read: ${why}`, { cause });
}
