import { decodeJwt, decodeProtectedHeader } from "jose";
import { describe, expect, test } from "vitest";
import { makeKey, rawToken, signerOf } from "../../../test/kit/token-keys.js";
import { ALGORITHMS, AuthError, createVerifier, issueRefreshToken, issueToken, verifyRefreshToken } from "./index.js";

const nowMs = 1_700_000_000_000;
const key = makeKey("ES256", "k");
const family = { eid: "a@x", device: "phone", family: "f", generation: 3, expiresAtMs: nowMs + 60_000 };
const claims = { sub: "a@x", device_id: "phone", aud: "bimip-refresh", family: "f", gen: 3, exp: nowMs / 1_000 + 60 };
const header = { alg: "ES256", typ: "refresh+jwt", kid: "k" };

test.each(ALGORITHMS)("what is issued with %s verifies", async (algorithm) => {
  const signing = makeKey(algorithm, "x");
  const token = await issueRefreshToken({ ...family, key: signing, nowMs });
  expect(verifyRefreshToken(token, { key: signing, nowMs })).toEqual(family);
  expect(decodeProtectedHeader(token)).toEqual({ alg: algorithm, typ: "refresh+jwt", kid: "x" });
  expect(decodeJwt(token)).toEqual({ ...claims, iat: nowMs / 1_000 });
});

test("it opens no session, whatever the rules", async () => {
  const sources = [{ keys: [key.verification] }];
  const token = await issueRefreshToken({ ...family, key, nowMs });
  for (const audiences of [[], ["bimip-refresh"]]) {
    await expect(createVerifier({ sources, audiences, nowMs: () => nowMs }).verify(token)).rejects.toThrow(/^typ: /);
    const retyped = rawToken({ ...header, typ: "JWT" }, claims, signerOf(key));
    await expect(createVerifier({ sources, audiences, nowMs: () => nowMs }).verify(retyped)).rejects.toThrow(/^aud: /);
  }
});

describe("refused", () => {
  const sign = (more: object = {}, moreHeader: object = {}, signing = key) =>
    rawToken({ ...header, ...moreHeader }, { ...claims, ...more }, signerOf(signing));

  test.each<[string, string | Promise<string>, string]>([
    ["an access token", issueToken({ key, eid: "a@x", device: "phone" }), "typ"],
    ["no type", sign({}, { typ: undefined }), "typ"],
    ["another key", sign({}, {}, makeKey("ES256")), "token"],
    ["another algorithm", sign({}, { alg: "HS256" }), "alg"],
    ["no signature", sign({}, { alg: "none" }), "alg"],
    ["another key's name", sign({}, { kid: "other" }), "kid"],
    ["no name", sign({}, { kid: undefined }), "kid"],
    ["an extension", sign({}, { crit: [] }), "crit"],
    ["expired", sign({ exp: nowMs / 1_000 }), "exp"],
    ["without an end", sign({ exp: undefined }), "exp"],
    ["another audience", sign({ aud: "bimip" }), "aud"],
    ["more audiences", sign({ aud: ["bimip-refresh", "bimip"] }), "aud"],
    ["no account", sign({ sub: undefined }), "sub"],
    ["no device", sign({ device_id: "" }), "device_id"],
    ["no family", sign({ family: "" }), "family"],
    ["a family in a list", sign({ family: ["f"] }), "family"],
    ["generation 0", sign({ gen: 0 }), "gen"],
    ["half a generation", sign({ gen: 1.5 }), "gen"],
    ["a generation in letters", sign({ gen: "3" }), "gen"],
    ["no generation", sign({ gen: undefined }), "gen"],
    ["no token", "", "token"],
  ])("%s", async (_, token, field) => {
    const verify = async () => verifyRefreshToken(await token, { key, nowMs });
    await expect(verify()).rejects.toBeInstanceOf(AuthError);
    await expect(verify()).rejects.toThrow(new RegExp(`^${field}: [ -~]{1,90}$`));
  });
});
