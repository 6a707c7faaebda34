import type { SignatureKey } from "./signature.js";

/** A key that tokens may be signed with. */
export interface VerificationKey extends SignatureKey {
  /** Tokens that name a key are verified with the ones of that name; undefined = only tokens that name none. */
  readonly kid: string | undefined;
  /** Epoch milliseconds; honoured from then on, default always. */
  readonly fromMs?: number;
  /** Epoch milliseconds; honoured before, default for ever. */
  readonly untilMs?: number;
}

/** Where keys come from: what it holds may change at any time. */
export interface KeySource {
  /** All that it has now, newest first; also those that are not honoured any more or not yet. */
  readonly keys: readonly VerificationKey[];
  /**
   * A token names a key that no source has. Resolves when the source has looked for it; undefined where it does not look.
   */
  look?(): Promise<void> | undefined;
}
