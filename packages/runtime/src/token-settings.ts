import { z } from "zod";
import { list, optionalText, whole } from "./setting.js";

// 32 bytes is the least that HS256 may be keyed with (RFC 7518, 3.2).
const MIN_SECRET_BYTES = 32;

/** A key for HMAC-SHA256, without its `doc`. */
export const SECRET_TEXT = {
  parse: z
    .string()
    .refine(
      (value) => Buffer.byteLength(value) >= MIN_SECRET_BYTES,
      `expected at least ${MIN_SECRET_BYTES} bytes of UTF-8`,
    ),
  type: `text of at least ${MIN_SECRET_BYTES} bytes`,
  secret: true,
} as const;

/** How tokens are verified and made. */
export const tokenSettings = {
  BIMIP_JWT_SECRET: optionalText({
    ...SECRET_TEXT,
    doc: "A key of tokens signed with HS256. It has no name, so a token with a `kid` is never checked with it. `npm start` makes one and keeps it in the data directory. A gateway needs this, key files or a JWKS address.",
  }),
  BIMIP_JWT_KEY_FILES: list({
    type: "files, separated by commas",
    default: "",
    doc: "Files with keys that tokens may be signed with: PEM (public key or certificate), a JWK or a JWKS. Read again when they change. Keys of a PEM have no name: a token with a `kid` is never checked with them.",
  }),
  BIMIP_JWKS_URL: optionalText({
    parse: z
      .url({ protocol: /^https?$/, error: "expected an http:// or https:// address" })
      .regex(/^[^@]*$/, "expected an address without user and password"),
    type: "address",
    // Somebody may have put a password there.
    secret: true,
    doc: "Where the issuer publishes its keys (JWKS). Read at the start, in turn, and when a token names a key that is not known. A gateway is not ready before it was read once.",
  }),
  BIMIP_JWKS_REFRESH_S: whole({
    min: 5,
    max: 86_400,
    unit: "seconds",
    default: 300,
    doc: "How often the JWKS is read again. Because of unknown keys at most once in ten seconds.",
  }),
  BIMIP_JWKS_KEEP_S: whole({
    min: 0,
    max: 2_592_000,
    unit: "seconds",
    default: 3_600,
    doc: "How long a key is honoured that the JWKS does not hold any more. 0 for keys that must go at once.",
  }),
  BIMIP_JWT_ALGORITHMS: list({
    type: "`HS256`, `RS256`, `ES256`, `EdDSA`, separated by commas",
    default: "HS256,RS256,ES256,EdDSA",
    each: /^(?:HS256|RS256|ES256|EdDSA)$/,
    doc: "Algorithms that tokens may use, each only with keys of its kind.",
  }),
  BIMIP_JWT_ISSUER: list({
    type: "texts, separated by commas",
    default: "",
    doc: "What `iss` must be, one of these. None: it is not looked at. The first one stands in tokens that the broker renews.",
  }),
  BIMIP_JWT_AUDIENCE: list({
    type: "texts, separated by commas",
    default: "",
    doc: "What `aud` must hold, one of these. None: it is not looked at, but for a token that is meant for refreshing only. The first one stands in tokens that the broker renews.",
  }),
  BIMIP_JWT_CLOCK_SKEW_S: whole({
    min: 0,
    max: 300,
    unit: "seconds",
    default: 5,
    doc: "How far the issuer's clock may be ahead of a gateway's, for `nbf` and `iat`. `exp` has no skew.",
  }),
  BIMIP_JWT_MAX_LIFETIME_S: whole({
    min: 0,
    max: 315_360_000,
    unit: "seconds",
    default: 0,
    doc: "Longest time between `iat` and `exp`; tokens without either are refused then. 0: any, and revocations of accounts and devices are kept for ever. The same at gateways and routers.",
  }),
  BIMIP_TOKEN_SIGNING_KEY_FILE: list({
    type: "files, separated by commas",
    default: "",
    doc: "Private key (PEM or JWK), or a text of at least 32 bytes for HS256, with which the router signs renewed tokens. Gateways must know the key that belongs to it. More files: former keys, whose refresh tokens are still taken. None: the broker renews no tokens.",
  }),
  BIMIP_TOKEN_LIFETIME_S: whole({
    min: 10,
    max: 2_592_000,
    unit: "seconds",
    default: 900,
    doc: "How long a renewed access token is good.",
  }),
  BIMIP_REFRESH_LIFETIME_S: whole({
    min: 60,
    max: 31_536_000,
    unit: "seconds",
    default: 2_592_000,
    doc: "How long a refresh token may stay unused.",
  }),
  BIMIP_REFRESH_GRACE_MS: whole({
    min: 0,
    max: 600_000,
    unit: "milliseconds",
    default: 30_000,
    doc: "A refresh token that was used so short a time ago, and whose successor was not, is answered again: the answer may have been lost. Otherwise its use revokes the device's tokens.",
  }),
} as const;
