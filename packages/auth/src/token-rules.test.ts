import { describe, expect, test } from "vitest";
import { makeKey, rawToken, signerOf } from "../../../test/kit/token-keys.js";
import { createVerifier, type KeySource, type TokenRules } from "./index.js";

const nowS = 1_700_000_000;
const key = makeKey("HS256");
const alice = { sub: "alice@example.com", device_id: "phone" };
const sign = (claims: unknown, header: unknown = { alg: "HS256" }) => rawToken(header, claims, signerOf(key));

/** "let in", or why not. */
async function judge(token: string, rules: Partial<TokenRules> = {}, sources?: readonly KeySource[]): Promise<string> {
  const nowMs = () => nowS * 1_000;
  const verifier = createVerifier({ sources: sources ?? [{ keys: [key.verification] }], nowMs, ...rules });
  return verifier.verify(token).then(
    () => "let in",
    (error: Error) => error.message,
  );
}

describe("typ", () => {
  test.each(["JWT", "jwt", "at+jwt", "AT+JWT", "application/jwt", "Application/at+jwt"])("%s is taken", async (typ) => {
    expect(await judge(sign(alice, { alg: "HS256", typ }))).toBe("let in");
  });

  test.each<unknown>([
    "refresh+jwt",
    "application/refresh+jwt",
    "",
    "JOSE",
    "dpop+jwt",
    "logout+jwt",
    " JWT",
    "jwt;x=1",
    "application/application/jwt",
    "text/jwt",
    "JWT\u0000",
    // Its lower case is "jwt" in no locale, but a careless comparison might fold it.
    "JWT\u0301",
  ])("%j is refused", async (typ) => {
    expect(await judge(sign(alice, { alg: "HS256", typ }))).toBe("typ: is not that of an access token");
  });

  test.each<unknown>([null, 7, ["JWT"], {}])("%j is no text", async (typ) => {
    expect(await judge(sign(alice, { alg: "HS256", typ }))).toBe("typ: is not a text");
  });
});

describe("iss", () => {
  const issuers = ["https://a.example", "b"];
  test.each<[unknown, string]>([
    ["https://a.example", "let in"],
    ["b", "let in"],
    ["https://a.example/", "iss: is not an issuer that is trusted"],
    ["HTTPS://a.example", "iss: is not an issuer that is trusted"],
    ["", "iss: is not an issuer that is trusted"],
    [["b"], "iss: is not a text"],
    [null, "iss: is not a text"],
    [undefined, "iss: is missing"],
  ])("%j: %s", async (iss, expected) => {
    expect(await judge(sign({ ...alice, iss }), { issuers })).toBe(expected);
  });

  test("is not looked at where none is configured", async () => {
    expect(await judge(sign({ ...alice, iss: "anybody" }))).toBe("let in");
  });
});

describe("aud", () => {
  const audiences = ["bimip", "chat"];
  test.each<[unknown, string]>([
    ["bimip", "let in"],
    [["other", "chat"], "let in"],
    ["other", "aud: does not name this broker"],
    ["bimip chat", "aud: does not name this broker"],
    [[], "aud: does not name this broker"],
    [[["bimip"]], "aud: is neither a text nor a list of texts"],
    [["bimip", 7], "aud: is neither a text nor a list of texts"],
    [{ bimip: true }, "aud: is neither a text nor a list of texts"],
    [null, "aud: is neither a text nor a list of texts"],
    [undefined, "aud: is missing"],
    [["bimip", "bimip-refresh"], "aud: is that of a token for refreshing only"],
  ])("%j: %s", async (aud, expected) => {
    expect(await judge(sign({ ...alice, aud }), { audiences })).toBe(expected);
  });

  test("is not looked at where none is configured, but for that of refresh tokens", async () => {
    expect(await judge(sign({ ...alice, aud: "other" }))).toBe("let in");
    expect(await judge(sign({ ...alice, aud: "bimip-refresh" }))).toBe("aud: is that of a token for refreshing only");
    expect(await judge(sign({ ...alice, aud: 7 }))).toBe("aud: is neither a text nor a list of texts");
  });
});

describe("times", () => {
  test.each<[string, Record<string, unknown>, Partial<TokenRules>, string]>([
    ["a wider skew", { nbf: nowS + 60, iat: nowS + 60 }, { skewS: 60 }, "let in"],
    ["beyond it", { nbf: nowS + 61 }, { skewS: 60 }, "nbf: the token is not valid yet"],
    ["no skew", { iat: nowS + 1 }, { skewS: 0 }, "iat: lies in the future"],
    ["no skew for exp", { exp: nowS }, { skewS: 300 }, "exp: the token has expired"],
    ["as long as allowed", { iat: nowS, exp: nowS + 60 }, { maxLifetimeS: 60 }, "let in"],
    ["longer", { iat: nowS, exp: nowS + 61 }, { maxLifetimeS: 60 }, "exp: lies more than 60 s after iat"],
    ["longer, begun long ago", { iat: 0, exp: nowS + 1 }, { maxLifetimeS: 60 }, "exp: lies more than 60 s after iat"],
    ["a time before time", { iat: -1e300, exp: nowS + 1 }, { maxLifetimeS: 60 }, "exp: lies more than 60 s after iat"],
    ["no iat", { exp: nowS + 60 }, { maxLifetimeS: 60 }, "iat: is missing"],
    ["no exp", { iat: nowS }, { maxLifetimeS: 60 }, "exp: is missing"],
    ["neither, unless asked for", {}, {}, "let in"],
    ["exp in a list", { exp: [nowS + 60] }, {}, "exp: is not a number of seconds"],
    ["exp null", { exp: null }, {}, "exp: is not a number of seconds"],
    ["nbf true", { nbf: true }, {}, "nbf: is not a number of seconds"],
    ["iat in hexadecimal", { iat: "0x1" }, {}, "iat: is not a number of seconds"],
  ])("%s", async (_, times, rules, expected) => {
    expect(await judge(sign({ ...alice, ...times }), rules)).toBe(expected);
  });

  test.each<[unknown, number | undefined]>([
    [nowS, nowS],
    [nowS - 0.5, nowS - 1],
    [-5.5, -6],
    [undefined, undefined],
  ])("iat %j is told as %j whole seconds", async (iat, issuedAtS) => {
    const verifier = createVerifier({ sources: [{ keys: [key.verification] }], nowMs: () => nowS * 1_000 });
    expect(await verifier.verify(sign({ ...alice, iat }))).toHaveProperty("issuedAtS", issuedAtS);
  });
});

