// One device, many connections at once: one session is left, the newest, and no other one is a writer any more. Over real gateways
// and a real nats-server. What a frozen process does is in test/e2e/double-login.test.ts; the order of registrations in
// newest-session.test.ts; sessions whose gateway lost NATS in stale-session.test.ts.
import { BUCKETS, CasBucket, connectNats, type Link, type SessionRecord, SUBJECTS, sessionKey } from "@bimip/nats";
import {
  LogoutStatus,
  LogoutType,
  type Page,
  QuerySchema,
  QueryType,
  type SessionClaim,
  SessionClaimSchema,
  type SessionEvent,
  SessionEventSchema,
} from "@bimip/protocol";
import { create, fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { StubbornDevice } from "../kit/stubborn-device.js";
import { startSystem, type System } from "../kit/system.js";

const LOGINS = 500;
/** After the last of them connected. Aimed at 1 s; here all services and devices share one process, and that with other tests. */
const SETTLED_WITHIN_MS = 3_000;

let system: System;
let link: Link;
let bucket: CasBucket;
beforeAll(async () => {
  system = await startSystem({ gateways: 3, awareness: 2 });
  link = await connectNats({ servers: system.nats.url, name: "test" });
  bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
});
afterAll(async () => {
  await link.nc.close();
  await system.stop();
});

async function registered(eid: string, device = "phone"): Promise<SessionRecord> {
  const value = await bucket.read(sessionKey(eid, device));
  return JSON.parse(Buffer.from(value?.bytes ?? []).toString()) as SessionRecord;
}

async function sessionsOf(device: Device, id = "sessions"): Promise<Page["sessions"]> {
  device.send("query", create(QuerySchema, { id, type: QueryType.SESSIONS }));
  return (await device.until("page", (page) => page.id === id)).sessions;
}

const open = (devices: readonly Device[]): Device[] => devices.filter(({ closed }) => closed === undefined);

/** Ids of all messages in the user's log. */
async function stored(eid: string): Promise<ReadonlySet<string>> {
  const reader = await system.device(eid, "reader", { everything: true });
  return new Set(reader.of("message").map(({ id }) => id));
}

test.each([
  ["three gateways", 3],
  ["one gateway", 1],
])(
  `${LOGINS} logins of one device at once on %s: one is left, it is the newest, and all agree on it`,
  async (name, gateways) => {
    const eid = `many-${gateways}@x`;
    const told: SessionEvent[] = [];
    const claims: SessionClaim[] = [];
    link.nc.subscribe(SUBJECTS.awareness.session, {
      callback: (_error, { data }) => void told.push(fromBinary(SessionEventSchema, data)),
    });
    link.nc.subscribe(SUBJECTS.claim(eid), {
      callback: (_error, { data }) => void claims.push(fromBinary(SessionClaimSchema, data)),
    });
    await link.nc.flush();
    const startedMs = performance.now();
    const devices = await Promise.all(
      Array.from({ length: LOGINS }, (_, at) => system.device(eid, "phone", { gateway: at % gateways, settle: false })),
    );
    const connectedMs = performance.now();
    await eventually(
      () => `one is left of ${open(devices).length}`,
      () => open(devices).length <= 1,
    );
    const settledMs = performance.now();
    const times = [connectedMs - startedMs, settledMs - connectedMs].map((ms) => ms.toFixed(0));
    process.stdout.write(
      `${LOGINS} logins on ${name}: all connected after ${times[0]} ms, one left ${times[1]} ms after the last\n`,
    );
    const [left] = open(devices);
    if (left === undefined) throw new Error("none is left");
    for (const device of devices) {
      if (device === left) continue;
      expect(device.closed?.code).toBe(4409);
      expect(device.of("logout")).toMatchObject([
        { type: LogoutType.SESSION, status: LogoutStatus.SUCCESS, to: { eid } },
      ]);
    }
    expect(settledMs - connectedMs).toBeLessThan(SETTLED_WITHIN_MS);
    // It is the one that the registry has, and the only one.
    const rows = await sessionsOf(left);
    const record = await registered(eid);
    expect(rows).toMatchObject([{ device: "phone", node: record.node, since: BigInt(record.sinceMs), current: true }]);
    expect(record).toMatchObject({ state: "online", address: rows[0]?.address });
    // The newest: registered last, the last of its gateway, and none of another gateway connected later.
    expect(claims.toSorted((one, other) => Number(other.epoch - one.epoch))[0]?.sessionId).toBe(record.sessionId);
    const openings = told.filter((event) => event.eid === eid && event.open);
    const ofItsGateway = openings.filter(({ gateway }) => gateway === record.gateway);
    const last = ofItsGateway.toSorted((one, other) => Number(other.number - one.number))[0];
    expect(last?.sessionId).toBe(record.sessionId);
    expect(record.sinceMs).toBe(Math.max(...openings.map(({ timestamp }) => Number(timestamp))));
    await left.messageSent({ id: "alive", to: { eid } });
    // And whoever comes now is newer.
    const newest = await system.device(eid, "phone", { gateway: gateways - 1 });
    expect((await left.closing()).code).toBe(4409);
    expect(await sessionsOf(newest)).toMatchObject([{ current: true }]);
  },
);

test("one login after the other, round the gateways, as fast as they open: the last one is left", async () => {
  const eid = "in-turn@x";
  const devices: Device[] = [];
  for (let at = 0; at < 60; at++) devices.push(await system.device(eid, "phone", { gateway: at % 3, settle: false }));
  const newest = devices.at(-1);
  await eventually(
    () => `one is left of ${open(devices).length}`,
    () => open(devices).length <= 1,
  );
  await newest?.settle();
  expect(open(devices)).toEqual([newest]);
});

test("devices that go on sending after they were told to close: nothing of that is stored", async () => {
  const to = "stubborn-reader@x";
  const token = await system.token("stubborn@x", "phone");
  const stubborn: StubbornDevice[] = [];
  const sending = setInterval(() => {
    for (const device of stubborn) device.send(to);
  }, 2);
  try {
    for (let at = 0; at < 30; at++) {
      stubborn.push(await StubbornDevice.open(system.urls[at % 3] ?? "", token, `s${at}`));
      await eventually("it has sent something", () => (stubborn.at(-1)?.sent ?? 0) > 2);
    }
    const older = stubborn.slice(0, -1);
    await eventually("all but the last are told", () => older.every(({ closeCode }) => closeCode !== undefined));
    const sentThen = older.map(({ sent }) => sent);
    await eventually("they sent on", () => older.some(({ sent }, at) => sent > (sentThen[at] ?? 0) + 20));
    for (const { closeCode } of older) expect(closeCode).toBe(4409);
  } finally {
    clearInterval(sending);
  }
  const newest = await system.device("stubborn@x", "phone");
  await newest.messageSent({ id: "last", to: { eid: to } });
  const ids = await stored(to);
  expect(ids.has("last")).toBe(true);
  for (const [at, device] of stubborn.entries()) {
    for (let n = device.sentBeforeClose + 1; n <= device.sent; n++) expect(ids.has(`s${at}-${n}`)).toBe(false);
    device.destroy();
  }
});
