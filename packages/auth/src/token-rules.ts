import { ALGORITHMS, type Algorithm } from "./algorithm.js";

/** What tokens must be beside signed. */
export interface TokenRules {
  /** Tokens of another algorithm are refused, whatever the keys; at least one. */
  readonly algorithms: readonly Algorithm[];
  /** `iss` must be one of these; none: any, and none at all. */
  readonly issuers: readonly string[];
  /** `aud` must hold one of these; none: any but that of refresh tokens, and none at all. */
  readonly audiences: readonly string[];
  /** Seconds by which the issuer's clock may be ahead, in `nbf` and `iat`. */
  readonly skewS: number;
  /** Most seconds between `iat` and `exp`, both of which must be there then; 0: no limit. */
  readonly maxLifetimeS: number;
}

export const DEFAULT_RULES: TokenRules = {
  algorithms: ALGORITHMS,
  issuers: [],
  audiences: [],
  skewS: 5,
  maxLifetimeS: 0,
};
