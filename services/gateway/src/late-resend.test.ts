// When a log is read for late repeats, from where, and what is remembered; the log and the clock are the test's.
import { create } from "@bufbuild/protobuf";
import { decodeFrame, encodeIdentity, encodeStanza, MessageSchema, toStored } from "@bimip/protocol";
import type { ScannedEntry } from "@bimip/nats";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { LateResends, type LateResendsOptions, Repeats, type Resender } from "./late-resend.js";

const WINDOW_MS = 120_000;
const NOW = 1_732_365_000_000;
const device = (eid: string): Resender => ({ eid, repeats: new Repeats() });
let alice: Resender;
beforeEach(() => {
  alice = device("alice@x");
});

beforeEach(() => {
  vi.useFakeTimers({ now: NOW, toFake: ["Date"] });
});
afterEach(() => {
  vi.useRealTimers();
});

type Request = Parameters<LateResendsOptions["scan"]>[0];
interface Entry extends ScannedEntry {
  readonly atMs: number;
  readonly from: string;
}

/** A log in memory, and what was asked of it. */
function logOf(entries: Entry[], limit = Number.POSITIVE_INFINITY) {
  const asked: Request["from"][] = [];
  const scan = async (request: Request) => {
    asked.push(request.from);
    const { from } = request;
    const behind = entries.filter(({ index, atMs }) => ("after" in from ? index > from.after : atMs >= from.sinceMs));
    const read = behind.slice(0, limit);
    for (const entry of read) if (request.wanted(bytesFrom(entry.from))) request.onEntry(entry);
    const complete = read.length === behind.length;
    return { last: read.at(-1)?.index ?? 0, complete, lastMs: complete ? 0 : (read.at(-1)?.atMs ?? 0) };
  };
  const log = { asked, entries, epoch: 1 };
  const epochOf = async () => log.epoch;
  const options = { dedupeWindowMs: WINDOW_MS, scan, epochOf };
  return Object.assign(log, { options, late: new LateResends(options) });
}

function bytesFrom(eid: string): Uint8Array {
  const frame = decodeFrame(encodeStanza("message", create(MessageSchema, { id: "m", to: { eid: "bob@x" } })));
  return toStored(frame, { from: encodeIdentity({ eid, device: "phone", node: "n" }), timestampMs: NOW });
}

const entry = (index: number, from = "alice@x"): Entry => ({
  index,
  entryId: `id${index}`,
  from,
  atMs: NOW - 3_600_000 + index * 1_000,
});

it("takes a timestamp older than a quarter of the window as late, none and fresh ones not", () => {
  const { late } = logOf([]);
  expect(late.isLate(0n)).toBe(false);
  expect(late.isLate(BigInt(NOW))).toBe(false);
  expect(late.isLate(BigInt(NOW - 30_000))).toBe(false);
  expect(late.isLate(BigInt(NOW - 30_001))).toBe(true);
  expect(late.isLate(BigInt(NOW + 1_000_000))).toBe(false);
  expect(late.isLate(2n ** 63n - 1n)).toBe(false);
});

it("reads from a minute before the timestamp, once for a queue of messages", async () => {
  const { asked, late } = logOf([1, 2, 3, 4, 5].map((index) => entry(index)));
  const [first, second, fifth] = [entry(1), entry(2), entry(5)];
  expect(await late.find(alice, "bob@x", "id1", first.atMs)).toBe(1);
  expect(await late.find(alice, "bob@x", "id2", second.atMs)).toBe(2);
  expect(await late.find(alice, "bob@x", "id9", fifth.atMs)).toBeUndefined();
  expect(await late.find(alice, "bob@x", "id5", fifth.atMs)).toBe(5);
  expect(asked).toEqual([{ sinceMs: first.atMs - 60_000 }]);
});

