// Following a bucket without a consumer: what stands, what comes, what was written while NATS was away, and a bucket that was
// made anew. As for BucketFeed, and with a gateway's permissions.
import { jetstreamManager } from "@nats-io/jetstream";
import {
  BUCKETS,
  BucketWatch,
  CasBucket,
  connectNats,
  ensureTopology,
  type FeedEntry,
  type Link,
  SUBJECTS,
} from "@bimip/nats";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { eventually } from "../kit/eventually.js";
import { startTestNats, type TestNats } from "../kit/nats.js";

const TOPOLOGY = { partitions: 1, replicas: 1, dedupeWindowS: 60, logMaxAgeS: 0 };

let nats: TestNats;
let link: Link;
let gateway: Link;
let bucket: CasBucket;
const violations: string[] = [];

beforeAll(async () => {
  nats = await startTestNats({ users: { partitions: 1 } });
  link = await connectNats({ servers: nats.url, name: "test" });
  const { BIMIP_NATS_USER: user, BIMIP_NATS_PASSWORD_FILE: passwordFile } = nats.env("gateway");
  gateway = await connectNats({
    servers: nats.url,
    user,
    passwordFile,
    as: "gateway",
    name: "test gateway",
    onViolation: ({ subject }) => violations.push(subject),
  });
});
beforeEach(async () => {
  const jsm = await jetstreamManager(link.nc);
  await jsm.streams.delete("KV_BIMIP_REVOCATIONS").catch(() => false);
  await ensureTopology(link.nc, TOPOLOGY);
  bucket = await CasBucket.open(link.nc, BUCKETS.revocations);
});
afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(async () => {
  await gateway.nc.close();
  await link.nc.close();
  await nats.remove();
  expect(violations).toEqual([]);
});

interface Watched {
  readonly watch: BucketWatch;
  readonly entries: FeedEntry[];
  /** Values told, as `key=value`. */
  readonly told: () => string[];
  readonly resets: () => number;
}

async function open(): Promise<Watched> {
  const entries: FeedEntry[] = [];
  let resets = 0;
  const watch = await BucketWatch.open({
    link: gateway,
    bucket: BUCKETS.revocations,
    bell: SUBJECTS.revoked,
    onEntry: (entry) => entries.push(entry),
    onReset: () => resets++,
    onError: () => undefined,
  });
  const told = (): string[] => entries.map(({ key, bytes }) => `${key}=${Buffer.from(bytes).toString()}`);
  return { watch, entries, told, resets: () => resets };
}

const write = (key: string, value: string, revision = 0): Promise<number | undefined> =>
  bucket.write(key, Buffer.from(value), revision);

test("what stands comes first, then every change, at once", async () => {
  await write("a", "1");
  const second = await write("b.c", "2");
  const { watch, entries, told } = await open();
  expect(told()).toEqual(["a=1", "b.c=2"]);
  expect(entries.every(({ initial }) => initial)).toBe(true);
  expect(watch.position).toBe(second);
  const third = (await write("b.c", "3", second)) ?? 0;
  await watch.reached(third);
  expect(told()).toEqual(["a=1", "b.c=2", "b.c=3"]);
  expect(entries.at(-1)).toMatchObject({ initial: false, revision: third });
  watch.stop();
});

test("2,000 values are read in pages, in order", async () => {
  const count = 2_000;
  await Promise.all(Array.from({ length: count }, (_, at) => write(`k${at}`, String(at))));
  const { watch, entries } = await open();
  expect(new Set(entries.map(({ key }) => key)).size).toBe(count);
  const revisions = entries.map(({ revision }) => revision);
  expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
  watch.stop();
});

test("a revision whose value has expired meanwhile is reached nevertheless", async () => {
  const { watch } = await open();
  const revision = (await bucket.write("short", Buffer.from("x"), 0, 1)) ?? 0;
  await watch.reached(revision);
  const jsm = await jetstreamManager(link.nc);
  await eventually("it has expired", async () => (await jsm.streams.info("KV_BIMIP_REVOCATIONS")).state.messages === 0);
  const late = await open();
  expect(late.told()).toEqual([]);
  expect(late.watch.position).toBe(revision);
  late.watch.stop();
  watch.stop();
});

test("what never comes is not waited for for ever", async () => {
  const { watch } = await open();
  await expect(watch.reached(1_000)).rejects.toThrow("does not get there");
  watch.stop();
});

test("a restart of NATS loses nothing: what was written meanwhile comes once", async () => {
  const { watch, told } = await open();
  await write("before", "1");
  await eventually("it is told", () => told().includes("before=1"));
  await nats.restart();
  await eventually("the writer is back", () => link.up);
  await eventually("it is written", () => write("after", "2").catch(() => undefined));
  await eventually("it is told", () => told().includes("after=2"));
  expect(told()).toEqual(["before=1", "after=2"]);
  watch.stop();
});

test("a bucket that was made anew is told, and read from its beginning", async () => {
  await write("old", "1");
  const { watch, told, resets } = await open();
  const jsm = await jetstreamManager(link.nc);
  await jsm.streams.delete("KV_BIMIP_REVOCATIONS");
  await ensureTopology(link.nc, TOPOLOGY);
  await write("new", "2");
  await eventually("it is told", () => told().includes("new=2"));
  expect(resets()).toBe(1);
  expect(told()).toEqual(["old=1", "new=2"]);
  watch.stop();
});

/** As if so much time had passed; to the watch, which alone asks for it here. */
function pass(ms: number): void {
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + ms);
}

test("a bucket that cannot be read is not current any more 15 s later, and is again once it can", async () => {
  const { watch } = await open();
  expect(watch.current).toBe(true);
  const jsm = await jetstreamManager(link.nc);
  await jsm.streams.delete("KV_BIMIP_REVOCATIONS");
  // The last look that succeeded is some moments old.
  pass(13_000);
  expect(watch.current).toBe(true);
  vi.restoreAllMocks();
  pass(15_000);
  expect(watch.current).toBe(false);
  await ensureTopology(link.nc, TOPOLOGY);
  await eventually("it is read again", () => watch.current);
  watch.stop();
});

test("after NATS's return it is current once it was read anew, not before", async () => {
  const { watch } = await open();
  const seen: boolean[] = [];
  const unlisten = gateway.onChange((up) => {
    if (up) seen.push(watch.current);
  });
  await nats.restart();
  await eventually("it is back", () => seen.length > 0);
  expect(seen).toEqual([false]);
  await eventually("it is current", () => watch.current);
  unlisten();
  await eventually("the other one is back", () => link.up);
  watch.stop();
});
