/** An access token and what the next one is had with. Both let in whoever has them. */
export interface Tokens {
  readonly token: string;
  readonly refreshToken: string;
  /** When `token` expires, Unix epoch milliseconds; 0 = not known. */
  readonly expiresAt: number;
}

/** What is left of them from an earlier process. */
export interface SavedTokens {
  readonly refreshToken: string;
  /** Saves a renewal at the start while it is good. */
  readonly token?: string;
}

/** Where an application keeps the tokens of one device between its processes; as safe as it keeps a password. */
export interface TokenStore {
  /** Those saved last; undefined = none. Asked at `connect()`, and before a refresh token is used: another tab may have used it. */
  load(): SavedTokens | undefined | Promise<SavedTokens | undefined>;
  /**
   * Keeps these in place of the last. Done when they would survive a crash: the new refresh token is not used before. undefined:
   * the last are of no use any more, after a logout, or since the server refused them.
   */
  save(tokens: Tokens | undefined): void | Promise<void>;
}
