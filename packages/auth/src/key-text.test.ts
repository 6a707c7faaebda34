import { createHash, generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, test } from "vitest";
import { makeKey } from "../../../test/kit/token-keys.js";
import { readKeySet } from "./key-set.js";
import { readKeyText } from "./key-text.js";

const hs = makeKey("HS256", "h");
const rs = makeKey("RS256", "r");
const es = makeKey("ES256", "e");
const ed = makeKey("EdDSA", "d");

/** Of P-256, valid from 2020 to 2039; nobody has its key. */
const certificate = `-----BEGIN CERTIFICATE-----
MIIBGTCBwAIBATAKBggqhkjOPQQDAjAZMRcwFQYDVQQDDA5pc3N1ZXIuZXhhbXBs
ZTAeFw0yMDAxMDEwMDAwMDBaFw00MDAxMDEwMDAwMDBaMBkxFzAVBgNVBAMMDmlz
c3Vlci5leGFtcGxlMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEJhJ0o4jc2vl7
CTGfIEtCmy19SqYK9Ej0hYgAPLu5+PKkey6g4nuu7XiqkTp1WOGaM9Ns6lksmyHt
r7E8suTH0DAKBggqhkjOPQQDAgNIADBFAiEA8VMB6AF5ceaRUzZ3FKL+iAFpQFmX
HWV1QMXHDooyth4CICELoCSoQRDysE/AGXwTPjjD86iJJZ+oRXuKQCP5cUeL
-----END CERTIFICATE-----`;

const pemOf = (key: KeyObject, type: "spki" | "pkcs1" = "spki") => String(key.export({ type, format: "pem" }));
const publicPem = (pair: { publicKey: KeyObject }) => pemOf(pair.publicKey);
const brief = (text: string, nowMs?: number) =>
  readKeyText(text, nowMs).keys.map(({ algorithm, kid }) => `${algorithm} ${kid ?? "-"}`);

describe("what is read", () => {
  test.each<[string, string, string[]]>([
    ["a public key", es.pem, ["ES256 -"]],
    ["a public key with a text around it", `Issued by us\n${ed.pem}\nkeep it\n`, ["EdDSA -"]],
    ["lines that end as on Windows", rs.pem.replaceAll("\n", "\r\n"), ["RS256 -"]],
    ["an RSA key in its own form", pemOf(rs.verificationKey, "pkcs1"), ["RS256 -"]],
    ["several", `${rs.pem}${es.pem}`, ["RS256 -", "ES256 -"]],
    ["a certificate", certificate, ["ES256 -"]],
    ["a JWK", JSON.stringify(es.jwk), ["ES256 e"]],
    ["a JWK without a name", JSON.stringify(makeKey("EdDSA").jwk), ["EdDSA -"]],
    [
      "a JWK that says what it is for",
      JSON.stringify({ ...es.jwk, alg: "ES256", use: "sig", key_ops: ["verify"] }),
      ["ES256 e"],
    ],
    ["a secret", JSON.stringify(hs.jwk), ["HS256 h"]],
    [
      "a JWKS",
      JSON.stringify({ keys: [hs.jwk, rs.jwk, es.jwk, ed.jwk] }),
      ["HS256 h", "RS256 r", "ES256 e", "EdDSA d"],
    ],
    ["an empty JWKS", '{"keys":[]}', []],
  ])("%s", (_, text, expected) => {
    expect(brief(text, Date.parse("2030-01-01"))).toEqual(expected);
  });

  test("a certificate's key counts while the certificate is valid", () => {
    const [key] = readKeyText(certificate, Date.parse("2010-01-01")).keys;
    expect(key).toMatchObject({ fromMs: Date.parse("2020-01-01"), untilMs: Date.parse("2040-01-01") });
    expect(() => readKeyText(certificate, Date.parse("2040-01-01"))).toThrow("holds a certificate that has expired");
  });
});