test("a token that names no device takes the one asked for; an empty jti is none", async () => {
  const verifier = createVerifier({ sources: [{ keys: [key.verification] }] });
  const unbound = await verifier.verify(sign({ sub: "a", jti: "" }), { device: "web" });
  expect(unbound).toMatchObject({ device: "web", jti: undefined });
});

describe("extensions of the header", () => {
  test.each([{ crit: ["exp"] }, { crit: [] }, { crit: null }])("%j", async (more) => {
    expect(await judge(sign(alice, { alg: "HS256", ...more }))).toBe("crit: is an extension that is not supported");
  });
  test.each([{ b64: false }, { b64: true }])("%j", async (more) => {
    expect(await judge(sign(alice, { alg: "HS256", ...more }))).toBe("b64: is an extension that is not supported");
  });
});

describe("kid", () => {
  const named = makeKey("HS256", "one");
  const other = makeKey("HS256", "two");
  const elliptic = makeKey("ES256", "one");
  const sources = [{ keys: [named.verification, other.verification, elliptic.verification, key.verification] }];
  const from = (signer: typeof key, header: Record<string, unknown>) =>
    judge(rawToken({ alg: signer.algorithm, ...header }, alice, signerOf(signer)), {}, sources);

  test("names the one key that counts", async () => {
    expect(await from(named, { kid: "one" })).toBe("let in");
    expect(await from(elliptic, { kid: "one" })).toBe("let in");
    expect(await from(named, { kid: "two" })).toBe("token: its signature does not fit");
    expect(await from(named, { kid: "three" })).toBe("kid: names a key that is not known");
    expect(await from(elliptic, { kid: "two" })).toBe("kid: names a key that is not known");
  });

  test("where no key has a name: says that it can be none of a secret or a PEM file", async () => {
    const answer = await judge(rawToken({ alg: "HS256", kid: "hunter2" }, alice, signerOf(key)), {}, [
      { keys: [key.verification, elliptic.verification].map((one) => ({ ...one, kid: undefined })) },
    ]);
    expect(answer).toBe("kid: names a key that is not known; keys from a secret or a PEM file have no name");
  });

  test("of keys without a name is none", async () => {
    expect(await from(key, { kid: "one" })).toBe("token: its signature does not fit");
    expect(await from(key, { kid: "undefined" })).toBe("kid: names a key that is not known");
    expect(await from(key, { kid: "" })).toBe("kid: names a key that is not known");
    expect(await from(key, { kid: null })).toBe("kid: is not a text");
  });

  test("left out: any key of the algorithm may be meant, as long as they are few", async () => {
    for (const one of [named, other, elliptic, key]) expect(await from(one, {})).toBe("let in");
    const many = [{ keys: [...Array(10).fill(other.verification), named.verification] }];
    expect(await judge(rawToken({ alg: "HS256" }, alice, signerOf(named)), {}, many)).toMatch(/^kid: is needed/);
    expect(await judge(rawToken({ alg: "HS256", kid: "one" }, alice, signerOf(named)), {}, many)).toBe("let in");
  });

  test.each([
    "__proto__",
    "constructor",
    "toString",
    "../../../dev/null",
    "' OR 1=1 --",
    "one\u0000",
    "ONE",
    "x".repeat(9_000),
  ])("%j names none", async (kid) => {
    expect(await from(named, { kid })).toBe("kid: names a key that is not known");
  });

  test.each<unknown>([["one"], { kid: "one" }, 1, true])("%j is no text", async (kid) => {
    expect(await from(named, { kid })).toBe("kid: is not a text");
  });
});

test("a key is honoured from its time on until it ends", async () => {
  const during = (fromMs: number, untilMs: number) =>
    judge(sign(alice), {}, [
      { keys: [{ ...key.verification, fromMs: nowS * 1_000 + fromMs, untilMs: nowS * 1_000 + untilMs }] },
    ]);
  expect(await during(0, 1)).toBe("let in");
  expect(await during(-1, 0)).toBe("alg: is one that no key is there for");
  expect(await during(1, 2)).toBe("alg: is one that no key is there for");
});

test("a verifier that allows no algorithm is not made", () => {
  expect(() => createVerifier({ algorithms: [] })).toThrow(RangeError);
});
