// Renewing tokens over buckets in memory: who gets new ones, who gets the same again, and what a second use ends.
import { createVerifier, secretSigningKey, verifyRefreshToken } from "@bimip/auth";
import { type RefreshFamily, refreshKey, revocationKeys } from "@bimip/nats";
import { RefreshRequestSchema, type RefreshResponseSchema } from "@bimip/protocol";
import { createMetrics } from "@bimip/runtime";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { makeKey } from "../../../../test/kit/token-keys.js";
import { FakeBucket } from "../../../../test/kit/fake-bucket.js";
import { FamilyStore } from "./family-store.js";
import { createTokenMetrics } from "./metrics.js";
import { Refresher } from "./refresh.js";
import { RevocationStore } from "./revocation-store.js";
import { Revoker } from "./revoke.js";
import { Signing, type SigningOptions } from "./signing.js";
import type { TokenConfig } from "./token-config.js";

const NOW_S = 1_700_000_000;
const SECRET = "a signing key of these tests, 32 bytes or more";
const KEY = secretSigningKey(SECRET);
/** Whose a refused refresh token is. */
const HOLDER = { eid: "a@x", device: "phone" };
const PHONE = refreshKey("a@x", "phone");

beforeEach(() => {
  vi.useFakeTimers({ now: NOW_S * 1_000 + 900, toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp(config: Partial<TokenConfig> & { noKey?: boolean; keys?: Partial<SigningOptions> } = {}) {
  const all: TokenConfig = {
    signingKeyFiles: ["key"],
    lifetimeS: 900,
    refreshLifetimeS: 7_200,
    graceMs: 30_000,
    issuer: "https://issuer",
    audience: "bimip",
    maxLifetimeS: 3_600,
    skewS: 5,
    ...config,
  };
  const revoked = new FakeBucket();
  const kept = new FakeBucket();
  const metrics = createMetrics("test");
  const ofTokens = createTokenMetrics(metrics);
  const warnings: object[] = [];
  const begun: object[] = [];
  const logger = {
    info: (line: object) => void begun.push(line),
    warn: (line: object) => void warnings.push(line),
  } as never;
  const revocations = new RevocationStore(revoked, all.skewS);
  const families = new FamilyStore(kept, all.skewS);
  const revoker = new Revoker({
    store: revocations,
    families,
    registry: new FakeBucket(),
    config: all,
    metrics: ofTokens,
    logger,
  });
  const signing = config.noKey === true ? undefined : new Signing({ key: KEY, config: all, ...config.keys });
  const parts = { signing, families, revocations, revoker, config: all, metrics: ofTokens, logger };
  const refresher = new Refresher(parts);
  const ask = (init: MessageInitShape<typeof RefreshRequestSchema>): Promise<Answer> =>
    refresher.handle(create(RefreshRequestSchema, init));
  const begin = (init: MessageInitShape<typeof RefreshRequestSchema> = {}): Promise<Answer> =>
    ask({
      eid: "a@x",
      device: "phone",
      scopes: ["refresh", "push"],
      name: "Alice",
      issuedAtS: BigInt(NOW_S - 60),
      ...init,
    });
  const family = (): RefreshFamily | undefined => kept.json(PHONE) as RefreshFamily | undefined;
  return { ask, begin, begun, family, kept, revoked, revoker, metrics, warnings };
}

type Answer = MessageInitShape<typeof RefreshResponseSchema>;

const generationOf = ({ refreshToken = "" }: Answer): number =>
  verifyRefreshToken(refreshToken, { key: KEY }).generation;

test("a family begins with a session; its tokens keep scopes and name, and say what gateways ask for", async () => {
  const { begin, family, kept } = setUp();
  const answer = await begin();
  expect(answer).toMatchObject({ eid: "a@x", device: "phone", expiresAt: BigInt((NOW_S + 900) * 1_000) });
  const verifier = createVerifier({ secret: SECRET, issuers: ["https://issuer"], audiences: ["bimip"] });
  const claims = await verifier.verify(answer.token ?? "");
  expect(claims).toMatchObject({
    eid: "a@x",
    device: "phone",
    issuedAtS: NOW_S,
    name: "Alice",
    scopes: new Set(["refresh", "push"]),
  });
  expect(claims.jti).toMatch(/^[0-9a-f-]{36}$/);
  await expect(verifier.verify(answer.refreshToken ?? "")).rejects.toThrow("typ");
  expect(family()).toMatchObject({ generation: 1, startedS: NOW_S, scopes: ["refresh", "push"], name: "Alice" });
  expect(kept.values.get(PHONE)?.ttlS).toBe(7_205);
});

test("a family never carries the scope admin; that it begins is in the log", async () => {
  const { ask, begin, begun, family } = setUp();
  const verifier = createVerifier({ secret: SECRET });
  const first = await begin({ scopes: ["admin", "refresh", "push"] });
  const next = await ask({ refreshToken: first.refreshToken ?? "" });
  for (const { token = "" } of [first, next])
    expect((await verifier.verify(token)).scopes).toEqual(new Set(["refresh", "push"]));
  expect(family()?.scopes).toEqual(["refresh", "push"]);
  expect(begun).toEqual([{ eid: "a@x", device: "phone", scopes: ["refresh", "push"] }]);
});

test("each refresh token is good once: the next has the next number, and the access token another id", async () => {
  const { ask, begin } = setUp();
  let { token, refreshToken } = await begin();
  for (let generation = 2; generation <= 4; generation++) {
    const answer = await ask({ refreshToken });
    expect(generationOf(answer)).toBe(generation);
    expect(answer.token).not.toBe(token);
    ({ token, refreshToken } = answer);
  }
});

test("two at once with the same token: one turns it in, the other gets the same successor", async () => {
  const { ask, begin, family } = setUp();
  const { refreshToken } = await begin();
  const answers = await Promise.all([ask({ refreshToken }), ask({ refreshToken }), ask({ refreshToken })]);
  expect(answers.map(generationOf)).toEqual([2, 2, 2]);
  expect(family()?.generation).toBe(2);
});

test("a lost answer: within the grace the same successor comes again, until that was used", async () => {
  const { ask, begin } = setUp();
  const { refreshToken } = await begin();
  const lost = await ask({ refreshToken });
  vi.setSystemTime(Date.now() + 30_000);
  const again = await ask({ refreshToken });
  expect(generationOf(again)).toBe(2);
  expect(again.refreshToken).not.toBe(refreshToken);
  expect(generationOf(await ask({ refreshToken: lost.refreshToken ?? "" }))).toBe(3);
  expect(await ask({ refreshToken })).toMatchObject({ code: 401 });
});

test("a second use after the grace ends the family and revokes the device", async () => {
  const { ask, begin, family, revoked, warnings, metrics } = setUp();
  const { refreshToken } = await begin();
  const stolen = await ask({ refreshToken });
  vi.setSystemTime(Date.now() + 30_001);
  expect(await ask({ refreshToken })).toEqual({
    code: 401,
    details: "refresh_token: was used before, so all tokens of this device were revoked: log in again",
    ...HOLDER,
  });
  expect(family()).toBeUndefined();
  const atS = NOW_S + 30;
  expect(revoked.json(revocationKeys.device("a@x", "phone"))).toMatchObject({ atS, by: "reuse" });
  expect(warnings).toEqual([{ eid: "a@x", device: "phone" }]);
  expect(await ask({ refreshToken: stolen.refreshToken ?? "" })).toMatchObject({
    code: 401,
    details: "refresh_token: was revoked",
  });
  expect(await metrics.text()).toContain('bimip_router_refreshes_total{outcome="reused",service="test"} 1');
});

test("a revocation ends what began before it or in its second; not what begins later", async () => {
  for (const what of ["device", "user"] as const) {
    const { ask, begin, kept, revoked } = setUp();
    const { refreshToken } = await begin();
    const family = kept.values.get(PHONE);
    const key = what === "user" ? revocationKeys.user("a@x") : revocationKeys.device("a@x", "phone");
    revoked.put(key, { atS: NOW_S, untilMs: 0, by: "" });
    // Even where its record was not taken away, as when it began at the same moment.
    expect(family).toBeDefined();
    expect(await ask({ refreshToken })).toEqual({ code: 401, details: "refresh_token: was revoked", ...HOLDER });
    const refused = { code: 401, details: "token: was revoked", ...HOLDER };
    expect(await begin()).toEqual(refused);
    expect(await begin({ issuedAtS: 0n })).toEqual(refused);
    // A new token, though our clock is still in that second: the issuer's is ahead.
    const anew = await begin({ issuedAtS: BigInt(NOW_S + 1) });
    const claims = await createVerifier({ secret: SECRET }).verify(anew.token ?? "");
    expect(claims.issuedAtS).toBe(NOW_S + 1);
    expect(generationOf(await ask({ refreshToken: anew.refreshToken ?? "" }))).toBe(2);
  }
});

test("a new family of the device replaces the old one, whose tokens end without harm to the new one", async () => {
  const { ask, begin, family, revoked } = setUp();
  const old = await begin();
  const anew = await begin();
  expect(await ask({ refreshToken: old.refreshToken ?? "" })).toEqual({
    code: 401,
    details: "refresh_token: was ended, or the device began anew: log in again",
    ...HOLDER,
  });
  expect(generationOf(await ask({ refreshToken: anew.refreshToken ?? "" }))).toBe(2);
  expect([family()?.generation, revoked.values.size]).toEqual([2, 0]);
});

test("NATS lost the last write: the token that we made all the same is the newest", async () => {
  const { ask, begin, kept } = setUp();
  const { refreshToken } = await begin();
  const before = kept.json(PHONE) as object;
  const lost = await ask({ refreshToken });
  const later = await ask({ refreshToken: lost.refreshToken ?? "" });
  kept.put(PHONE, before);
  expect(generationOf(await ask({ refreshToken: later.refreshToken ?? "" }))).toBe(4);
});

test("a token of another session or device is not used up by who asks wrongly", async () => {
  const { ask, begin, family } = setUp();
  const { refreshToken } = await begin();
  for (const holder of [
    { eid: "b@x", device: "phone" },
    { eid: "a@x", device: "pad" },
  ])
    expect(await ask({ ...holder, refreshToken })).toMatchObject({ code: 403 });
  expect(await ask({ device: "pad", refreshToken })).toEqual({
    code: 401,
    details: "refresh_token: is not of the device asked for",
    ...HOLDER,
  });
  expect(family()?.generation).toBe(1);
  expect(generationOf(await ask({ eid: "a@x", device: "phone", refreshToken }))).toBe(2);
});

test("what is no refresh token, or has expired, is refused by its part at fault", async () => {
  const { ask, begin } = setUp();
  const { token, refreshToken = "" } = await begin();
  expect(await ask({ refreshToken: token })).toEqual({
    code: 401,
    details: "refresh_token: typ: is not that of a refresh token",
  });
  expect(await ask({ refreshToken: "rubbish" })).toMatchObject({
    code: 401,
    details: expect.stringMatching(/^refresh_token: token: /),
  });
  expect(await ask({ refreshToken: `${refreshToken.slice(0, -4)}AAAA` })).toMatchObject({ code: 401 });
  vi.setSystemTime(Date.now() + 7_201_000);
  expect(await ask({ refreshToken })).toEqual({ code: 401, details: "refresh_token: exp: the token has expired" });
});

test("a new signing key: refresh tokens of the former one are turned in for new ones, while it is named", async () => {
  const { begin, kept } = setUp();
  const { refreshToken = "" } = await begin();
  const key = makeKey("ES256", "2027");
  const rotated = (formerKeys: SigningOptions["formerKeys"]): ReturnType<typeof setUp> => {
    const next = setUp({ keys: { key, formerKeys: formerKeys ?? [] } });
    next.kept.put(PHONE, kept.json(PHONE) as object);
    return next;
  };
  const forgotten = await rotated([]).ask({ refreshToken });
  expect(forgotten).toMatchObject({ code: 401, details: expect.stringMatching(/^refresh_token: alg: /) });
  const { ask } = rotated([makeKey("HS256"), KEY]);
  const answer = await ask({ refreshToken });
  expect(verifyRefreshToken(answer.refreshToken ?? "", { key })).toMatchObject({ generation: 2 });
  const tampered = await ask({ refreshToken: `${refreshToken.slice(0, -4)}AAAA` });
  expect(tampered).toMatchObject({ code: 401, details: expect.stringMatching(/^refresh_token: alg: /) });
  const tokens = await createVerifier({ sources: [{ keys: [key.verification] }] }).verify(answer.token ?? "");
  expect(tokens.eid).toBe("a@x");
});

test("access tokens live no longer than gateways take them", async () => {
  const { begin } = setUp({ lifetimeS: 7_200, maxLifetimeS: 600 });
  expect(await begin()).toMatchObject({ expiresAt: BigInt((NOW_S + 600) * 1_000) });
});

test("without a signing key 403, naming the field", async () => {
  const { begin, ask } = setUp({ noKey: true });
  for (const answer of [await begin(), await ask({ refreshToken: "x" })])
    expect(answer).toMatchObject({ code: 403, details: expect.stringMatching(/^token_authority\.task: /) });
});

test("NATS away, or a write without an answer: it rejects, and the token still is good afterwards", async () => {
  const { ask, begin, kept } = setUp();
  const { refreshToken = "" } = await begin();
  kept.onWrite = () => {
    throw new Error("timeout");
  };
  await expect(ask({ refreshToken })).rejects.toThrow("timeout");
  await expect(begin()).rejects.toThrow("timeout");
  kept.onWrite = () => undefined;
  expect(generationOf(await ask({ refreshToken }))).toBe(2);
});
