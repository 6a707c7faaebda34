// When a log is read for late repeats, from where, and what is remembered; the log and the clock are the test's.
import { create } from "@bufbuild/protobuf";
import { decodeFrame, encodeIdentity, encodeStanza, MessageSchema, toStored } from "@bimip/protocol";
import type { ScannedEntry } from "@bimip/nats";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { LateResends, type LateResendsOptions, type Resender } from "./late-resend.js";

const WINDOW_MS = 120_000;
const NOW = 1_732_365_000_000;
const device = (eid: string): Resender => ({ eid, repeats: new Map() });
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
    return { last: read.at(-1)?.index ?? 0, complete: read.length === behind.length };
  };
  return { asked, entries, late: new LateResends({ dedupeWindowMs: WINDOW_MS, scan }) };
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
  await late.find(alice, "bob@x", "id1", atMs - 1);
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
      return { last: 7, complete: true };
    },
  });
  const both = await Promise.allSettled([late.find(alice, "bob@x", "id", NOW), late.find(alice, "bob@x", "id", NOW)]);
  expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  fails = false;
  expect(await late.find(alice, "bob@x", "id", NOW)).toBe(7);
});
