// Shows: what devices are told of entries that became too old, by a real nats-server that drops them. Cannot show: when a
// gateway says that a device had everything.
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { progressOf, resumeOf, startStorage, type StorageKit } from "../kit/storage.js";

const NOT_SAID = 0;

let kit: StorageKit;

beforeAll(async () => {
  kit = await startStorage({ env: { BIMIP_LOG_MAX_AGE_S: "1" } });
});
afterAll(() => kit.stop());

const append = (eid: string, id: string) => kit.message(eid, "bob", eid, id);
const dropped = (eid: string) => eventually("the entries are dropped", async () => (await kit.reader.head(eid)) === 0);

test("what became too old while a device was away is told, until it acknowledged something", async () => {
  const eid = "ivan";
  const [, second, last] = [await append(eid, "m1"), await append(eid, "m2"), await append(eid, "m3")];
  const { epoch } = await resumeOf(kit, { eid, device: "phone" });
  await resumeOf(kit, { eid, device: "new" });
  await progressOf(kit, eid, "phone", { cursor: second, handed: last, epoch });
  await dropped(eid);
  for (let time = 0; time < 2; time++) {
    const late = await resumeOf(kit, { eid, device: "phone" });
    expect(late).toMatchObject({ after: second, firstId: 0, head: last });
    expect(late.details).toBe(
      `entries after ${second} up to ${last} are gone: entries older than 1 s are dropped, none is left`,
    );
  }
  expect(await kit.metric("bimip_storage_gaps_told_total")).toBe(2);
  const seenMs = Date.now();
  await progressOf(kit, eid, "phone", { cursor: last, handed: last, epoch, seenMs });
  const at = (ms: number, after = 0) => resumeOf(kit, { eid, device: "phone", after, atMs: seenMs + ms });
  expect(await at(0)).toMatchObject({ after: last, details: "" });
  expect(await at(0, last)).toMatchObject({ beyondHead: false, details: "" });
  for (let time = 0; time < 2; time++) {
    expect((await at(60_000)).details).toBe(
      `entries after ${last} may be gone: entries older than 1 s are dropped, this device was last seen 60 s ago, none is left`,
    );
  }
  // It asked, but nobody says that it got anything.
  await at(700);
  expect((await at(1_400)).details).toContain("may be gone");
});

test("a device that never acknowledged anything and stays away for longer than entries are kept connects again, and is told", async () => {
  const eid = "anna";
  const first = await resumeOf(kit, { eid, device: "phone" });
  expect(first).toMatchObject({ after: 0, details: "" });
  const late = () => resumeOf(kit, { eid, device: "phone", atMs: Date.now() + 60_000 });
  expect((await late()).details).toContain("entries after 0 may be gone");
  const index = await append(eid, "m1");
  expect(await late()).toMatchObject({ after: 0, firstId: index, head: index });
});

test("seen in the middle of a replay is not had everything: what expires behind it is told", async () => {
  const eid = "berta";
  const index = await append(eid, "m1");
  const { epoch } = await resumeOf(kit, { eid, device: "phone" });
  await append(eid, "never handed over");
  await progressOf(kit, eid, "phone", { cursor: index, handed: index, epoch, seenMs: NOT_SAID });
  expect(await resumeOf(kit, { eid, device: "phone" })).toMatchObject({ after: index, details: "" });
  await dropped(eid);
  expect((await resumeOf(kit, { eid, device: "phone" })).details).toBe(
    `entries after ${index} may be gone: entries older than 1 s are dropped, none is left`,
  );
});

test("a device that died before its first replay is told of what expired since", async () => {
  const eid = "cleo";
  await append(eid, "never handed over");
  await resumeOf(kit, { eid, device: "phone" });
  await dropped(eid);
  expect((await resumeOf(kit, { eid, device: "phone" })).details).toContain("entries after 0 may be gone");
});

test("an index before what was handed over: what is gone behind it is told, also to a device that was here just now", async () => {
  const eid = "dora";
  const [first, last] = [await append(eid, "m1"), await append(eid, "m2")];
  const { epoch } = await resumeOf(kit, { eid, device: "phone" });
  await progressOf(kit, eid, "phone", { cursor: last, handed: last, epoch });
  await dropped(eid);
  await progressOf(kit, eid, "phone", { epoch });
  expect(await resumeOf(kit, { eid, device: "phone" })).toMatchObject({ details: "" });
  expect((await resumeOf(kit, { eid, device: "phone", after: first })).details).toContain(`up to ${last} are gone`);
});
