// Shows: appends end with their PubAck, in order per lane, over a loss and return of nats-server and a queue of its that is
// small. Cannot show: the death of a stream's leader in a cluster.
import {
  type AppendResult,
  connectNats,
  createLogReader,
  ensureTopology,
  entryId,
  type Link,
  Publisher,
  SUBJECTS,
} from "@bimip/nats";
import { afterAll, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { startTestNats } from "../kit/nats.js";

let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
const TOPOLOGY = { partitions: 1, replicas: 1, dedupeWindowS: 120, logMaxAgeS: 0 };

beforeAll(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "test" });
  await ensureTopology(link.nc, TOPOLOGY);
});
afterAll(async () => {
  await link.nc.close();
  await nats.remove();
});

const subject = SUBJECTS.log(0, "alice");
const payload = Buffer.from("x");

function appendOne(publisher: Publisher, run: string, n: number): Promise<AppendResult> {
  const id = entryId("alice", "message", run, String(n));
  return new Promise((resolve) => publisher.append({ subject, payload, entryId: id, lane: "lane" }, resolve));
}

function appendAll(publisher: Publisher, run: string, count: number, lane = "lane"): Promise<number[]> {
  return Promise.all(
    Array.from(
      { length: count },
      (_, n) =>
        new Promise<number>((resolve, reject) => {
          publisher.append(
            { subject, payload, entryId: entryId("alice", "message", run, String(n)), lane },
            (result) => (result.ok ? resolve(result.sequence) : reject(new Error(result.reason))),
          );
        }),
    ),
  );
}

for (const laneDepth of [1, 64]) {
  test(`500 appends of one lane are stored in order, a repeat is answered with the first indexes (depth ${laneDepth})`, async () => {
    const publisher = new Publisher(link, { laneDepth });
    const first = await appendAll(publisher, `order${laneDepth}`, 500);
    expect(first).toEqual([...first].sort((a, b) => a - b));
    expect(new Set(first).size).toBe(500);
    expect(await appendAll(publisher, `order${laneDepth}`, 500)).toEqual(first);
    await publisher.close();
    expect(publisher.waiting).toBe(0);
  });

  test(`nats-server killed amid appends: all are stored, once, in order (depth ${laneDepth})`, async () => {
    const publisher = new Publisher(link, { laneDepth, deadlineMs: 30_000 });
    const reader = await createLogReader(link, TOPOLOGY.partitions);
    const all = appendAll(publisher, `kill${laneDepth}`, 3_000);
    await eventually("some are stored", async () => (await reader.head("alice")) > 100);
    await nats.kill("SIGKILL");
    await nats.restart();
    const indexes = await all;
    expect(indexes).toEqual([...indexes].sort((a, b) => a - b));
    expect(new Set(indexes).size).toBe(3_000);
    await publisher.close();
  });
}

test("200 lanes at once over a short ingest queue: nats-server refuses nothing, each lane is stored in order", async () => {
  const small = await startTestNats({ jetstream: "max_buffered_msgs: 2000" });
  const smallLink = await connectNats({ servers: small.url, name: "test" });
  await ensureTopology(smallLink.nc, TOPOLOGY);
  const failures: string[] = [];
  const publisher = new Publisher(smallLink, {
    laneDepth: 64,
    onFailedAttempt: (reason) => void failures.push(reason),
  });
  const lanes = await Promise.all(
    Array.from({ length: 200 }, (_, lane) => appendAll(publisher, `queue${lane}`, 150, `lane${lane}`)),
  );
  expect(failures).toEqual([]);
  for (const indexes of lanes) expect(indexes).toEqual([...indexes].sort((a, b) => a - b));
  await publisher.close();
  await smallLink.nc.close();
  await small.remove();
});

test("while NATS is away an append fails by its deadline, and what waits behind it with it", async () => {
  const publisher = new Publisher(link, { deadlineMs: 500 });
  await nats.kill("SIGKILL");
  const results = await Promise.all(Array.from({ length: 20 }, (_, n) => appendOne(publisher, "away", n)));
  expect(results.map(({ ok }) => ok)).toEqual(Array.from({ length: 20 }, () => false));
  await publisher.idle();
  await nats.restart();
  await eventually("the link is up again", () => link.up);
  expect(await appendAll(publisher, "back", 20)).toHaveLength(20);
  await publisher.close();
});

test("a stream that does not exist is no confirmation; each attempt is told, the result says what the last one met", async () => {
  const attempts: string[] = [];
  const publisher = new Publisher(link, { deadlineMs: 300, onFailedAttempt: (reason) => void attempts.push(reason) });
  const failed = new Promise((resolve) => {
    publisher.append({ subject: "bimip.log.9.x", payload, entryId: "e", lane: "l" }, resolve);
  });
  await expect(failed).resolves.toEqual({
    ok: false,
    retryable: true,
    reason: "not stored within the deadline: no stream answered (503)",
  });
  expect(attempts.length).toBeGreaterThan(1);
  expect(new Set(attempts)).toEqual(new Set(["no stream answered (503)"]));
  await publisher.close();
});

test("a log is read in pages, behind an index; its head comes from the leader", async () => {
  const publisher = new Publisher(link, { laneDepth: 64 });
  const reader = await createLogReader(link, TOPOLOGY.partitions);
  const before = await reader.head("alice");
  const indexes = await appendAll(publisher, "pages", 700);
  expect(await reader.head("alice")).toBe(indexes.at(-1));
  const page = await reader.page("alice", before, 500);
  expect(page.map((entry) => entry.index)).toEqual(indexes.slice(0, 500));
  expect((await reader.page("alice", page.at(-1)?.index ?? 0, 500)).map((entry) => entry.index)).toEqual(
    indexes.slice(500),
  );
  expect(await reader.page("alice", indexes.at(-1) ?? 0, 500)).toEqual([]);
  expect(await reader.head("nobody")).toBe(0);
  expect(await reader.page("nobody", 0, 10)).toEqual([]);
  await publisher.close();
});
