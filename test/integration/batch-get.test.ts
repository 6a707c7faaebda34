// A page of a log is core messages, and a route between nats-servers may drop some of them. Shows that a hole is never taken for
// the end or for all there is. The answers are sent by the test, in place of a stream that does not exist.
import { headers } from "@nats-io/nats-core";
import { connectNats, createLogReader, HEADERS, type Link, logStream, partitionOf, scanLog } from "@bimip/nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestNats } from "../kit/nats.js";

const PARTITIONS = 4;
const END_OF_BATCH = 204;
const eid = "alice@x";
const partition = partitionOf(eid, PARTITIONS);

let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
/** Entries of the batch, [index, the one before it]; `last` is what its end tells. */
let batch: { entries: readonly (readonly [number, number])[]; last: number };

beforeAll(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "test" });
  link.nc.subscribe(`$JS.API.DIRECT.GET.${logStream(partition)}`, {
    callback: (_error, request) => {
      for (const [index, before] of batch.entries) request.respond("entry", { headers: told(index, before) });
      request.respond("", { headers: told(0, batch.last) });
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
  const request = { eid, partitions: PARTITIONS, from: { after: 2 }, limit: 10, maxBytes: 1_000 };
  await expect(scanLog(link, { ...request, wanted: () => true, onEntry: () => undefined })).rejects.toThrow(
    /went missing/,
  );
});
