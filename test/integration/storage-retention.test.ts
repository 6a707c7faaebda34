// Shows: limits per user, erasing, and what devices are told of it, over two replicas that sweep at the same time and a
// real nats-server. Cannot show: a sweep over millions of users.
import { BUCKETS, CasBucket, LogAdmin, PROCEDURES, SUBJECTS, userKey } from "@bimip/nats";
import { LogTrimmedSchema, SignalStatus } from "@bimip/protocol";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { PARTITIONS, startStorage, type StorageKit } from "../kit/storage.js";

const MAX_MESSAGES = 20;
const MAX_BYTES = 100_000;

let kit: StorageKit;

beforeAll(async () => {
  kit = await startStorage({
    replicas: 2,
    env: {
      BIMIP_LOG_MAX_MESSAGES: String(MAX_MESSAGES),
      BIMIP_LOG_MAX_BYTES: String(MAX_BYTES),
      BIMIP_RETENTION_SWEEP_S: "1",
    },
  });
});
afterAll(() => kit.stop());

/** `trimmed_to` of what gateways are told about this user from now on. */
function trimmedTold(eid: string): number[] {
  const told: number[] = [];
  kit.link.nc.subscribe(SUBJECTS.trimmed(eid), {
    callback(_error, { data }) {
      told.push(Number(fromBinary(LogTrimmedSchema, data).trimmedTo));
    },
  });
  return told;
}

async function append(eid: string, count: number, size = 0): Promise<number[]> {
  const indexes: number[] = [];
  for (let n = 0; n < count; n++) indexes.push(await kit.message(eid, "bob", eid, `m${n}`, size));
  return indexes;
}

const left = async (eid: string) => (await kit.reader.page(eid, 0, 1_000)).map(({ index }) => index);

async function resume(eid: string, device: string, after = 0) {
  const answer = await kit.ask(PROCEDURES.resume, { eid, device, after: BigInt(after), timestamp: BigInt(Date.now()) });
  return { ...answer, after: Number(answer.after), firstId: Number(answer.firstId), head: Number(answer.head) };
}

test("who is near a limit shows before anything is lost", async () => {
  const indexes = await append("carol", 18);
  // Both replicas count one user, at 18 of 20.
  const shown = async () => [
    await kit.metric("bimip_storage_quota_near_users"),
    await kit.metric("bimip_storage_quota_used_ratio_max"),
  ];
  await eventually("counted", async () => String(await shown()) === "2,1.8");
  expect(await left("carol")).toEqual(indexes);
  await kit.ask(PROCEDURES.erase, { eid: "carol" });
  await eventually("counted again", async () => String(await shown()) === "0,0");
});

test("who goes over a limit at once shows before anything of theirs is trimmed", async () => {
  await Promise.all(Array.from({ length: 40 }, (_, n) => kit.message("burst", "bob", "burst", `m${n}`)));
  await eventually("counted", async () => (await kit.metric("bimip_storage_quota_used_ratio_max")) >= 2);
  expect(await left("burst")).toHaveLength(40);
  await eventually("trimmed", async () => (await left("burst")).length === MAX_MESSAGES);
});

test("the oldest entries over the number of messages go, recorded, told, and never more than that", async () => {
  const told = trimmedTold("alice");
  await resume("alice", "phone");
  const indexes = await append("alice", 50);
  const cut = indexes[29] as number;
  await eventually("told that it is trimmed", () => told.includes(cut));
  await kit.message("alice", "bob", "alice", "one more");
  await eventually("trimmed again", () => told.includes(indexes[30] as number));
  expect(await left("alice")).toHaveLength(MAX_MESSAGES);
  expect((await left("alice"))[0]).toBe(indexes[31]);
  const { details, after, firstId } = await resume("alice", "phone");
  expect(details).toBe(`entries after 0 up to ${indexes[30]} were trimmed or erased`);
  expect([after, firstId]).toEqual([0, indexes[31]]);
  expect(await kit.metric("bimip_storage_trimmed_entries_total")).toBeGreaterThanOrEqual(31);
});

