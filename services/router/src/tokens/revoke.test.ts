// What is stored for a revocation, over a bucket in memory.
import { refreshKey, revocationKeys, sessionKey } from "@bimip/nats";
import { RevokeRequestSchema } from "@bimip/protocol";
import { createMetrics } from "@bimip/runtime";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { FakeBucket } from "../../../../test/kit/fake-bucket.js";
import { FamilyStore } from "./family-store.js";
import { createTokenMetrics } from "./metrics.js";
import { RevocationStore } from "./revocation-store.js";
import { Revoker } from "./revoke.js";
import type { TokenConfig } from "./token-config.js";

const NOW_S = 1_700_000_000;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW_S * 1_000 + 900, toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

function setUp(config: Partial<TokenConfig> = {}) {
  const all: TokenConfig = {
    signingKeyFiles: [],
    lifetimeS: 900,
    refreshLifetimeS: 7_200,
    graceMs: 30_000,
    issuer: undefined,
    audience: undefined,
    maxLifetimeS: 0,
    skewS: 5,
    ...config,
  };
  const bucket = new FakeBucket();
  const refresh = new FakeBucket();
  const registry = new FakeBucket();
  const metrics = createMetrics("test");
  const lines: object[] = [];
  const revoker = new Revoker({
    store: new RevocationStore(bucket, all.skewS),
    families: new FamilyStore(refresh, all.skewS),
    registry,
    config: all,
    metrics: createTokenMetrics(metrics),
    logger: { info: (line: object) => void lines.push(line) } as never,
  });
  const revoke = (init: MessageInitShape<typeof RevokeRequestSchema>) =>
    revoker.handle(create(RevokeRequestSchema, { by: "admin@x", ...init }));
  return { bucket, refresh, registry, revoker, revoke, lines, metrics };
}

const jti = (value: string) => ({ case: "jti", value }) as const;
const eid = (value: string) => ({ case: "eid", value }) as const;
const device = (of: string, name: string) => ({ case: "device", value: { eid: of, device: name } }) as const;

test("a token is refused until it expires; the entry stays a little longer, since clocks differ", async () => {
  const { bucket, revoke } = setUp();
  const untilMs = NOW_S * 1_000 + 60_000;
  expect(await revoke({ what: jti("t"), expiresAt: BigInt(untilMs) })).toEqual({ revision: 1n });
  const key = revocationKeys.jti("t");
  expect(bucket.json(key)).toEqual({ atS: NOW_S, untilMs, by: "admin@x" });
  expect(bucket.values.get(key)?.ttlS).toBe(65);
  // Again, and with less: it stands.
  expect(await revoke({ what: jti("t"), expiresAt: BigInt(untilMs - 1) })).toEqual({ revision: 1n });
  // With more, and without an end.
  await revoke({ what: jti("t"), expiresAt: BigInt(untilMs + 1) });
  expect(bucket.json(key)).toMatchObject({ untilMs: untilMs + 1 });
  await revoke({ what: jti("t") });
  expect(bucket.json(key)).toMatchObject({ untilMs: 0 });
  expect(bucket.values.get(key)?.ttlS).toBeUndefined();
});

test("a token that has expired needs nothing; one that expires in a thousand years has no time to live", async () => {
  const { bucket, revoke } = setUp();
  expect(await revoke({ what: jti("old"), expiresAt: BigInt(NOW_S * 1_000 - 5_000) })).toEqual({ revision: 0n });
  await revoke({ what: jti("just"), expiresAt: BigInt(NOW_S * 1_000) });
  await revoke({ what: jti("far"), expiresAt: 9_223_372_036_854_775_807n });
  const ttls = ["old", "just", "far"].map((name) => bucket.values.get(revocationKeys.jti(name))?.ttlS);
  expect(ttls).toEqual([undefined, 5, undefined]);
  expect([...bucket.values.keys()]).toEqual([revocationKeys.jti("just"), revocationKeys.jti("far")]);
});

test("an account and a device are refused up to this second, for as long as any token lives; never for less", async () => {
  const { bucket, revoke } = setUp({ maxLifetimeS: 3_600 });
  await revoke({ what: eid("a@x") });
  await revoke({ what: device("a@x", "phone") });
  const record = { atS: NOW_S, untilMs: (NOW_S + 1 + 3_600) * 1_000, by: "admin@x" };
  for (const key of [revocationKeys.user("a@x"), revocationKeys.device("a@x", "phone")]) {
    expect(bucket.json(key)).toEqual(record);
    expect(bucket.values.get(key)?.ttlS).toBe(3_606);
  }
  vi.setSystemTime((NOW_S - 100) * 1_000); // another replica, whose clock is behind
  await revoke({ what: eid("a@x") });
  expect(bucket.json(revocationKeys.user("a@x"))).toEqual(record);
  vi.setSystemTime((NOW_S + 1) * 1_000);
  await revoke({ what: eid("a@x") });
  expect(bucket.json(revocationKeys.user("a@x"))).toMatchObject({ atS: NOW_S + 1 });
});

