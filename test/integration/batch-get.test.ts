// A page of a log is core messages, and a route between nats-servers may drop some of them. Shows that a hole is never taken for
// the end or for all there is, nor a replica's end for the leader's, and that nobody waits for a NATS that is away. The
// answers are sent by the test, in place of a stream that does not exist.
import { headers } from "@nats-io/nats-core";
import {
  connectNats,
  createLogReader,
  HEADERS,
  type Link,
  type LogReader,
  logStream,
  partitionOf,
  type Scanned,
  type ScanRequest,
  scanLog,
} from "@bimip/nats";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { startTestNats } from "../kit/nats.js";

const PARTITIONS = 4;
const END_OF_BATCH = 204;
const eid = "alice@x";
const partition = partitionOf(eid, PARTITIONS);

let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
/** Entries of a batch, [index, the one before it]; `last` is what its end tells. */
interface Batch {
  readonly entries: readonly (readonly [number, number])[];
  readonly last: number;
}
let batch: Batch;
/** What is answered before that. */
let before: Batch[];
/** Questions that came. */
let asked: unknown[];
const UNANSWERED: Batch = { entries: [], last: -1 };

beforeEach(() => {
  before = [];
  asked = [];
});
beforeAll(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "test" });
  link.nc.subscribe(`$JS.API.DIRECT.GET.${logStream(partition)}`, {
    callback: (_error, request) => {
      const {
        next_by_subj: _subject,
        batch: _limit,
        max_bytes: _maxBytes,
        ...start
      } = request.json<Record<string, unknown>>();
      asked.push(start);
      const next = before.shift() ?? batch;
      if (next === UNANSWERED) return;
      for (const [index, before] of next.entries) request.respond("entry", { headers: told(index, before) });
      request.respond("", { headers: told(0, next.last) });
    },
  });
});
afterAll(async () => {
  await link.nc.close();
  await nats.remove();
});

function told(index: number, before: number) {
  const block = headers(index === 0 ? END_OF_BATCH : 0, index === 0 ? "EOB" : "");
  if (index > 0) block.set(HEADERS.sequence, String(index));
  block.set(HEADERS.lastSequence, String(before));
  return block;
}

const whole = [
  [3, 0],
  [4, 3],
  [9, 4],
] as const;

test("a whole batch is a page", async () => {
  batch = { entries: whole, last: 9 };
  const reader = await createLogReader(link, PARTITIONS);
  expect((await reader.page(eid, 2, 10)).map(({ index }) => index)).toEqual([3, 4, 9]);
});

test.each([
  ["its first entry", whole.slice(1), 9],
  ["one in the middle", [whole[0], whole[2]], 9],
  ["its last entry", whole.slice(0, 2), 9],
  ["all of them", [], 9],
] as const)("a batch that lost %s is no page and no scan", async (_what, entries, last) => {
  batch = { entries, last };
  const reader = await createLogReader(link, PARTITIONS);
  await expect(reader.page(eid, 2, 10)).rejects.toThrow(/went missing/);
  await expect(scan({ after: 2 })).rejects.toThrow(/went missing/);
});

/** What the leader tells: the last entry is 9, stored at 1,000 ms. */
const leader = {
  head: async () => 9,
  entry: async (_eid: string, index: number) => ({ index, bytes: new Uint8Array(0), storedAtMs: 1_000 }),
} as unknown as LogReader;
const EMPTY: Batch = { entries: [], last: 0 };

function scan(from: ScanRequest["from"]): Promise<Scanned> {
  const request = { eid, partitions: PARTITIONS, from, limit: 10, maxBytes: 1_000 };
  return scanLog(link, leader, { ...request, wanted: () => true, onEntry: () => undefined });
}

test("the end of a replica that lags is not the end of a scan: it is asked again from there", async () => {
  before = [{ entries: whole.slice(0, 2), last: 4 }, EMPTY, EMPTY];
  batch = { entries: [[9, 0]], last: 9 };
  expect(await scan({ after: 2 })).toMatchObject({ last: 9, complete: true });
  expect(asked).toEqual([{ seq: 3 }, { seq: 5 }, { seq: 5 }, { seq: 5 }]);
});

test("a scan rejects when no replica has what the leader has", async () => {
  batch = EMPTY;
  await expect(scan({ after: 2 })).rejects.toThrow(/no replica .* has 9/);
  await expect(scan({ sinceMs: 1_000 })).rejects.toThrow(/no replica .* has 9/);
});

test("a scan that begins behind the log's end asks no replica; one from a later time believes it", async () => {
  batch = EMPTY;
  expect(await scan({ after: 9 })).toMatchObject({ last: 0, complete: true });
  expect(asked).toEqual([]);
  expect(await scan({ sinceMs: 1_001 })).toMatchObject({ last: 0, complete: true });
});

test("a page and a scan reject at once when NATS goes away or is away", async () => {
  const reader = await createLogReader(link, PARTITIONS);
  batch = UNANSWERED;
  const page = expect(reader.page(eid, 2, 10)).rejects.toThrow(/NATS went away/);
  await eventually("the question is there", () => asked.length > 0);
  await nats.kill("SIGKILL");
  await page;
  expect(link.up).toBe(false);
  await expect(reader.page(eid, 2, 10)).rejects.toThrow(/NATS is away/);
  await expect(scan({ after: 2 })).rejects.toThrow(/NATS is away/);
});
