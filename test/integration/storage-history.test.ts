// Shows: pages of a log backwards and forwards with the receipts that belong to them, exports, and unread counts, in a
// partition shared with much other traffic. Cannot show: replicas that lag behind their leader.
import { partitionOf, PROCEDURES } from "@bimip/nats";
import { SignalStatus } from "@bimip/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { indexOf, itemOf, PARTITIONS, startStorage, type StorageKit } from "../kit/storage.js";

let kit: StorageKit;

beforeAll(async () => {
  kit = await startStorage();
});
afterAll(() => kit.stop());

interface Ask {
  with?: string;
  before?: number;
  after?: number;
  limit?: number;
  everything?: boolean;
}

async function page(eid: string, ask: Ask = {}) {
  const { before = 0, after = 0, ...rest } = ask;
  const answer = await kit.ask(PROCEDURES.history, { eid, ...rest, before: BigInt(before), after: BigInt(after) });
  const indexes = answer.items.map(indexOf);
  const bytes = answer.items.reduce((sum, item) => sum + item.length, 0);
  return { items: answer.items.map(itemOf), indexes, bytes, next: Number(answer.next), done: answer.done };
}

/** All pages in one direction; each page ascending. */
async function pages(eid: string, direction: "before" | "after", ask: Ask = {}) {
  const all: string[][] = [];
  for (let from = ask[direction] ?? 0; ; ) {
    const { items, next, done } = await page(eid, { ...ask, [direction]: from });
    all.push(items);
    if (done) return all;
    if (next === from) throw new Error("the page leads nowhere");
    from = next;
  }
}

const backwards = async (eid: string, ask: Ask = {}) => (await pages(eid, "before", ask)).toReversed().flat();

/** Another user in the same partition. */
function neighbourOf(eid: string): string {
  for (let n = 0; ; n++) {
    if (partitionOf(`neighbour ${n}`, PARTITIONS) === partitionOf(eid, PARTITIONS)) return `neighbour ${n}`;
  }
}

async function fill(count: number, append: (n: number) => Promise<number>): Promise<number[]> {
  const indexes: number[] = [];
  for (let at = 0; at < count; at += 500) {
    const size = Math.min(500, count - at);
    indexes.push(...(await Promise.all(Array.from({ length: size }, (_, n) => append(at + n)))));
  }
  return indexes;
}

const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => `m${from + n}`);

test("an empty log is one empty page", async () => {
  expect(await page("empty")).toMatchObject({ items: [], done: true });
  expect(await page("empty", { after: 5 })).toMatchObject({ items: [], done: true });
});

test("pages backwards from the head and forwards from an index meet each entry once, with its index", async () => {
  const indexes = await fill(130, (n) => kit.message("alice", "bob", "alice", `m${n}`));
  const newest = await page("alice");
  expect(newest).toMatchObject({ items: ids(80, 130), indexes: indexes.slice(80), next: indexes[80], done: false });
  expect(await page("alice", { before: newest.next, limit: 3 })).toMatchObject({ items: ids(77, 80), done: false });
  expect(await pages("alice", "before", { limit: 65 })).toEqual([ids(65, 130), ids(0, 65)]);
  expect(await pages("alice", "after", { after: indexes[0] as number, limit: 65 })).toEqual([ids(1, 66), ids(66, 130)]);
  expect((await page("alice", { limit: 10_000 })).items).toEqual(ids(0, 130));
  expect((await page("alice", { before: 10 ** 12, limit: 1 })).items).toEqual(["m129"]);
});

test("few entries far apart, then many close together: every one is found backwards", async () => {
  const eid = "sparse";
  const neighbour = neighbourOf(eid);
  const expected: string[] = [];
  for (let round = 0; round < 4; round++) {
    await fill(700 * round, (n) => kit.message(neighbour, "bob", neighbour, `n${round}-${n}`));
    expected.push(`r${round}`);
    await kit.message(eid, "bob", eid, `r${round}`);
  }
  await fill(1_200, (n) => kit.message(eid, "bob", eid, `m${n}`));
  expected.push(...ids(0, 1_200));
  const neighbours = 700 * (1 + 2 + 3);
  await fill(neighbours, (n) => kit.message(neighbour, "bob", neighbour, `last-${n}`));
  expect((await backwards(eid, { limit: 200 })).sort()).toEqual(expected.sort());
});

test("a conversation: what the partner sent and what was sent to them, no one else's", async () => {
  const eid = "carol";
  await kit.message(eid, "bob", eid, "from bob");
  await kit.message(eid, "dave", eid, "from dave");
  await kit.message(eid, eid, "bob", "to bob");
  await kit.message(eid, eid, "dave", "to dave");
  await kit.message(eid, eid, eid, "to myself");
  await kit.notification(eid, "bob", "news of bob");
  expect(await backwards(eid, { with: "bob", limit: 1 })).toEqual(["from bob", "to bob", "news of bob"]);
  expect(await backwards(eid, { with: eid })).toEqual(["to myself"]);
  expect(await backwards(eid, { with: "erin" })).toEqual([]);
});

