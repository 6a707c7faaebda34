// Which session of a device is the newest, over a real bucket: whatever comes late, twice or in another order, an old
// disconnect never wins over a newer connect, and what ended stays so.
import {
  BUCKETS,
  CasBucket,
  connectNats,
  ensureTopology,
  type Link,
  type SessionRecord,
  sessionKey,
} from "@bimip/nats";
import { AwarenessStatus, type SessionEvent, SessionEventSchema } from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Registry } from "../../services/awareness/src/sessions/registry.js";
import { startTestNats } from "../kit/nats.js";

let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
let bucket: CasBucket;
let registries: readonly [Registry, Registry];
let eid = "";
let count = 0;

beforeAll(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "registry" });
  await ensureTopology(link.nc, { partitions: 1, replicas: 1, dedupeWindowS: 60, logMaxAgeS: 0 });
  bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  const replica = (name: string): Registry => new Registry({ bucket, known: () => undefined, replica: name });
  registries = [replica("one"), replica("two")];
});
afterAll(async () => {
  await link.nc.close();
  await nats.remove();
});
beforeEach(() => {
  eid = `user-${++count}@x`;
});

function event(
  sessionId: string,
  atMs: number,
  open = true,
  more: MessageInitShape<typeof SessionEventSchema> = {},
): SessionEvent {
  const where = { node: "node", gateway: "gateway", address: "" };
  return create(SessionEventSchema, {
    eid,
    device: "phone",
    sessionId,
    open,
    timestamp: BigInt(atMs),
    ...where,
    ...more,
  });
}

/** Neither registered nor to be told again. */
const REFUSED = { epoch: 0, contested: 0, tookOver: false };

async function record(): Promise<SessionRecord> {
  const value = await bucket.read(sessionKey(eid, "phone"));
  return JSON.parse(Buffer.from(value?.bytes ?? []).toString()) as SessionRecord;
}

test("an old disconnect never wins over a newer connect", async () => {
  const [one, two] = registries;
  const first = await one.open(event("s1", 1_000));
  const second = await two.open(event("s2", 5_000));
  expect(second.epoch).toBeGreaterThan(first.epoch);
  await one.close(event("s1", 6_000, false));
  expect(await record()).toMatchObject({ sessionId: "s2", state: "online" });
});

test("an opening that comes late has no epoch and changes nothing, even after the newer session ended", async () => {
  const [one, two] = registries;
  const late = event("s1", 1_000, true, { number: 1n, ageMs: 4_500n, gateway: "another" });
  await one.open(event("s2", 5_000));
  expect(await two.open(late)).toEqual(REFUSED);
  await one.close({ ...late, open: false, timestamp: 5_600n, since: 1_000n }); // its gateway ends it for that
  await one.close(event("s2", 9_000, false));
  expect(await two.open(late)).toEqual(REFUSED);
  expect(await record()).toMatchObject({ sessionId: "s2", state: "leaving" });
});

test("an opening that is told again after its session ended opens nothing; before, it is answered with its epoch", async () => {
  const [one, two] = registries;
  const { epoch } = await one.open(event("s1", 1_000));
  expect(await two.open(event("s1", 1_000))).toMatchObject({ epoch });
  await one.close(event("s1", 2_000, false));
  expect(await two.open(event("s1", 1_000))).toEqual(REFUSED);
  await one.settle(await record());
  expect(await two.open(event("s1", 1_000))).toEqual(REFUSED);
  expect(await record()).toMatchObject({ state: "gone", ended: "closed", atMs: 2_000 });
});

test("an end that overtakes its opening leaves a mark: the opening comes too late", async () => {
  const [one, two] = registries;
  const end = { ...event("s1", 2_000, false), since: 1_000n };
  await one.close(end);
  expect(await two.open(event("s1", 1_000))).toEqual(REFUSED);
  expect(await record()).toMatchObject({ state: "gone", ended: "closed" });
  const { epoch } = await two.open(event("s2", 3_000));
  expect(epoch).toBeGreaterThan(0);
  await one.close({ ...end, sessionId: "s0" });
  expect(await record()).toMatchObject({ sessionId: "s2", state: "online" });
});

test("a gateway whose clock is ahead does not keep its devices there", async () => {
  const [one] = registries;
  await one.open(event("s1", 1_000));
  await one.close(event("s1", Date.now() + 3_600_000, false));
  expect((await record()).atMs).toBeLessThanOrEqual(Date.now());
});

test("a session that was swept is there again if its gateway says so, with what its device had said, and not once it closed", async () => {
  const [one, two] = registries;
  await one.open(event("s1", 1_000));
  const presence = { status: AwarenessStatus.AWAY, details: "lunch", visibility: 0, atMs: 1_500, untilMs: 0 };
  await one.speak(eid, "phone", "s1", presence);
  expect(await two.sweep(await record())).toBe(true);
  expect(await one.sweep(await record())).toBe(false);
  await one.settle(await record());
  expect((await two.open(event("s1", 1_000))).epoch).toBeGreaterThan(0);
  expect(await record()).toMatchObject({ state: "online", ended: "", presence });
  await one.sweep(await record());
  await two.close(event("s1", 9_000, false));
  expect(await one.open(event("s1", 1_000))).toEqual(REFUSED);
});

test("the grace period ends only what is still leaving", async () => {
  const [one, two] = registries;
  await one.open(event("s1", 1_000));
  await one.close(event("s1", 2_000, false));
  const leaving = await record();
  await two.open(event("s2", 3_000));
  await one.settle(leaving);
  expect(await record()).toMatchObject({ sessionId: "s2", state: "online" });
});

test("nobody speaks for a session that is not the newest; what was said ends by itself only when its time is over", async () => {
  const [one, two] = registries;
  const said = { status: AwarenessStatus.BUSY, details: "", visibility: 0, atMs: 1, untilMs: Date.now() + 60_000 };
  await one.open(event("s1", 1_000));
  await one.open(event("s2", 5_000));
  await expect(two.speak(eid, "phone", "s1", said)).rejects.toThrow("not registered");
  await two.speak(eid, "phone", "s2", said);
  await one.expire(await record());
  expect((await record()).presence.status).toBe(AwarenessStatus.BUSY);
  await two.speak(eid, "phone", "s2", { ...said, untilMs: Date.now() - 1 });
  await one.expire(await record());
  expect((await record()).presence.status).toBe(AwarenessStatus.ONLINE);
});

test("two replicas that are told everything at once agree on one newest session", async () => {
  const events = Array.from({ length: 20 }, (_, at) => event(`s${at}`, 1_000 + at * 300));
  const opened = await Promise.all(events.map((one, at) => (registries[at % 2] as Registry).open(one)));
  const { sessionId } = await record();
  const newest = opened.map(({ epoch }) => epoch).indexOf(Math.max(...opened.map(({ epoch }) => epoch)));
  expect(sessionId).toBe(`s${newest}`);
  await Promise.all(events.map((one, at) => (registries[at % 2] as Registry).close({ ...one, open: false })));
  expect((await record()).state).toBe("leaving");
});