it("asks once for look-ups at the same time, and again for another log, another sender, an older message", async () => {
  const { asked, late } = logOf([1, 2, 3].map((index) => entry(index)));
  const { atMs } = entry(3);
  expect(await Promise.all(["id1", "id2", "id7"].map((id) => late.find(alice, "bob@x", id, atMs)))).toEqual([
    1,
    2,
    undefined,
  ]);
  expect(asked).toHaveLength(1);
  await late.find(alice, "carol@x", "id1", atMs);
  await late.find(device("alice@x"), "bob@x", "id1", atMs);
  expect(asked).toHaveLength(3);
  await late.find(alice, "bob@x", "id7", atMs - 1);
  expect(asked.at(-1)).toEqual({ sinceMs: atMs - 1 - 60_000 });
});

it("does not take another sender's entry for the message", async () => {
  const { late } = logOf([entry(1, "mallory@x"), entry(2, "alice@x2"), entry(3)]);
  const { atMs } = entry(1);
  expect(await late.find(alice, "bob@x", "id1", atMs)).toBeUndefined();
  expect(await late.find(alice, "bob@x", "id2", atMs)).toBeUndefined();
  expect(await late.find(alice, "bob@x", "id3", atMs)).toBe(3);
});

it("reads the rest of the log once the scan is half a window old", async () => {
  const { asked, entries, late } = logOf([entry(1)]);
  const { atMs } = entry(1);
  expect(await late.find(alice, "bob@x", "id2", atMs)).toBeUndefined();
  entries.push(entry(2));
  vi.setSystemTime(NOW + WINDOW_MS / 2 - 1);
  expect(await late.find(alice, "bob@x", "id2", atMs)).toBeUndefined(); // JetStream still knows it
  vi.setSystemTime(NOW + WINDOW_MS / 2);
  expect(await late.find(alice, "bob@x", "id2", atMs)).toBe(2);
  expect(asked.slice(1)).toEqual([{ after: 1 }]);
});

it("goes on behind a scan that met its bound", async () => {
  const { asked, late } = logOf(
    Array.from({ length: 10 }, (_, n) => entry(n + 1)),
    4,
  );
  const { atMs } = entry(1);
  expect(await late.find(alice, "bob@x", "id9", atMs)).toBeUndefined();
  expect(await late.find(alice, "bob@x", "id3", atMs)).toBe(3);
  expect(await late.find(alice, "bob@x", "id9", atMs)).toBeUndefined();
  expect(await late.find(alice, "bob@x", "id9", atMs)).toBe(9);
  expect(asked).toEqual([{ sinceMs: atMs - 60_000 }, { after: 4 }, { after: 8 }]);
});

it("rejects when the log cannot be read, and reads it at the next call", async () => {
  let fails = true;
  const late = new LateResends({
    dedupeWindowMs: WINDOW_MS,
    scan: async ({ onEntry }) => {
      if (fails) throw new Error("NATS is away");
      onEntry({ index: 7, entryId: "id" });
      return { last: 7, complete: true, lastMs: 0 };
    },
    epochOf: async () => 1,
  });
  const both = await Promise.allSettled([late.find(alice, "bob@x", "id", NOW), late.find(alice, "bob@x", "id", NOW)]);
  expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  fails = false;
  expect(await late.find(alice, "bob@x", "id", NOW)).toBe(7);
});

it("begins anew at a message that is younger than what a bounded scan came to, and keeps what it knows", async () => {
  const { asked, late } = logOf(
    Array.from({ length: 2_000 }, (_, n) => entry(n + 1)),
    4,
  );
  const [first, younger] = [entry(1), entry(1_500)];
  expect(await late.find(alice, "bob@x", "id1", first.atMs)).toBe(1);
  expect(await late.find(alice, "bob@x", "id1440", younger.atMs)).toBe(1_440);
  expect(await late.find(alice, "bob@x", "id2", first.atMs)).toBe(2);
  expect(asked).toEqual([{ sinceMs: first.atMs - 60_000 }, { sinceMs: younger.atMs - 60_000 }]);
});

