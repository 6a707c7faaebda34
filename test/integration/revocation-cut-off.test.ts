// A gateway's memory of revocations, cut off from NATS and back: what was revoked meanwhile counts, what expired meanwhile holds nothing up.
import type { Claims } from "@bimip/auth";
import { BUCKETS, CasBucket, connectNats, ensureTopology, type Link, revocationKeys } from "@bimip/nats";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Revocations } from "../../services/gateway/src/revocations.js";
import { startTcpProxy, type TcpProxy } from "../chaos/tcp-proxy.js";
import { eventually } from "../kit/eventually.js";
import { startTestNats } from "../kit/nats.js";

let nats: Awaited<ReturnType<typeof startTestNats>>;
let direct: Link;
let proxy: TcpProxy;
let cutOff: Link;
let bucket: CasBucket;
let revocations: Revocations;
const ended: string[] = [];

beforeEach(async () => {
  nats = await startTestNats();
  direct = await connectNats({ servers: nats.url, name: "router" });
  await ensureTopology(direct.nc, { partitions: 1, replicas: 1, dedupeWindowS: 60, logMaxAgeS: 0 });
  proxy = await startTcpProxy(() => nats.port);
  cutOff = await connectNats({ servers: `nats://127.0.0.1:${proxy.port}`, name: "gateway" });
  bucket = await CasBucket.open(direct.nc, BUCKETS.revocations);
  ended.length = 0;
  revocations = new Revocations({
    users: { sessionsOf: () => [], sessionOf: () => undefined },
    logger: { error: () => undefined, warn: () => undefined } as never,
    gauge: { set: () => undefined },
  });
});
afterEach(async () => {
  revocations.stop();
  await cutOff.nc.close();
  await direct.nc.close();
  await proxy.close();
  await nats.remove();
});

function claims(jti: string): Claims {
  const rest = {
    eid: "a@x",
    device: "phone",
    issuedAtS: 1,
    expiresAtMs: undefined,
    name: undefined,
  };
  return { ...rest, jti, scopes: new Set() };
}

/** A session whose token has that id. */
function open(jti: string): void {
  const endRevoked = (): void => void ended.push(jti);
  revocations.hold({ claims: claims(jti), leaving: false, endRevoked });
}

async function store(jti: string, ttlS?: number): Promise<number> {
  const untilMs = ttlS === undefined ? 0 : Date.now() + ttlS * 1_000;
  const bytes = Buffer.from(JSON.stringify({ atS: 1, untilMs, by: "test" }));
  return (await bucket.write(revocationKeys.jti(jti), bytes, 0, ttlS)) ?? 0;
}

test("everything that the bucket holds is known before the first session; then each, at once", async () => {
  for (let n = 0; n < 2_500; n++) await store(`old-${n}`);
  await revocations.follow(cutOff);
  expect(revocations.size).toBe(2_500);
  expect(revocations.refusal(claims("old-2499"))).toBe("jti");
  open("new");
  const revision = await store("new");
  await revocations.reached(revision);
  expect(ended).toEqual(["new"]);
});

test("what was revoked while it was cut off ends its sessions when it is back", async () => {
  await revocations.follow(cutOff);
  for (const jti of ["one", "two", "three"]) open(jti);
  await store("before");
  await eventually("it is known", () => revocations.refusal(claims("before")));
  proxy.cut();
  await eventually("it is noticed", () => !cutOff.up);
  await store("one");
  await store("two");
  expect(ended).toEqual([]);
  proxy.heal();
  await eventually("both are known", () => ended.length === 2, 5_000);
  expect(ended).toEqual(["one", "two"]);
  expect(revocations.refusal(claims("three"))).toBeUndefined();
});

test("what came and expired while it was cut off is not waited for", async () => {
  await revocations.follow(cutOff);
  proxy.cut();
  await eventually("it is noticed", () => !cutOff.up);
  const revision = await store("short", 1);
  await eventually("it is gone", async () => (await bucket.read(revocationKeys.jti("short"))) === undefined);
  proxy.heal();
  await eventually("it is back", () => cutOff.up);
  const startMs = performance.now();
  await revocations.reached(revision);
  expect(performance.now() - startMs).toBeLessThan(1_000);
  open("next");
  await revocations.reached(await store("next"));
  expect(ended).toEqual(["next"]);
});
