// What storage makes at its start. Cannot show: a replica that lags; the test has the number of partitions not stored instead.
import { connectNats, ensureTopology, type Link, PartitionsMismatch } from "@bimip/nats";
import { jetstreamManager } from "@nats-io/jetstream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestNats } from "../kit/nats.js";

const TOPOLOGY = { partitions: 2, replicas: 1, dedupeWindowS: 120, logMaxAgeS: 0 };

let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
beforeAll(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "test" });
});
afterAll(async () => {
  await link.nc.close();
  await nats.remove();
});

test("a number of partitions that cannot be read is tried again; another number than the first is refused for good", async () => {
  const jsm = await jetstreamManager(link.nc);
  const bucket = { name: "KV_BIMIP_META", subjects: ["$KV.BIMIP_META.>"], allow_direct: true, max_msgs_per_subject: 1 };
  await jsm.streams.add({ ...bucket, max_msg_size: 1 });
  const unread = await ensureTopology(link.nc, TOPOLOGY).catch((error: unknown) => error);
  expect(unread).toBeInstanceOf(Error);
  expect(unread).not.toBeInstanceOf(PartitionsMismatch);
  await jsm.streams.update(bucket.name, { max_msg_size: -1 });
  await ensureTopology(link.nc, TOPOLOGY);
  await expect(ensureTopology(link.nc, { ...TOPOLOGY, partitions: 3 })).rejects.toThrow(PartitionsMismatch);
});