it("looks again for what it had to forget: 40,000 entries of one's own", async () => {
  const { asked, late } = logOf(
    Array.from({ length: 50_000 }, (_, n) => entry(n + 1)),
    20_000,
  );
  const { atMs } = entry(1);
  for (const id of ["id50001", "id50002", "id1", "id40000"]) await late.find(alice, "bob@x", id, atMs);
  expect(asked).toEqual([{ sinceMs: atMs - 60_000 }, { after: 20_000 }]);
  expect(await late.find(alice, "bob@x", "id50000", entry(50_000).atMs)).toBe(50_000);
  expect(await late.find(alice, "bob@x", "id1", atMs)).toBe(1);
});

it("forgets the longest unused logs beyond 40,000 entries of all logs", async () => {
  const { asked, late } = logOf(Array.from({ length: 15_000 }, (_, n) => entry(n + 1)));
  const { atMs } = entry(1);
  for (const eid of ["bob@x", "carol@x", "dave@x"]) expect(await late.find(alice, eid, "id1", atMs)).toBe(1);
  expect([...alice.repeats.logs.keys()]).toEqual(["carol@x", "dave@x"]);
  expect(await late.find(alice, "bob@x", "id1", atMs)).toBe(1);
  expect(asked).toHaveLength(4);
});

it("knows nothing of a log that was recreated", async () => {
  const log = logOf([entry(1), entry(7)]);
  const { atMs } = entry(1);
  expect(await log.late.find(alice, "bob@x", "id7", atMs)).toBe(7);
  log.epoch = 2;
  log.entries.splice(1);
  expect(await log.late.find(alice, "bob@x", "id7", atMs)).toBeUndefined();
  expect(await log.late.find(alice, "bob@x", "id1", atMs)).toBe(1);
  expect(log.asked).toEqual([{ sinceMs: atMs - 60_000 }, { sinceMs: atMs - 60_000 }]);
});

it("scans one log of a session at a time, so that others have their turn", async () => {
  const scanning: string[] = [];
  const ends: (() => void)[] = [];
  const late = new LateResends({
    dedupeWindowMs: WINDOW_MS,
    epochOf: async () => 1,
    async scan({ eid }) {
      scanning.push(eid);
      await new Promise<void>((resolve) => ends.push(resolve));
      return { last: 0, complete: true, lastMs: 0 };
    },
  });
  const looked = ["1", "2", "3", "4", "5"].map((to) => late.find(alice, to, "id", NOW));
  looked.push(late.find(device("bob@x"), "of bob", "id", NOW));
  await vi.waitFor(() => expect(scanning).toEqual(["1", "of bob"]));
  while (scanning.length < 6 || ends.length > 0) {
    ends.shift()?.();
    await Promise.resolve();
  }
  expect(await Promise.all(looked)).toHaveLength(6);
});

it("remembers so much for all sessions together: those that looked longest ago forget, and look again", async () => {
  const entries = Array.from({ length: 10 }, (_, n) => entry(n + 1));
  const log = logOf(entries);
  const late = new LateResends({ ...log.options, maxRemembered: 25 });
  const find = (sender: Resender) => late.find(sender, "bob@x", "id5", NOW - 3_600_000);
  const sessions = [device("alice@x"), device("alice@x"), device("alice@x")];
  for (const session of sessions) expect(await find(session)).toBe(5);
  const [first, second, third] = sessions as [Resender, Resender, Resender];
  expect([first, second, third].map(({ repeats }) => repeats.logs.size)).toEqual([0, 1, 1]);
  expect(log.asked).toHaveLength(3);
  expect(await find(second)).toBe(5);
  expect(log.asked).toHaveLength(3);
  expect(await find(first)).toBe(5);
  expect(log.asked).toHaveLength(4);
  expect(second.repeats.logs.size).toBe(0);
  // What ended makes room, and nothing of it is kept, not even what was being read.
  late.end(third.repeats);
  late.end(first.repeats);
  const fourth = device("alice@x");
  const finding = find(fourth);
  late.end(fourth.repeats);
  expect(await finding).toBe(5);
  expect(late.remembered).toBe(0);
});