test("the oldest entries over the bytes go", async () => {
  const indexes = await append("bob", 12, 10_000);
  await eventually("trimmed", async () => (await left("bob"))[0] === indexes[3]);
  expect(await left("bob")).toEqual(indexes.slice(3));
});

test("a trim that ended between record and log is finished by the next sweep", async () => {
  const indexes = await append("dave", 19);
  const told = trimmedTold("dave");
  const users = await CasBucket.open(kit.link.nc, BUCKETS.users);
  await resume("dave", "phone");
  const value = await users.read(userKey("dave"));
  if (value === undefined) throw new Error("the record is there");
  const record = { ...JSON.parse(Buffer.from(value.bytes).toString()), trimmedTo: indexes[4] };
  expect(await users.write(userKey("dave"), Buffer.from(JSON.stringify(record)), value.revision)).toBeGreaterThan(0);
  await eventually("the entries are removed", async () => (await left("dave")).length === 14);
  expect(await left("dave")).toEqual(indexes.slice(5));
  await eventually("told", () => told.includes(indexes[4] as number));
});

test("erasing forgets log, receipts and subscriptions, keeps devices, and tells them", async () => {
  const eid = "erin";
  const told = trimmedTold(eid);
  const { epoch } = await resume(eid, "phone");
  const indexes = await append(eid, 5);
  const last = indexes[4] as number;
  await kit.ask(PROCEDURES.subscription, { eid, device: "phone", subscription: "{}" });
  await kit.ask(PROCEDURES.progress, {
    devices: [{ eid, device: "phone", cursor: BigInt(indexes[1] as number), lastSeen: 1n, epoch }],
    users: [{ eid, epoch, receipts: [{ status: SignalStatus.READ, indexes: [BigInt(indexes[0] as number)] }] }],
  });
  const answer = await kit.ask(PROCEDURES.erase, { eid });
  expect([Number(answer.erased), Number(answer.trimmedTo)]).toEqual([5, last]);
  expect(await left(eid)).toEqual([]);
  expect((await kit.ask(PROCEDURES.receipts, { eid })).receipts).toEqual([]);
  expect((await kit.ask(PROCEDURES.pushState, { eid })).subscriptions).toEqual([]);
  expect((await kit.ask(PROCEDURES.history, { eid })).items).toEqual([]);
  await eventually("told", () => told.includes(last));
  expect(await resume(eid, "phone")).toMatchObject({
    after: indexes[1],
    firstId: 0,
    head: last,
    details: `entries after ${indexes[1]} up to ${last} were trimmed or erased`,
  });
  expect(await resume(eid, "tablet")).toMatchObject({ after: last, details: "" });
  expect(await resume(eid, "phone", last)).toMatchObject({ beyondHead: false, details: "" });
  const again = await kit.ask(PROCEDURES.erase, { eid });
  expect([Number(again.erased), Number(again.trimmedTo)]).toEqual([0, last]);
  const next = await kit.message(eid, "bob", eid, "after");
  expect(await left(eid)).toEqual([next]);
  expect(next).toBeGreaterThan(last);
});

test("erasing an unknown user's log does nothing", async () => {
  expect(await kit.ask(PROCEDURES.erase, { eid: "unknown" })).toMatchObject({ erased: 0n, trimmedTo: 0n });
});

test("logs are counted in pages, whatever their users are called", async () => {
  const admin = await LogAdmin.create(kit.link, PARTITIONS);
  const names = ["*", "a.b", ">", "zoë", "x".repeat(200)];
  for (const name of names) await kit.message(name, "bob", name, "m");
  const counted = new Map<string, number>();
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for await (const logs of admin.counts(partition)) for (const { eid, entries } of logs) counted.set(eid, entries);
  }
  for (const name of names) expect([name, counted.get(name)]).toEqual([name, 1]);
  expect(await admin.entriesOf("*")).toBe(1);
  expect(await admin.entriesOf("nobody")).toBe(0);
});
