// Shows: where a device goes on, over two replicas of storage at once and a real nats-server: first and further devices,
// explicit positions, recreated logs, progress and receipts. Cannot show: elections in a cluster.
import { rm } from "node:fs/promises";
import { call, ensureTopology, partitionOf, PROCEDURES, logStream } from "@bimip/nats";
import { SignalStatus } from "@bimip/protocol";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { type Got, PARTITIONS, progressOf, resumeOf, startStorage, type StorageKit } from "../kit/storage.js";

let kit: StorageKit;

beforeAll(async () => {
  kit = await startStorage({ replicas: 2 });
});
afterAll(() => kit.stop());

const resume = (eid: string, device: string, after = 0, on = kit, atMs = Date.now(), epoch = 0) =>
  resumeOf(on, { eid, device, after, atMs, epoch });

const progress = (eid: string, device: string, got: Got, on = kit) => progressOf(on, eid, device, got);

async function three(eid: string, on = kit): Promise<[number, number, number]> {
  return [
    await on.message(eid, "bob", eid, "m1"),
    await on.message(eid, "bob", eid, "m2"),
    await on.message(eid, "bob", eid, "m3"),
  ];
}

test("an unknown user's empty log: nothing to replay, nothing to tell", async () => {
  expect(await resume("empty", "phone")).toMatchObject({
    after: 0,
    firstId: 0,
    head: 0,
    details: "",
    beyondHead: false,
  });
});

test("the first device ever starts at the beginning, a further one at the head, -1 asks for everything", async () => {
  const [first, , last] = await three("alice");
  expect(await resume("alice", "phone")).toMatchObject({ after: 0, firstId: first, head: last, details: "" });
  expect(await resume("alice", "tablet")).toMatchObject({ after: last, firstId: first, head: last });
  const later = await kit.message("alice", "bob", "alice", "m4");
  expect(await resume("alice", "tablet")).toMatchObject({ after: last, head: later });
  expect(await resume("alice", "tablet", -1)).toMatchObject({ after: 0, head: later });
});

test("where a device begins is its cursor until it acknowledges: what it asks for moves that back, never forwards", async () => {
  const [first, second, last] = await three("begin");
  const { epoch } = await resume("begin", "phone");
  expect(await resume("begin", "phone", second)).toMatchObject({ after: second });
  expect(await resume("begin", "phone")).toMatchObject({ after: 0 });
  expect(await resume("begin", "tablet")).toMatchObject({ after: last });
  expect(await resume("begin", "tablet", second)).toMatchObject({ after: second });
  expect(await resume("begin", "tablet")).toMatchObject({ after: second });
  expect(await resume("begin", "laptop", -1)).toMatchObject({ after: 0 });
  expect(await resume("begin", "laptop")).toMatchObject({ after: 0 });
  await progress("begin", "laptop", { cursor: first, epoch });
  expect(await resume("begin", "laptop", -1)).toMatchObject({ after: 0 });
  expect(await resume("begin", "laptop")).toMatchObject({ after: first });
});

test("of devices that come for the first time at once, over two replicas, one is the first", async () => {
  const [, , last] = await three("crowd");
  const answers = await Promise.all(Array.from({ length: 40 }, (_, n) => resume("crowd", `device ${n}`)));
  expect(answers.filter(({ after }) => after === 0)).toHaveLength(1);
  expect(answers.filter(({ after }) => after === last)).toHaveLength(39);
});

test("an explicit position is taken, one beyond the head is refused with the head", async () => {
  const [, second, last] = await three("explicit");
  expect(await resume("explicit", "phone", second)).toMatchObject({ after: second, details: "", beyondHead: false });
  expect(await resume("explicit", "phone", last)).toMatchObject({ after: last, beyondHead: false });
  const refused = await resume("explicit", "phone", last + 1);
  expect(refused).toMatchObject({ beyondHead: true, head: last });
  expect(refused.details).toBe(`index ${last + 1} lies beyond the head of the log, ${last}`);
});

test("acknowledgements move the cursor, never back, in whatever order replicas merge them", async () => {
  const [first, second, last] = await three("carol");
  const { epoch } = await resume("carol", "phone");
  await Promise.all(
    [second, first, last, second, first].map((cursor) => progress("carol", "phone", { cursor, handed: last, epoch })),
  );
  expect(await resume("carol", "phone")).toMatchObject({ after: last });
  await progress("carol", "phone", { cursor: first, epoch });
  expect(await resume("carol", "phone")).toMatchObject({ after: last });
  const state = await kit.ask(PROCEDURES.pushState, { eid: "carol" });
  expect([Number(state.acked), Number(state.epoch)]).toEqual([last, epoch]);
});

