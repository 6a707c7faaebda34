// One newest session of a device, over a real bucket: whatever the clocks of gateways say, in whatever order openings arrive, whoever was
// frozen with one, and whatever got lost on the way.
import {
  BUCKETS,
  CasBucket,
  connectNats,
  ensureTopology,
  type Link,
  type SessionRecord,
  sessionKey,
} from "@bimip/nats";
import { type SessionEvent, SessionEventSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Registry } from "../../services/awareness/src/sessions/registry.js";
import { startTestNats } from "../kit/nats.js";

let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
let bucket: CasBucket;
let registries: readonly [Registry, Registry];
let eid = "";
let count = 0;
/** The registry's clock. */
let clockMs = 1_000_000;
const passed = (ms: number): void => void (clockMs += ms);
const replica = (name: string, aheadMs = 0): Registry =>
  new Registry({ bucket, known: () => undefined, replica: name, now: () => clockMs + aheadMs });

beforeAll(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "registry" });
  await ensureTopology(link.nc, { partitions: 1, replicas: 1, dedupeWindowS: 60, logMaxAgeS: 0 });
  bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  registries = [replica("one"), replica("two")];
});
afterAll(async () => {
  await link.nc.close();
  await nats.remove();
});
beforeEach(() => {
  eid = `user-${++count}@x`;
});

/** What a gateway tells of its sessions: `number` is its own count, `gateway` has its own clock. */
function told(sessionId: string, gateway: string, number: number, atMs: number, ageMs = 0, over = 0): SessionEvent {
  const numbers = { number: BigInt(number), ageMs: BigInt(ageMs), over: BigInt(over) };
  const where = { eid, device: "phone", node: "node", gateway, address: "" };
  return create(SessionEventSchema, { ...where, sessionId, open: true, timestamp: BigInt(atMs), ...numbers });
}

function ended(opening: SessionEvent, atMs = Number(opening.timestamp) + 10): SessionEvent {
  return create(SessionEventSchema, { ...opening, open: false, timestamp: BigInt(atMs), since: opening.timestamp });
}

/** As a gateway does it: an opening that finds another session open is told again, knowing of it. */
async function takeOver(registry: Registry, opening: SessionEvent): Promise<number> {
  for (let over = 0; ; ) {
    const { epoch, contested } = await registry.open(create(SessionEventSchema, { ...opening, over: BigInt(over) }));
    if (contested === 0) return epoch;
    over = contested;
  }
}

async function record(): Promise<SessionRecord> {
  const value = await bucket.read(sessionKey(eid, "phone"));
  return JSON.parse(Buffer.from(value?.bytes ?? []).toString()) as SessionRecord;
}

test("a device that moves to a gateway whose clock is behind is taken, whether its old session ended or hangs", async () => {
  const [one, two] = registries;
  const ahead = told("s1", "ahead", 1, 60_000);
  await takeOver(one, ahead);
  passed(300);
  expect(await takeOver(two, told("s2", "behind", 1, 1_000))).toBeGreaterThan(0);
  expect(await record()).toMatchObject({ sessionId: "s2", state: "online" });
  await one.close(ended(ahead));
  const back = told("s3", "ahead", 2, 61_000);
  await takeOver(one, back);
  await one.close(ended(back));
  expect(await takeOver(two, told("s4", "behind", 2, 2_000))).toBeGreaterThan(0);
  expect(await record()).toMatchObject({ sessionId: "s4", state: "online" });
});

test("the clock of a gateway is set back: its newer session still counts as the newer one, though it waited long", async () => {
  const [one] = registries;
  await takeOver(one, told("s1", "g", 1, 60_000));
  expect(await takeOver(one, told("s2", "g", 2, 1_000, 5_000))).toBeGreaterThan(0);
  expect(await record()).toMatchObject({ sessionId: "s2", state: "online" });
});

test("a session that another one took over from never takes the device back, however often it is told", async () => {
  const [one, two] = registries;
  const first = told("s1", "g1", 1, 1_000);
  await takeOver(one, first);
  await takeOver(two, told("s2", "g2", 1, 1_010));
  expect(await takeOver(one, first)).toBe(0); // its first answer was lost
  expect(await two.hold(first)).toMatchObject({ stale: true });
  await two.close(ended(told("s2", "g2", 1, 1_010)));
  expect(await takeOver(one, first)).toBe(0);
  expect(await record()).toMatchObject({ sessionId: "s2", state: "leaving" });
});

test("a session that was told once that it is older is not taken later either, though the newer one was swept", async () => {
  const [one, two] = registries;
  await takeOver(one, told("s2", "g2", 1, 1_010));
  const [refused, stale] = [told("s1", "g1", 1, 1_000, 20), told("s3", "g3", 1, 1_001, 20)];
  expect(await takeOver(two, refused)).toBe(0);
  expect(await two.hold(stale)).toEqual({ stale: true, epoch: 0 });
  await two.sweep(await record());
  expect(await takeOver(one, refused)).toBe(0);
  expect(await one.hold(stale)).toEqual({ stale: true, epoch: 0 });
  expect((await one.hold(told("s2", "g2", 1, 1_010))).epoch).toBeGreaterThan(0);
});

test("an opening that a frozen replica held changes nothing once its session has ended, though an older session is open", async () => {
  const [one, frozen] = registries;
  await takeOver(one, told("s1", "g1", 1, 1_000));
  const held = told("s2", "g2", 1, 2_000);
  await one.close(ended(held));
  expect(await frozen.open(held)).toMatchObject({ epoch: 0 });
  expect(await record()).toMatchObject({ sessionId: "s1", state: "online" });
});

