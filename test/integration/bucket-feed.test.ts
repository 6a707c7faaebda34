// The feed of a bucket over a real nats-server: nothing is missed and nothing comes out of order, whatever NATS does meanwhile.
import { BucketFeed, CasBucket, connectNats, type FeedEntry, type Link, openBucket } from "@bimip/nats";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { startTestNats } from "../kit/nats.js";

const BUCKET = "FEED";
let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
let bucket: CasBucket;
let feed: BucketFeed | undefined;
let told: { key: string; text: string; initial: boolean; position: number }[];
let resets: number;

beforeEach(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "feed" });
  await openBucket(link.nc, BUCKET);
  bucket = await CasBucket.open(link.nc, BUCKET);
  told = [];
  resets = 0;
});
afterEach(async () => {
  feed?.stop();
  feed = undefined;
  await link.nc.close();
  await nats.remove();
});

async function open(options: { replayed?: number } = {}): Promise<BucketFeed> {
  const onEntry = ({ key, bytes, initial }: FeedEntry): void => {
    told.push({ key, text: Buffer.from(bytes).toString(), initial, position: feed?.position ?? 0 });
  };
  const onReset = (): void => {
    resets++;
  };
  const common = { link, bucket: BUCKET, onEntry, onReset, onError: () => undefined };
  feed = await BucketFeed.open({ ...common, initialKeys: ["a.>"], ...options });
  return feed;
}

async function put(key: string, text: string): Promise<number> {
  const current = await bucket.read(key);
  return (await bucket.write(key, Buffer.from(text), current?.revision ?? 0)) ?? 0;
}

const words = (): string[] => told.map(({ key, text, initial }) => `${initial ? "stood " : ""}${key}=${text}`);

test("what stands comes first, only of the keys that are asked for; then every change, each at its position", async () => {
  await put("a.1", "old");
  await put("a.1", "new");
  await put("b.1", "unasked");
  const { reached } = { reached: async (revision: number) => feed?.reached(revision) };
  await open();
  // Behind the last that was told all comes: a replica of NATS that lags may have told less.
  await eventually("the rest", () => told.length === 2);
  const revision = await put("b.1", "changed");
  await reached(revision);
  expect(words()).toEqual(["stood a.1=new", "b.1=unasked", "b.1=changed"]);
  expect(told.at(-1)?.position).toBe(revision);
});

test("an empty bucket is followed, too, and one where nothing that is asked for stands", async () => {
  await put("b.1", "unasked");
  await open();
  await feed?.reached(await put("a.1", "first"));
  expect(words()).toEqual(["a.1=first"]);
});

test("the last revisions come again, as if they were new", async () => {
  await put("a.1", "one");
  await put("b.1", "two");
  await put("a.2", "three");
  await open({ replayed: 2 });
  await eventually("the replay", () => told.length === 4);
  expect(words()).toEqual(["stood a.1=one", "stood a.2=three", "b.1=two", "a.2=three"]);
});

test("what never comes is not waited for for ever", async () => {
  await open();
  await expect(feed?.reached(1_000)).rejects.toThrow("does not get there");
  const waiting = feed?.reached(1_000).catch((error: unknown) => String(error));
  feed?.stop();
  expect(await waiting).toContain("was stopped");
});

test("a bucket that was made anew is noticed though it holds more than the old one did", async () => {
  await open();
  await feed?.reached(await put("a.1", "old"));
  await (await jetstreamManager(link.nc)).streams.delete(`KV_${BUCKET}`);
  await openBucket(link.nc, BUCKET);
  for (const text of ["1", "2", "3"]) await put("a.2", text);
  await eventually("the reset", () => resets === 1 && words().includes("stood a.2=3"));
});

test("a restart of NATS loses nothing: what was written meanwhile comes once", async () => {
  await open();
  await feed?.reached(await put("a.1", "before"));
  const other = await connectNats({ servers: nats.url, name: "other" });
  await nats.restart();
  await eventually("both are back", () => link.up && other.up);
  const theirs = await CasBucket.open(other.nc, BUCKET);
  const revision = await theirs.write("a.2", Buffer.from("meanwhile"), 0);
  await feed?.reached(revision ?? 0);
  expect(words()).toEqual(["a.1=before", "a.2=meanwhile"]);
  await other.nc.close();
});

test("a bucket that was made anew is told, and read from its begin", async () => {
  await open();
  for (const text of ["1", "2", "3"]) await put("a.1", text);
  await eventually("the changes", () => told.length === 3);
  await (await jetstreamManager(link.nc)).streams.delete(`KV_${BUCKET}`);
  await openBucket(link.nc, BUCKET);
  await put("a.9", "anew");
  await eventually("the reset", () => resets === 1 && told.some(({ text }) => text === "anew"));
  await eventually("changes are followed again", async () => {
    await put("a.8", "again");
    return told.some(({ text }) => text === "again");
  });
});