test("a further device's start at the head acknowledges nothing", async () => {
  await three("dave");
  await resume("dave", "phone");
  await resume("dave", "tablet");
  expect(Number((await kit.ask(PROCEDURES.pushState, { eid: "dave" })).acked)).toBe(0);
});

test("progress of many users in one question, pushes too", async () => {
  const eids = Array.from({ length: 200 }, (_, n) => `many ${n}`);
  const { epoch: a } = await resume("many 0", "phone");
  const epochs = new Map([[partitionOf("many 0", PARTITIONS), a]]);
  for (const eid of eids) {
    const partition = partitionOf(eid, PARTITIONS);
    if (!epochs.has(partition)) epochs.set(partition, (await resume(eid, "phone")).epoch);
  }
  const epochOf = (eid: string) => BigInt(epochs.get(partitionOf(eid, PARTITIONS)) ?? 0);
  await kit.ask(PROCEDURES.progress, {
    devices: eids.map((eid) => ({ eid, device: "phone", cursor: 7n, lastSeen: 1n, epoch: epochOf(eid) })),
    users: eids.map((eid) => ({ eid, pushed: 9n, epoch: epochOf(eid) })),
  });
  const states = await Promise.all(eids.map((eid) => kit.ask(PROCEDURES.pushState, { eid })));
  expect(new Set(states.map(({ acked, pushed }) => `${acked} ${pushed}`))).toEqual(new Set(["7 9"]));
});

test("progress of another epoch is dropped and counted", async () => {
  const [, , last] = await three("erin");
  const { epoch } = await resume("erin", "phone");
  const before = await kit.metric("bimip_storage_progress_dropped_total");
  await progress("erin", "phone", { cursor: last, epoch: epoch - 1 });
  expect(await resume("erin", "phone")).toMatchObject({ after: 0 });
  expect(await kit.metric("bimip_storage_progress_dropped_total")).toBe(before + 1);
});

test("receipts given are kept once each, over two replicas", async () => {
  const { epoch } = await resume("frank", "phone");
  const given = (indexes: number[], status: number) =>
    kit.ask(PROCEDURES.progress, {
      users: [{ eid: "frank", epoch: BigInt(epoch), receipts: [{ status, indexes: indexes.map(BigInt) }] }],
    });
  await Promise.all([
    given([5, 3, 900_000_000_000], SignalStatus.DELIVERED),
    given([3, 4], SignalStatus.DELIVERED),
    given([4], SignalStatus.READ),
  ]);
  const answer = await kit.ask(PROCEDURES.receipts, { eid: "frank" });
  expect(Number(answer.epoch)).toBe(epoch);
  expect(new Map(answer.receipts.map(({ status, indexes }) => [status, indexes]))).toEqual(
    new Map([
      [SignalStatus.DELIVERED, [3n, 4n, 5n, 900_000_000_000n]],
      [SignalStatus.READ, [4n]],
    ]),
  );
  expect((await kit.ask(PROCEDURES.receipts, { eid: "nobody" })).receipts).toEqual([]);
});

test("subscriptions are kept per device and can be dropped; a name such as __proto__ is one like others", async () => {
  await resume("grace", "__proto__");
  await resume("grace", "tablet");
  const set = (device: string, subscription: string) =>
    kit.ask(PROCEDURES.subscription, { eid: "grace", device, subscription });
  await Promise.all([set("__proto__", '{"endpoint":"a"}'), set("tablet", '{"endpoint":"b"}'), set("gone", "")]);
  const subscriptions = async () => {
    const state = await kit.ask(PROCEDURES.pushState, { eid: "grace" });
    return state.subscriptions.map(({ device, subscription }) => `${device} ${subscription}`).sort();
  };
  expect(await subscriptions()).toEqual(['__proto__ {"endpoint":"a"}', 'tablet {"endpoint":"b"}']);
  await set("__proto__", "");
  expect(await subscriptions()).toEqual(['tablet {"endpoint":"b"}']);
});

test("the 1,001st device makes the longest unseen be forgotten", async () => {
  await three("heidi");
  const { epoch } = await resume("heidi", "first");
  await kit.ask(PROCEDURES.progress, {
    devices: Array.from({ length: 1_000 }, (_, n) => ({
      eid: "heidi",
      device: `d${n}`,
      cursor: 1n,
      lastSeen: BigInt(Date.now() + 10_000 + n),
      epoch: BigInt(epoch),
    })),
  });
  expect(await kit.metric("bimip_storage_devices_forgotten_total")).toBe(1);
  const { after, head } = await resume("heidi", "first");
  expect(after).toBe(head); // unknown again: a further device
});

