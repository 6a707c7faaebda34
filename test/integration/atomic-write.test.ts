// Several keys of a bucket written at once, or none. Cannot show: a leader that changes in the middle of a batch.
import {
  type AtomicWrite,
  BUCKETS,
  CasBucket,
  connectNats,
  createAtomicWrite,
  ensureTopology,
  type Link,
} from "@bimip/nats";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestNats } from "../kit/nats.js";

let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
let bucket: CasBucket;
let write: AtomicWrite;
let run = 0;

beforeAll(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "test" });
  await ensureTopology(link.nc, { partitions: 1, replicas: 1, dedupeWindowS: 120, logMaxAgeS: 0 });
  bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  write = createAtomicWrite(link.nc, BUCKETS.awareness);
});
beforeEach(() => {
  run++;
});
afterAll(async () => {
  await link.nc.close();
  await nats.remove();
});

const entry = (name: string, text: string, revision: number) => ({
  key: `contact.test${run}.${name}`,
  bytes: Buffer.from(text),
  revision,
});
async function read(name: string): Promise<{ text: string; revision: number } | undefined> {
  const value = await bucket.read(`contact.test${run}.${name}`);
  return value === undefined ? undefined : { text: Buffer.from(value.bytes).toString(), revision: value.revision };
}

test("writes all keys, and answers with the revision of each", async () => {
  const first = await write([entry("a", "1", 0), entry("b", "2", 0), entry("c", "3", 0)]);
  for (const [at, name] of ["a", "b", "c"].entries()) {
    expect(await read(name)).toEqual({ text: String(at + 1), revision: first?.[at] });
  }
  const [, b = 0] = first ?? [];
  const second = await write([entry("b", "22", b), entry("d", "4", 0)]);
  expect(await read("b")).toEqual({ text: "22", revision: second?.[0] });
  expect(await read("d")).toEqual({ text: "4", revision: second?.[1] });
});

test("one key, or none, is written too", async () => {
  expect(await read("a")).toBeUndefined();
  const [revision = 0] = (await write([entry("a", "1", 0)])) ?? [];
  expect(await read("a")).toEqual({ text: "1", revision });
  expect(await write([])).toEqual([]);
});

test("writes nothing at all when one of the keys has another revision, whichever it is", async () => {
  const [a = 0, b = 0] = (await write([entry("a", "1", 0), entry("b", "2", 0)])) ?? [];
  expect(await write([entry("a", "x", a - 1), entry("b", "x", b)])).toBeUndefined();
  expect(await write([entry("a", "x", a), entry("b", "x", 0)])).toBeUndefined();
  expect(await write([entry("new", "x", 0), entry("b", "x", b + 1_000)])).toBeUndefined();
  expect([await read("a"), await read("b"), await read("new")]).toEqual([
    { text: "1", revision: a },
    { text: "2", revision: b },
    undefined,
  ]);
});

test("of many at once for the same keys one wins; those for other keys all do", async () => {
  const results = await Promise.all([
    ...Array.from({ length: 100 }, (_, n) => write([entry("a", String(n), 0), entry("b", String(n), 0)])),
    ...Array.from({ length: 100 }, (_, n) => write([entry(`left${n}`, "1", 0), entry(`right${n}`, "1", 0)])),
  ]);
  expect(results.slice(0, 100).filter((revisions) => revisions !== undefined)).toHaveLength(1);
  expect(results.slice(100).filter((revisions) => revisions === undefined)).toEqual([]);
  expect((await read("a"))?.text).toBe((await read("b"))?.text);
});

test("rejects when the bucket is refused, or does not answer: then it may be written all the same", async () => {
  await expect(createAtomicWrite(link.nc, BUCKETS.users)([entry("a", "1", 0), entry("b", "1", 0)])).rejects.toThrow(
    /refused/,
  );
  await expect(createAtomicWrite(link.nc, "NO_SUCH_BUCKET")([entry("a", "1", 0)])).rejects.toThrow();
  link.nc.subscribe("$KV.SILENT.>", { callback: () => undefined });
  const silent = createAtomicWrite(link.nc, "SILENT", { timeoutMs: 50 });
  await expect(silent([entry("a", "1", 0), entry("b", "1", 0)])).rejects.toThrow(/timeout/);
});
