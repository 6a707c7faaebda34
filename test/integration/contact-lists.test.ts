// Lists of contacts in memory over a real bucket: always as the bucket is at the feed's position, whatever was kept before.
import {
  BucketFeed,
  BUCKETS,
  CasBucket,
  connectNats,
  type ContactRecord,
  contactKey,
  ensureTopology,
  type Link,
} from "@bimip/nats";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { ContactLists } from "../../services/awareness/src/directory/contact-lists.js";
import { startTestNats } from "../kit/nats.js";

const NONE = { own: "none", other: "none", blocks: false, blockedBy: false } as const;
let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
let bucket: CasBucket;
let feed: BucketFeed;
let lists: ContactLists;
let revisions: Map<string, number>;
let user = 0;

beforeAll(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "lists" });
  await ensureTopology(link.nc, { partitions: 1, replicas: 1, dedupeWindowS: 60, logMaxAgeS: 0 });
  bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  feed = await BucketFeed.open({
    link,
    bucket: BUCKETS.awareness,
    initialKeys: ["session.>"],
    onEntry: ({ bytes, revision }) => lists.apply(JSON.parse(Buffer.from(bytes).toString()) as ContactRecord, revision),
    onReset: () => undefined,
    onError: () => undefined,
  });
});
afterAll(async () => {
  feed.stop();
  await link.nc.close();
  await nats.remove();
});
beforeEach(() => {
  revisions = new Map();
  lists = new ContactLists({ link, bucket: BUCKETS.awareness, maxRelations: 100 });
  user++;
});

async function put(eid: string, peer: string, precisionM = 0): Promise<number> {
  const record: ContactRecord = {
    ...NONE,
    own: "contact",
    other: "contact",
    eid,
    peer,
    precisionM,
    otherPrecisionM: 0,
    request: null,
    otherRequest: null,
    told: "",
    otherTold: "",
    before: NONE,
    beforeAtMs: 0,
    atMs: 1,
    by: "test",
  };
  const key = contactKey(eid, peer);
  const revision = (await bucket.write(key, Buffer.from(JSON.stringify(record)), revisions.get(key) ?? 0)) ?? 0;
  revisions.set(key, revision);
  return revision;
}

test("what is written is in the list, read before or not, and changes with the feed", async () => {
  const eid = `a-${user}@x`;
  await put(eid, "bob@x");
  const list = await lists.of(eid);
  expect([...list.keys()]).toEqual(["bob@x"]);
  await feed.reached(await put(eid, "carol@x"));
  await feed.reached(await put(eid, "bob@x", 500));
  expect([...(await lists.of(eid)).values()].map(({ peer, precisionM }) => [peer, precisionM])).toEqual([
    ["bob@x", 500],
    ["carol@x", 0],
  ]);
  expect(await lists.of(eid)).toBe(list);
});

test("changes that come while a list is being read are in it", async () => {
  const eid = `a-${user}@x`;
  for (let at = 0; at < 20; at++) {
    const fresh = new ContactLists({ link, bucket: BUCKETS.awareness, maxRelations: 1_000 });
    lists = fresh;
    const reading = fresh.of(eid);
    await feed.reached(await put(eid, `peer-${at}@x`));
    expect((await reading).size, `after ${at + 1} writes`).toBe(at + 1);
  }
});

test("users without contacts have an empty list, and names that look like patterns read nobody else's", async () => {
  await put(`a-${user}@x`, "bob@x");
  expect((await lists.of("nobody@x")).size).toBe(0);
  expect((await lists.of("*")).size).toBe(0);
  expect((await lists.of(">")).size).toBe(0);
});

test("where there is no room the longest unused goes, and is read again", async () => {
  const [first, second] = [`a-${user}@x`, `b-${user}@x`];
  for (let at = 0; at < 60; at++) await Promise.all([put(first, `peer-${at}@x`), put(second, `peer-${at}@x`)]);
  const kept = await lists.of(first);
  await lists.of(second);
  const again = await lists.of(first);
  expect(again).not.toBe(kept);
  expect(again.size).toBe(60);
});

test("a list of several thousand is read whole", async () => {
  const eid = `a-${user}@x`;
  const peers = Array.from({ length: 2_500 }, (_, at) => `peer-${at}@x`);
  await Promise.all(peers.map((peer) => put(eid, peer)));
  expect((await lists.of(eid)).size).toBe(2_500);
});
