// Whom a token lets in while something is away.
import type { Claims } from "@bimip/auth";
import { BimipError } from "@bimip/protocol";
import { expect, test } from "vitest";
import { Authenticator, RefreshRefused, RevokedError, tokenRefusal } from "./authenticator.js";

const claims: Claims = {
  eid: "alice@x",
  device: "phone",
  jti: "t",
  issuedAtS: 1,
  expiresAtMs: undefined,
  scopes: new Set(),
  name: undefined,
};

function make({ up = true, current = true, isRevoked = false } = {}): Authenticator {
  return new Authenticator({
    verifier: { verify: () => Promise.resolve(claims) },
    revocations: { current, refusal: () => (isRevoked ? "jti" : undefined) },
    link: { up },
  });
}

test("a good token lets in, a revoked one does not", async () => {
  expect(await make().authenticate("t")).toBe(claims);
  await expect(make({ isRevoked: true }).authenticate("t")).rejects.toThrow(RevokedError);
});

test("the audit is told whose a refused token is, and whether it was revoked", () => {
  const holder = { eid: "alice@x", device: "phone" };
  const refresh = (details: string) => new RefreshRefused({ code: 401, details, ...holder }, "1");
  expect(tokenRefusal(refresh("refresh_token: was revoked"))).toEqual({ reason: "revoked", ...holder });
  expect(tokenRefusal(refresh("refresh_token: exp: the token has expired"))).toEqual({ reason: "token", ...holder });
  const cause = new RevokedError(claims);
  expect(tokenRefusal(new BimipError(401, cause.details, { cause }))).toEqual({ reason: "revoked", ...holder });
  expect(tokenRefusal(new BimipError(401, "token: x"))).toEqual({ reason: "token", eid: "", device: "" });
});

test("nobody comes in while it is not known what was revoked: 503", async () => {
  const unread = { code: 503, details: "revocations cannot be read, try again" };
  for (const isRevoked of [false, true])
    await expect(make({ current: false, isRevoked }).authenticate("t")).rejects.toMatchObject(unread);
  const away = { code: 503, details: "NATS is away, try again" };
  await expect(make({ up: false, current: false }).authenticate("t")).rejects.toMatchObject(away);
  // One that may have been revoked is read all the same.
  expect(await make({ up: false, current: false }).verify("t")).toBe(claims);
});
