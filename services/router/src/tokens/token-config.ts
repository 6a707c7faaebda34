import type { Settings } from "@bimip/runtime";

/** How the router keeps revocations and renews tokens. */
export interface TokenConfig {
  /** The first one signs; refresh tokens of the others are still taken. None: it renews none. */
  readonly signingKeyFiles: readonly string[];
  /** Of a renewed access token. */
  readonly lifetimeS: number;
  /** How long a refresh token may stay unused. */
  readonly refreshLifetimeS: number;
  /** A refresh token that was used so short a time ago is answered again. */
  readonly graceMs: number;
  /** `iss` and `aud` of renewed tokens; undefined: none. */
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
  /** Longest life of any token; 0 = not limited. */
  readonly maxLifetimeS: number;
  /** By how much clocks may differ. */
  readonly skewS: number;
}

/** The settings of tokens that the router reads. */
export const TOKEN_SETTINGS = [
  "BIMIP_JWT_AUDIENCE",
  "BIMIP_JWT_CLOCK_SKEW_S",
  "BIMIP_JWT_ISSUER",
  "BIMIP_JWT_MAX_LIFETIME_S",
  "BIMIP_REFRESH_GRACE_MS",
  "BIMIP_REFRESH_LIFETIME_S",
  "BIMIP_TOKEN_LIFETIME_S",
  "BIMIP_TOKEN_SIGNING_KEY_FILE",
] as const;

export function tokenConfig(config: Pick<Settings, (typeof TOKEN_SETTINGS)[number]>): TokenConfig {
  return {
    signingKeyFiles: config.BIMIP_TOKEN_SIGNING_KEY_FILE,
    lifetimeS: config.BIMIP_TOKEN_LIFETIME_S,
    refreshLifetimeS: config.BIMIP_REFRESH_LIFETIME_S,
    graceMs: config.BIMIP_REFRESH_GRACE_MS,
    issuer: config.BIMIP_JWT_ISSUER[0],
    audience: config.BIMIP_JWT_AUDIENCE[0],
    maxLifetimeS: config.BIMIP_JWT_MAX_LIFETIME_S,
    skewS: config.BIMIP_JWT_CLOCK_SKEW_S,
  };
}