describe("what is refused", () => {
  const rsa = (modulusLength: number, publicExponent?: number) =>
    publicPem(generateKeyPairSync("rsa", { modulusLength, ...(publicExponent !== undefined && { publicExponent }) }));
  const privateJwk = (key: KeyObject) => JSON.stringify(key.export({ format: "jwk" }));

  test.each<[string, string, string]>([
    ["nothing", "", "holds neither a PEM nor a JWK nor a JWKS"],
    ["another text", "hunter2", "holds neither a PEM nor a JWK nor a JWKS"],
    ["broken JSON", '{"kty":"oct","k":"hunter2"', "is not JSON"],
    ["a private key", pemOf(es.verificationKey).replaceAll("PUBLIC", "PRIVATE"), "holds a private key"],
    [
      "a private key behind a public one",
      `${rs.pem}${String(es.key.export({ type: "sec1", format: "pem" }))}`,
      "holds a private key",
    ],
    ["a private JWK", privateJwk(ed.key), "is a private key"],
    ["one in a JWKS", `{"keys":[${JSON.stringify(rs.jwk)},${privateJwk(es.key)}]}`, "key 2: is a private key"],
    ["half a PEM", es.pem.slice(0, -30), "holds neither"],
    [
      "a PEM of nonsense",
      "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
      "holds a PEM that cannot be read",
    ],
    [
      "a request",
      certificate.replaceAll("CERTIFICATE", "CERTIFICATE REQUEST"),
      "holds a PEM of another kind: CERTIFICATE REQUEST",
    ],
    ["a chain", `${certificate}\n${certificate}`, "holds more beside a certificate"],
    ["a short RSA key", rsa(1_024), "is an RSA key of 1024 bits, at least 2048 are needed"],
    [
      "an RSA key for PSS",
      publicPem(generateKeyPairSync("rsa-pss", { modulusLength: 2_048 })),
      "is of the kind rsa-pss",
    ],
    ["P-384", publicPem(generateKeyPairSync("ec", { namedCurve: "P-384" })), "is not on the curve P-256"],
    ["secp256k1", publicPem(generateKeyPairSync("ec", { namedCurve: "secp256k1" })), "is not on the curve P-256"],
    ["Ed448", publicPem(generateKeyPairSync("ed448")), "is of the kind ed448"],
    ["X25519", publicPem(generateKeyPairSync("x25519")), "is of the kind x25519"],
    ["a short secret", '{"kty":"oct","k":"c2hvcnQ"}', "the secret has 5 bytes, at least 32 are needed"],
    ["a JWK of no kind", "{}", "is not a key that can be read"],
    ["a JWK for encryption", JSON.stringify({ ...rs.jwk, use: "enc" }), "use: is not sig"],
    ["a JWK for other work", JSON.stringify({ ...rs.jwk, key_ops: ["encrypt"] }), "key_ops: does not hold verify"],
    ["a JWK of another algorithm", JSON.stringify({ ...rs.jwk, alg: "RS512" }), "alg: is not RS256"],
    ["a public key that says HS256", JSON.stringify({ ...rs.jwk, alg: "HS256" }), "alg: is not RS256"],
    ["a name that is a number", JSON.stringify({ ...es.jwk, kid: 7 }), "kid: is not a text"],
    ["an endless name", JSON.stringify({ ...es.jwk, kid: "x".repeat(257) }), "kid: is empty or longer"],
    ["a point that is not on the curve", JSON.stringify({ ...es.jwk, x: es.jwk.y }), "is not a key that can be read"],
    ["RSA with the exponent 1", JSON.stringify({ ...rs.jwk, e: "AQ" }), "exponent"],
    ["RSA with an even exponent", JSON.stringify({ ...rs.jwk, e: "BA" }), "exponent"],
    ["a huge modulus", JSON.stringify({ ...rs.jwk, n: "_".repeat(2_000) }), "at most 8192 are supported"],
    ["a JWKS whose keys are none", '{"keys":{}}', "is not a JWKS"],
  ])("%s", (_, text, expected) => {
    let problem = "none";
    try {
      readKeyText(text, Date.parse("2030-01-01"));
    } catch (error) {
      problem = (error as Error).message;
    }
    expect(problem).toContain(expected);
    expect(problem).not.toContain("hunter2");
  });
});

describe("readKeySet", () => {
  test("skips what cannot be used, and says so", () => {
    const { privateKey: _, publicKey: p384 } = generateKeyPairSync("ec", { namedCurve: "P-384" });
    const set = {
      keys: [
        { ...rs.jwk, use: "enc" },
        p384.export({ format: "jwk" }),
        es.jwk,
        { ...makeKey("ES256").jwk, kid: "e" },
        7,
      ],
    };
    const { keys, skipped } = readKeySet(set, { secrets: false });
    expect(keys.map(({ kid }) => kid)).toEqual(["e"]);
    expect(skipped).toEqual([
      "key 1: use: is not sig",
      "key 2: is not on the curve P-256, the one that is supported",
      "key 4: kid: is that of another key of the set",
      "key 5: is not a JSON object",
    ]);
    const der = (key: KeyObject | undefined) => key?.export({ type: "spki", format: "der" });
    expect(
      createHash("sha1")
        .update(der(keys[0]?.key) ?? "")
        .digest(),
    ).toEqual(
      createHash("sha1")
        .update(der(es.verificationKey) ?? "")
        .digest(),
    );
  });

  test("keys of different algorithms may have one name; those without a name are no twins", () => {
    const nameless = [makeKey("ES256").jwk, makeKey("ES256").jwk];
    expect(readKeySet({ keys: [rs.jwk, { ...es.jwk, kid: "r" }, ...nameless] }, { secrets: false }).keys).toHaveLength(
      4,
    );
  });

  test.each<[string, unknown, string]>([
    ["no object", [], "is not a JWKS"],
    ["null", null, "is not a JWKS"],
    ["keys from the prototype", Object.create({ keys: [] }), "is not a JWKS"],
    ["101 keys", { keys: Array(101).fill(es.jwk) }, "holds 101 keys, at most 100 are taken"],
    ["a secret", { keys: [es.jwk, hs.jwk] }, "key 2: is a secret, which nobody may publish"],
    ["a secret of another kind", { keys: [{ ...es.jwk, k: "x" }] }, "key 1: is a secret"],
    ["half a private RSA key", { keys: [{ ...rs.jwk, p: "x" }] }, "key 1: is a private key"],
  ])("refuses as a whole: %s", (_, set, expected) => {
    expect(() => readKeySet(set, { secrets: false })).toThrow(expected);
  });
});
