import { decodeJwt, decodeProtectedHeader } from "jose";
import { expect, test } from "vitest";
import { createVerifier, issueToken, secretBytes } from "./index.js";

const secret = "a secret of more than thirty-two bytes";

test("what is issued verifies", async () => {
  const token = await issueToken({ secret, eid: "a@x", device: "phone", scope: "push", name: "Ann", jti: "j1" });
  const claims = await createVerifier({ secret }).verify(token);
  expect(claims).toMatchObject({ eid: "a@x", device: "phone", jti: "j1", scopes: new Set(["push"]), name: "Ann" });
});

test("by default: HS256, a random jti, one day, no device", async () => {
  const [one, two] = await Promise.all([issueToken({ secret, eid: "a" }), issueToken({ secret, eid: "a" })]);
  expect(decodeProtectedHeader(one)).toEqual({ alg: "HS256", typ: "JWT" });
  const claims = decodeJwt(one);
  expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(86_400);
  expect(Object.keys(claims).sort()).toEqual(["exp", "iat", "jti", "sub"]);
  expect(claims.jti).not.toBe(decodeJwt(two).jti);
});

test("a negative life makes an expired token", async () => {
  const token = await issueToken({ secret, eid: "a", device: "d", expiresInS: -1 });
  await expect(createVerifier({ secret }).verify(token)).rejects.toThrow(/^exp: /);
});

test("secrets have at least 32 bytes of UTF-8", async () => {
  expect(secretBytes("ü".repeat(16))).toHaveLength(32);
  expect(() => secretBytes("x".repeat(31))).toThrow("31 bytes, at least 32");
  await expect(issueToken({ secret: "short", eid: "a" })).rejects.toThrow(RangeError);
});
