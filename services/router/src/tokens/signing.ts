import {
  AuthError,
  issueRefreshToken,
  issueToken,
  type RefreshClaims,
  type SigningKey,
  verifyRefreshToken,
} from "@bimip/auth";
import type { TokenConfig } from "./token-config.js";

/** What a new access token says. */
export interface AccessParts {
  readonly eid: string;
  readonly device: string;
  readonly scopes: readonly string[];
  /** "" = none. */
  readonly name: string;
  /** Epoch seconds. */
  readonly issuedAtS: number;
}

export interface SigningOptions {
  readonly key: SigningKey;
  /** Refresh tokens that were signed with these are read as well. */
  readonly formerKeys?: readonly SigningKey[];
  readonly config: TokenConfig;
}

/** What is at fault with a refresh token of another key. */
const OTHER_KEY: readonly (string | undefined)[] = ["alg", "kid", "token"];

/** Makes access and refresh tokens with the router's own key, and reads the latter. */
export class Signing {
  readonly #key: SigningKey;
  readonly #formerKeys: readonly SigningKey[];
  readonly #config: TokenConfig;

  constructor({ key, formerKeys = [], config }: SigningOptions) {
    this.#key = key;
    this.#formerKeys = formerKeys;
    this.#config = config;
  }

  async accessToken(parts: AccessParts): Promise<{ readonly token: string; readonly expiresAtMs: number }> {
    const { eid, device, scopes, name, issuedAtS } = parts;
    const { issuer, audience, lifetimeS, maxLifetimeS } = this.#config;
    // Gateways refuse what lives longer.
    const expiresInS = maxLifetimeS === 0 ? lifetimeS : Math.min(lifetimeS, maxLifetimeS);
    const token = await issueToken({
      key: this.#key,
      eid,
      device,
      expiresInS,
      ...(scopes.length === 0 ? {} : { scope: scopes.join(" ") }),
      ...(name === "" ? {} : { name }),
      ...(issuer === undefined ? {} : { issuer }),
      ...(audience === undefined ? {} : { audience }),
      nowMs: issuedAtS * 1_000,
    });
    return { token, expiresAtMs: (issuedAtS + expiresInS) * 1_000 };
  }

  refreshToken(claims: RefreshClaims): Promise<string> {
    return issueRefreshToken({ key: this.#key, ...claims });
  }

  /** @throws AuthError whose text begins with the header or claim at fault */
  read(refreshToken: string): RefreshClaims {
    let problem: AuthError | undefined;
    for (const key of [this.#key, ...this.#formerKeys]) {
      try {
        return verifyRefreshToken(refreshToken, { key });
      } catch (error) {
        if (!(error instanceof AuthError) || !OTHER_KEY.includes(error.field)) throw error;
        problem ??= error;
      }
    }
    throw problem as AuthError;
  }
}
