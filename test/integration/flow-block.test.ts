// The router's answer to "may A write to B?" where one of the two blocks the other, over a real bucket of awareness. Cannot show:
// what a gateway makes of it (flow-policy.test.ts) and what becomes of the stanza.
import {
  BUCKETS,
  call,
  CasBucket,
  connectNats,
  createAtomicWrite,
  ensureTopology,
  type Link,
  PROCEDURES,
  sessionKey,
} from "@bimip/nats";
import { createRouter, readConfig } from "@bimip/router";
import { createHealth, createLogger, createMetrics, type RunningService } from "@bimip/runtime";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ContactStore } from "../../services/awareness/src/contacts/contact-store.js";
import { startTestNats } from "../kit/nats.js";

const ALLOWED = { code: 0, details: "" };
const BLOCKS = { code: 403, details: "to.eid: is blocked by you, unblock first" };
const BLOCKED = { code: 403, details: "to.eid: does not take stanzas from you" };
const UNKNOWN = { code: 404, details: "to.eid: no device of this recipient was ever seen" };

let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
let bucket: CasBucket;
let store: ContactStore;
const abort = new AbortController();
const routers: RunningService[] = [];

async function startRouter(env: Record<string, string> = {}): Promise<RunningService> {
  const router = await createRouter(readConfig({ NATS_URL: nats.url, ...env }), {
    logger: createLogger("router", "silent"),
    metrics: createMetrics("router"),
    health: createHealth(),
    signal: abort.signal,
  });
  routers.push(router);
  return router;
}

beforeAll(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "test" });
  await ensureTopology(link.nc, { partitions: 1, replicas: 1, dedupeWindowS: 120, logMaxAgeS: 0 });
  bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  store = new ContactStore({ bucket, write: createAtomicWrite(link.nc, BUCKETS.awareness) });
  await startRouter();
});
afterAll(async () => {
  abort.abort();
  for (const router of routers) await router.stop();
  await link.nc.close();
  await nats.remove();
});

async function mayWrite(fromEid: string, toEid: string): Promise<{ code: number; details: string }> {
  const { code, details } = await call(link.nc, PROCEDURES.flow, { fromEid, toEid }, 5_000);
  return { code, details };
}

async function setBlock(eid: string, peer: string, blocks: boolean): Promise<void> {
  await store.change(eid, peer, "test", (record) => ({ draft: { ...record, blocks }, result: undefined }));
}

/** A device of the user was seen. */
async function seen(eid: string): Promise<void> {
  await bucket.write(sessionKey(eid, "phone"), Buffer.from("{}"), 0);
}

test("a block counts at once, in both directions; each side is told its own part of it", async () => {
  const [alice, bob] = ["alice.@x", "b*b@x"];
  expect([await mayWrite(alice, bob), await mayWrite(bob, alice)]).toEqual([ALLOWED, ALLOWED]);
  await setBlock(alice, bob, true);
  expect([await mayWrite(alice, bob), await mayWrite(bob, alice)]).toEqual([BLOCKS, BLOCKED]);
  expect([await mayWrite(alice, "carol@x"), await mayWrite("carol@x", bob)]).toEqual([ALLOWED, ALLOWED]);
  await setBlock(bob, alice, true);
  expect([await mayWrite(alice, bob), await mayWrite(bob, alice)]).toEqual([BLOCKS, BLOCKS]);
  await setBlock(alice, bob, false);
  expect([await mayWrite(alice, bob), await mayWrite(bob, alice)]).toEqual([BLOCKED, BLOCKS]);
  await setBlock(bob, alice, false);
  expect([await mayWrite(alice, bob), await mayWrite(bob, alice)]).toEqual([ALLOWED, ALLOWED]);
});

test("any other relation leaves the flow open, and nobody is kept from themselves", async () => {
  await store.change("dave@x", "erin@x", "test", (record) => ({
    draft: { ...record, own: "contact", other: "contact" },
    result: undefined,
  }));
  expect([await mayWrite("dave@x", "erin@x"), await mayWrite("erin@x", "dave@x")]).toEqual([ALLOWED, ALLOWED]);
  expect(await mayWrite("dave@x", "dave@x")).toEqual(ALLOWED);
});

test("where unknown recipients are refused, a block is told first; a contact is no device", async () => {
  for (const router of routers.splice(0)) await router.stop();
  await startRouter({ BIMIP_UNKNOWN_RECIPIENT: "reject" });
  const [frank, grace] = ["frank@x", "grace@x"];
  await setBlock(frank, grace, true);
  expect([await mayWrite(frank, grace), await mayWrite(grace, frank)]).toEqual([BLOCKS, BLOCKED]);
  await setBlock(frank, grace, false);
  expect([await mayWrite(frank, grace), await mayWrite(grace, frank)]).toEqual([UNKNOWN, UNKNOWN]);
  await seen(grace);
  expect([await mayWrite(frank, grace), await mayWrite(grace, frank)]).toEqual([ALLOWED, UNKNOWN]);
  expect(await mayWrite(frank, frank)).toEqual(ALLOWED);
});