test("receipts stand behind the own messages of the page that they belong to, each once", async () => {
  const eid = "erin";
  const { DELIVERED, READ, TYPING } = SignalStatus;
  await kit.message(eid, eid, "bob", "old");
  await kit.message(eid, "bob", eid, "answer");
  const before = await kit.message(eid, eid, "bob", "new");
  await kit.receipt(eid, "bob", "old", DELIVERED);
  await kit.receipt(eid, "mallory", "old", DELIVERED);
  await kit.receipt(eid, "bob", "answer", DELIVERED);
  await kit.receipt(eid, "bob", "old", TYPING);
  await kit.receipt(eid, "bob", "new", DELIVERED);
  const read = await kit.receipt(eid, "bob", "old", READ);
  await kit.receipt(eid, "bob", "old", READ);
  const all = ["old", "answer", "new", `old/${DELIVERED} by bob`, `new/${DELIVERED} by bob`, `old/${READ} by bob`];
  const whole = await page(eid);
  expect(whole).toMatchObject({ items: all, done: true });
  expect(whole.indexes.at(-1)).toBe(read);
  const older = await page(eid, { before });
  expect(older.items).toEqual(["old", "answer", `old/${DELIVERED} by bob`, `old/${READ} by bob`]);
  expect((await page(eid, { after: before - 1, limit: 1 })).items).toEqual(["new", `new/${DELIVERED} by bob`]);
});

test("a page holds at most 512 KB, one entry at least", async () => {
  const eid = "frank";
  await fill(20, (n) => kit.message(eid, "bob", eid, `m${n}`, 60_000));
  const all = await pages(eid, "before");
  expect(all.toReversed().flat()).toEqual(ids(0, 20));
  expect(all.length).toBeGreaterThan(2);
  expect((await page(eid)).bytes).toBeLessThan(512 * 1024);
  await kit.message(eid, "bob", eid, "large", 900_000);
  expect((await page(eid)).items).toEqual(["large"]);
});

test("a rare partner in a long log: pages that found nothing yet say where to go on", async () => {
  const eid = "grace";
  await kit.message(eid, "bob", eid, "needle");
  await fill(9_000, (n) => kit.message(eid, "dave", eid, `hay${n}`));
  const all = await pages(eid, "before", { with: "bob" });
  expect(all.flat()).toEqual(["needle"]);
  expect(all.length).toBeGreaterThan(1);
  expect((await pages(eid, "after", { after: 1, with: "nobody" })).flat()).toEqual([]);
});

test("an export is everything, forwards", async () => {
  const eid = "heidi";
  await kit.message(eid, eid, "bob", "m0");
  await kit.receipt(eid, "bob", "m0", SignalStatus.READ);
  await kit.message(eid, "bob", eid, "m1");
  const exported = await pages(eid, "after", { everything: true, limit: 2 });
  expect(exported).toEqual([["m0", `m0/${SignalStatus.READ} by bob`], ["m1"]]);
});

async function unread(eid: string, partner = "") {
  const { rows, total } = await kit.ask(PROCEDURES.unread, { eid, with: partner });
  return { total, rows: rows.map((row) => [row.eid, row.count, Number(row.lastId)]) };
}

test("unread: messages and notifications of others behind the highest READ, by sender", async () => {
  const eid = "ivan";
  expect(await unread(eid)).toEqual({ total: 0, rows: [] });
  const first = await kit.message(eid, "bob", eid, "m0");
  const lastOfBob = await kit.message(eid, "bob", eid, "m1");
  await kit.message(eid, eid, "bob", "own copy");
  await kit.receipt(eid, "bob", "own copy", SignalStatus.READ);
  const lastOfDave = await kit.notification(eid, "dave", "news");
  const both = [
    ["dave", 1, lastOfDave],
    ["bob", 2, lastOfBob],
  ];
  expect(await unread(eid)).toEqual({ total: 3, rows: both });
  expect(await unread(eid, "bob")).toEqual({ total: 2, rows: [["bob", 2, lastOfBob]] });
  const { epoch } = await kit.ask(PROCEDURES.receipts, { eid });
  const devices = [{ eid, device: "phone", cursor: BigInt(lastOfDave), read: BigInt(first), epoch }];
  await kit.ask(PROCEDURES.progress, { devices });
  expect(await unread(eid)).toMatchObject({ total: 2 });
  const all = [{ eid, device: "tablet", read: BigInt(lastOfDave), epoch }];
  await kit.ask(PROCEDURES.progress, { devices: all });
  expect(await unread(eid)).toEqual({ total: 0, rows: [] });
});

test("unread stops at 999, of a sender and of all; who wrote much hides nobody", async () => {
  const first = await kit.message("judy", "early", "judy", "m");
  await fill(1_200, (n) => kit.message("judy", "spammer", "judy", `m${n}`));
  const last = await kit.message("judy", "boss", "judy", "urgent");
  const { total, rows } = await unread("judy");
  expect(total).toBe(999);
  expect(rows).toEqual([
    ["boss", 1, last],
    ["spammer", 999, last - 1],
    ["early", 1, first],
  ]);
  expect(await unread("judy", "early")).toEqual({ total: 1, rows: [["early", 1, first]] });
});

test("in a log of large entries unread and history end after 8 MiB, with what they found", async () => {
  const eid = "large";
  await kit.message(eid, "early", eid, "m");
  await fill(40, (n) => kit.message(eid, eid, "bob", `m${n}`, 500_000));
  await kit.message(eid, "late", eid, "m");
  expect(await unread(eid)).toMatchObject({ total: 1, rows: [["late", 1, expect.any(Number)]] });
  const searched = await page(eid, { with: "early" });
  expect(searched).toMatchObject({ items: [], done: false });
  expect((await pages(eid, "before", { with: "early" })).flat()).toEqual(["m"]);
});