test("tokens of the last fraction of a second are refused to their end, and a token whose issuer's clock is ahead", async () => {
  const { bucket, revoke } = setUp({ maxLifetimeS: 3_600 });
  await revoke({ what: eid("a@x") });
  await revoke({ what: jti("t") });
  // `iat` has fractions: this is the last token that the second refuses.
  const lastExpiryMs = NOW_S * 1_000 + 999 + 3_600_000;
  expect((bucket.json(revocationKeys.user("a@x")) as { untilMs: number }).untilMs).toBeGreaterThan(lastExpiryMs);
  expect((bucket.json(revocationKeys.jti("t")) as { untilMs: number }).untilMs).toBeGreaterThan(lastExpiryMs + 5_000);
});

test("refresh tokens end with them, and are refused for as long as any lives", async () => {
  const { bucket, refresh, revoke } = setUp({ maxLifetimeS: 3_600, signingKeyFiles: ["key"] });
  const keys = [refreshKey("a@x", "phone"), refreshKey("a@x", "pad"), refreshKey("a@xx", "phone")];
  const put = (): void => keys.forEach((key) => refresh.put(key, {}));
  put();
  await revoke({ what: device("a@x", "phone") });
  expect([...refresh.values.keys()]).toEqual(keys.slice(1));
  put();
  await revoke({ what: eid("a@x") });
  expect([...refresh.values.keys()]).toEqual(keys.slice(2));
  expect(bucket.json(revocationKeys.user("a@x"))).toMatchObject({ untilMs: (NOW_S + 1 + 7_200) * 1_000 });
});

test("a token that was made while the revocation was being written is refused, though the second passed", async () => {
  const { bucket, revoke, lines, metrics } = setUp();
  bucket.onWrite = () => {
    bucket.onWrite = () => undefined;
    vi.setSystemTime((NOW_S + 1) * 1_000); // here: a refresh token is turned in, and finds nothing revoked
  };
  await revoke({ what: eid("a@x") });
  expect(bucket.json(revocationKeys.user("a@x"))).toMatchObject({ atS: NOW_S + 1 });
  // Written twice, but it is one revocation.
  expect(lines).toHaveLength(1);
  expect(await metrics.text()).toContain('bimip_router_revocations_total{what="user",service="test"} 1');
});

test("an account names devices that were seen; the operator, and a session of itself, any", async () => {
  const { bucket, registry, revoke, lines } = setUp();
  registry.put(sessionKey("a@x", "phone"), { state: "gone" });
  for (const [of, name] of [
    ["a@x", "made up"],
    ["b@x", "phone"],
  ] as const)
    expect(await revoke({ what: device(of, name), by: of, seenOnly: true })).toEqual({
      code: 404,
      details: "device.device: no device of this name was ever seen",
    });
  expect([bucket.values.size, lines.length]).toEqual([0, 0]);
  expect(await revoke({ what: device("a@x", "phone"), by: "a@x", seenOnly: true })).toEqual({ revision: 1n });
  expect(await revoke({ what: device("a@x", "made up"), by: "operator" })).toEqual({ revision: 2n });
});

test("without a longest lifetime it is kept for ever", async () => {
  const { bucket, revoke } = setUp();
  await revoke({ what: eid("a@x") });
  expect(bucket.json(revocationKeys.user("a@x"))).toMatchObject({ untilMs: 0 });
  expect(bucket.values.get(revocationKeys.user("a@x"))?.ttlS).toBeUndefined();
});

test("replicas that write the same at once lose nothing", async () => {
  const { bucket, revoke } = setUp();
  let writes = 0;
  bucket.onWrite = () => {
    if (writes++ === 0) bucket.put(revocationKeys.user("a@x"), { atS: NOW_S + 7, untilMs: 0, by: "other@x" });
  };
  await revoke({ what: eid("a@x") });
  expect(bucket.json(revocationKeys.user("a@x"))).toMatchObject({ atS: NOW_S + 7 });
});

test("what names nothing that a token may hold is refused, naming the field; an id of 10 kB is fine", async () => {
  const { bucket, revoke } = setUp();
  for (const [what, details] of [
    [{ case: undefined }, "what: is missing"],
    [jti(""), "jti: is missing"],
    [jti("x".repeat(16_385)), "jti: is too long: 16385 bytes, at most 16384"],
    [eid("a\nb"), "eid: holds the control character U+000A"],
    [device("", "phone"), "device.eid: is missing"],
    [device("a@x", ""), "device.device: is missing"],
  ] as const)
    expect(await revoke({ what: what as never })).toEqual({ code: 422, details });
  expect(bucket.values.size).toBe(0);
  await revoke({ what: jti("x".repeat(10_240)) });
  expect(bucket.values.size).toBe(1);
});

test("NATS away: it rejects, so that nobody is told that it was done", async () => {
  const { bucket, revoke } = setUp();
  bucket.onWrite = () => {
    throw new Error("no responders");
  };
  await expect(revoke({ what: eid("a@x") })).rejects.toThrow("no responders");
});

test("each leaves a line that says who asked, and no token's id", async () => {
  const { revoke, lines } = setUp();
  await revoke({ what: jti("secret-ish") });
  await revoke({ what: device("a@x", "phone") });
  expect(lines).toEqual([
    { revoked: { what: "jti", key: revocationKeys.jti("secret-ish"), by: "admin@x", untilMs: 0 } },
    {
      revoked: {
        what: "device",
        key: revocationKeys.device("a@x", "phone"),
        by: "admin@x",
        untilMs: 0,
        eid: "a@x",
        device: "phone",
      },
    },
  ]);
  expect(JSON.stringify(lines)).not.toContain("secret-ish");
});