test("an opening that a frozen replica held takes nothing from an open session: its gateway is asked first", async () => {
  const [one, frozen] = registries;
  await takeOver(one, told("s2", "g2", 1, 2_000));
  passed(1_500);
  // Whoever asked may wait no more: then nobody asks again.
  expect((await frozen.open(told("s1", "g1", 1, 1_000))).contested).toBeGreaterThan(0);
  expect(await record()).toMatchObject({ sessionId: "s2", state: "online" });
});

test("an opening that a frozen replica held is older than what was registered meanwhile, once it says its age", async () => {
  const [one, frozen] = registries;
  const held = told("s1", "g1", 1, 1_000);
  await takeOver(one, told("s2", "g2", 1, 2_000));
  passed(1_500);
  const { contested } = await frozen.open(held);
  expect(await one.open(told("s1", "g1", 1, 1_000, 1_500, contested))).toMatchObject({ epoch: 0, contested: 0 });
});

test("sessions that waited for the registry: the later one counts, whichever is told first", async () => {
  const [one, two] = registries;
  const [older, newer] = [told("s1", "g1", 1, 1_000, 60_000), told("s2", "g2", 1, 31_000, 30_000)];
  await takeOver(one, older);
  expect(await takeOver(two, newer)).toBeGreaterThan(0);
  expect(await takeOver(one, older)).toBe(0);
  eid = `${eid}.other`;
  await takeOver(two, create(SessionEventSchema, { ...newer, eid }));
  expect(await takeOver(one, create(SessionEventSchema, { ...older, eid }))).toBe(0);
  expect(await record()).toMatchObject({ sessionId: "s2" });
});

test("connected at about the same time: the later one by the gateways' clocks, and of equal ones the one told last", async () => {
  const [one, two] = registries;
  await takeOver(one, told("s2", "g2", 1, 1_002, 3));
  expect(await takeOver(two, told("s1", "g1", 1, 1_001, 5))).toBe(0);
  expect(await takeOver(two, told("s3", "g3", 1, 1_002, 5))).toBeGreaterThan(0);
  expect(await record()).toMatchObject({ sessionId: "s3" });
});

test("replicas whose clocks are ten seconds apart: whoever connects now is taken all the same", async () => {
  const all = [replica("behind", -10_000), replica("ahead", 10_000), replica("right")] as const;
  for (let at = 0; at < 12; at++) {
    // Gateways do not agree either.
    const opening = told(`s${at}`, `g${at % 3}`, at + 1, 60_000 - at * 3_000, 5);
    expect(await takeOver(all[(at * 5) % 3] as Registry, opening)).toBeGreaterThan(0);
    passed(600);
  }
});

test("what a gateway says it holds: the newest is registered again if it was swept, older ones are named", async () => {
  const [one, two] = registries;
  const [first, second] = [told("s1", "g1", 1, 1_000), told("s2", "g2", 1, 1_100)];
  await takeOver(one, first);
  await takeOver(two, second);
  expect(await one.hold(first)).toMatchObject({ stale: true, epoch: 0 });
  expect(await one.hold(second)).toMatchObject({ stale: false, epoch: 0 });
  await two.sweep(await record());
  expect(await one.hold(first)).toMatchObject({ stale: true }); // nor does it come back for that
  expect((await one.hold(second)).epoch).toBeGreaterThan(0);
  expect(await record()).toMatchObject({ sessionId: "s2", state: "online" });
  await two.close(ended(second));
  expect(await one.hold(second)).toMatchObject({ stale: true });
});

test("the bucket was lost: of two that say they are there one is left, the later one", async () => {
  for (const order of [
    [0, 1],
    [1, 0],
  ] as const) {
    eid = `lost-${order[0]}@x`;
    const both = [told("s1", "g1", 1, 1_000, 90_000), told("s2", "g2", 1, 61_000, 30_000)] as const;
    const [one, two] = registries;
    await one.hold(both[order[0]]);
    await two.hold(both[order[1]]);
    expect(await record()).toMatchObject({ sessionId: "s2", state: "online" });
    expect(await one.hold(both[0])).toMatchObject({ stale: true });
    expect(await two.hold(both[1])).toMatchObject({ stale: false });
  }
});

test("a device that goes round twelve gateways: only the last eight are remembered, and the newest stays the newest", async () => {
  const [one, two] = registries;
  for (let at = 0; at < 12; at++) await takeOver(one, told(`s${at}`, `g${at}`, 1, 1_000 + at));
  for (let at = 4; at < 11; at++)
    expect(await two.hold(told(`s${at}`, `g${at}`, 1, 1_000 + at))).toMatchObject({ stale: true });
  expect(await record()).toMatchObject({ sessionId: "s11" });
  expect(Object.keys((await record()).numbers ?? {})).toHaveLength(8);
});

test("500 openings of one device at once, over three gateways and two replicas: the last one is online, with the highest epoch", async () => {
  const openings = Array.from({ length: 500 }, (_, at) =>
    told(`s${at}`, `g${at % 3}`, Math.floor(at / 3) + 1, 1_000 + at),
  );
  const lines = [0, 1, 2].map((gateway) => openings.filter((_, at) => at % 3 === gateway));
  const epochs = new Map<string, number>();
  // A gateway tells of one device's sessions one after the other.
  await Promise.all(
    lines.map(async (line, gateway) => {
      for (const one of line) epochs.set(one.sessionId, await takeOver(registries[gateway % 2] as Registry, one));
    }),
  );
  const { sessionId, state } = await record();
  const [newest] = [...epochs].sort(([, a], [, b]) => b - a)[0] ?? [];
  expect([sessionId, state, newest]).toEqual(["s499", "online", "s499"]);
  const held = await Promise.all(openings.map((one, at) => (registries[at % 2] as Registry).hold(one)));
  expect(openings.filter((_, at) => held[at]?.stale === false).map((one) => one.sessionId)).toEqual([newest]);
});