test("neither a subscription nor progress without a cursor registers a device: it is a further one, and begins at the head", async () => {
  const [first, , last] = await three("lena");
  const { epoch } = await resume("lena", "phone");
  const subscription = { eid: "lena", device: "browser", subscription: "{}" };
  await expect(call(kit.link.nc, PROCEDURES.subscription, subscription, 300)).rejects.toThrow("timeout");
  await progress("lena", "browser", { handed: first, epoch });
  expect(await resume("lena", "browser")).toMatchObject({ after: last });
  await kit.ask(PROCEDURES.subscription, subscription);
  await progress("lena", "tablet", { cursor: first, epoch });
  expect(await resume("lena", "tablet")).toMatchObject({ after: first });
});

test("a browser's endpoint stays with the device that named it last", async () => {
  for (const device of ["one", "two", "three"]) {
    await resume("mia", device);
    const endpoint = device === "three" ? "other" : "same";
    await kit.ask(PROCEDURES.subscription, { eid: "mia", device, subscription: JSON.stringify({ endpoint }) });
  }
  const { subscriptions } = await kit.ask(PROCEDURES.pushState, { eid: "mia" });
  expect(subscriptions.map(({ device }) => device)).toEqual(["two", "three"]);
});

test("a recreated log: every device gets all of the new one and is told, until it acknowledged something of it", async () => {
  const [, , last] = await three("judy");
  const { epoch } = await resume("judy", "phone");
  await resume("judy", "tablet");
  await progress("judy", "phone", { cursor: last, handed: last, read: last, epoch });
  const jsm = await jetstreamManager(kit.link.nc);
  await jsm.streams.delete(logStream(partitionOf("judy", PARTITIONS)));
  await ensureTopology(kit.link.nc, { partitions: PARTITIONS, replicas: 1, dedupeWindowS: 120, logMaxAgeS: 0 });
  const index = await kit.message("judy", "bob", "judy", "new");
  // Who says which log its index is of is refused before it gets anything from the middle of another.
  const refused = await resume("judy", "phone", 1, kit, Date.now(), epoch);
  expect(refused).toMatchObject({ beyondHead: true, head: index });
  expect(refused.details).toMatch(/^index 1 is one of another log: the log was recreated at /);
  expect(await resume("judy", "phone", 0, kit, Date.now(), epoch)).toMatchObject({ beyondHead: false, after: 0 });
  for (const device of ["phone", "tablet", "phone"]) {
    const answer = await resume("judy", device);
    expect(answer).toMatchObject({ after: 0, firstId: index, head: index, beyondHead: false });
    expect(answer.epoch).toBeGreaterThan(epoch);
    expect(answer.details).toMatch(/^the log was recreated at /);
  }
  const { epoch: renewed } = await resume("judy", "phone");
  await eventually("the other replica's cache is over, too", async () => {
    const { acked, epoch: told } = await kit.ask(PROCEDURES.pushState, { eid: "judy" });
    return acked === 0n && Number(told) === renewed;
  });
  await progress("judy", "phone", { cursor: last + 100, epoch });
  expect(await resume("judy", "phone", last)).toMatchObject({ after: 0 });
  await progress("judy", "phone", { cursor: index, epoch: renewed });
  expect(await resume("judy", "phone")).toMatchObject({ after: index, details: "" });
  expect((await resume("judy", "tablet")).details).toMatch(/^the log was recreated at /);
});

test("NATS comes back empty: streams and buckets are made again, storage goes on", async () => {
  const own = await startStorage({ replicas: 2 });
  try {
    const [, , last] = await three("kim", own);
    const { epoch } = await resume("kim", "phone", 0, own);
    await progress("kim", "phone", { cursor: last, epoch }, own);
    await own.nats.kill("SIGKILL");
    await rm(own.nats.storeDir, { recursive: true });
    await own.nats.restart();
    const again = await eventually("storage answers", () => resume("kim", "phone", 0, own));
    expect(again).toMatchObject({ after: 0, firstId: 0, head: 0, beyondHead: false });
    expect(again.epoch).toBeGreaterThan(epoch);
    const index = await eventually("the log is there", () => own.message("kim", "bob", "kim", "new"));
    await progress("kim", "phone", { cursor: last + 100, epoch }, own);
    expect(await resume("kim", "phone", 0, own)).toMatchObject({ after: 0, head: index });
    expect(await resume("kim", "phone", last + 100, own)).toMatchObject({ beyondHead: true, head: index });
  } finally {
    await own.stop();
  }
});
