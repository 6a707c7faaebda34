// Repeats that come when JetStream has forgotten the first: recognised by their timestamp, answered with the first
// indexes, stored once. JetStream's window is one second here; that it forgot is seen by publishing to it.
import { type Message, type Signal, SignalSchema, SignalStatus } from "@bimip/protocol";
import { connectNats, createLogReader, type LogReader, type ScanRequest, scanLog } from "@bimip/nats";
import { jetstream } from "@nats-io/jetstream";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

let system: System;
let link: Awaited<ReturnType<typeof connectNats>>;
let reader: LogReader;
beforeAll(async () => {
  // One partition: an id that is published later than another is forgotten later too.
  system = await startSystem({ gateways: 2, env: { BIMIP_DEDUPE_WINDOW_S: "1", BIMIP_LOG_PARTITIONS: "1" } });
  link = await connectNats({ servers: system.nats.url, name: "test" });
  reader = await createLogReader(link, 1);
});
afterAll(async () => {
  await link.nc.close();
  await system.stop();
});

let round = 0;
let eids: { alice: string; bob: string; carol: string };
beforeEach(() => {
  round++;
  eids = { alice: `a${round}@x`, bob: `b${round}@x`, carol: `c${round}@x` };
});

let probes = 0;
/** Resolves when JetStream knows no id any more that it knew at the call. */
async function forgotten(): Promise<void> {
  const msgID = `probe ${probes++}`;
  const publish = () => jetstream(link.nc).publish("bimip.log.0.probe", "", { msgID });
  await publish();
  await eventually("JetStream forgets", async () => !(await publish()).duplicate);
}

const entries = async (eid: string): Promise<number> => (await reader.page(eid, 0, 1_000)).length;
const indexes = ({ monotonicId, logId }: Signal): bigint[] => [monotonicId, logId];

async function resent(device: Device, init: Parameters<Device["messageSent"]>[0]): Promise<Signal> {
  device.received.length = 0;
  return device.messageSent(init);
}

async function everything(eid: string): Promise<Message[]> {
  const device = await system.device(eid, `all${Math.random()}`, { query: "?resume=manual", settle: false });
  device.send("signal", create(SignalSchema, { type: 1, status: SignalStatus.RESUME, monotonicId: -1n }));
  await device.resumed();
  const messages = device.of("message");
  await device.close();
  return messages;
}

test("on the same and on a new connection: the first indexes, stored once, seen once", async () => {
  const alice = await system.device(eids.alice, "phone");
  const bob = await system.device(eids.bob, "phone");
  const message = { id: "m", to: { eid: eids.bob }, type: "text", timestamp: BigInt(Date.now()) };
  const first = await alice.messageSent(message);
  await forgotten();
  expect(indexes(await resent(alice, message))).toEqual(indexes(first));
  const laptop = await system.device(eids.alice, "laptop", { gateway: 1 });
  expect(indexes(await resent(laptop, message))).toEqual(indexes(first));
  // What was never sent is stored, however old it says it is; a repeat of it is recognised in turn.
  const second = await alice.messageSent({ ...message, id: "other" });
  expect(second.monotonicId).toBeGreaterThan(first.monotonicId);
  await forgotten();
  expect(indexes(await resent(alice, { ...message, id: "other" }))).toEqual(indexes(second));
  await bob.until("message", ({ id }) => id === "other");
  await bob.settle();
  expect(bob.of("message").map(({ id }) => id)).toEqual(["m", "other"]);
  expect((await everything(eids.bob)).map(({ id }) => id)).toEqual(["m", "other"]);
  expect((await everything(eids.alice)).map(({ id }) => id)).toEqual(["m", "other"]);
});

test("without the timestamp of the first it is another message: what a client gives up that stamps anew", async () => {
  const alice = await system.device(eids.alice, "phone");
  const first = await alice.messageSent({ id: "m", to: { eid: eids.bob }, timestamp: BigInt(Date.now()) });
  await forgotten();
  const again = await resent(alice, { id: "m", to: { eid: eids.bob }, timestamp: BigInt(Date.now()) });
  expect(again.monotonicId).toBeGreaterThan(first.monotonicId);
});

test("a queue of 200 to several recipients, the half of it stored before: order kept, nothing twice", async () => {
  const alice = await system.device(eids.alice, "phone");
  const bob = await system.device(eids.bob, "phone");
  const carol = await system.device(eids.carol, "phone");
  const stamp = BigInt(Date.now());
  const queue = Array.from({ length: 200 }, (_, n) => ({
    id: `m${n}`,
    to: { eid: n % 2 === 0 ? eids.bob : eids.carol },
    timestamp: stamp + BigInt(n % 5),
  }));
  const firsts: Signal[] = [];
  for (const message of queue.slice(0, 100)) firsts.push(await alice.messageSent(message));
  await forgotten();
  alice.received.length = 0;
  for (const message of queue) alice.message(message);
  alice.message({ id: "fresh", to: { eid: eids.bob } });
  for (const [n, { id, to }] of queue.entries()) {
    const sent = await alice.sent(id, to.eid);
    if (n < 100) expect(indexes(sent)).toEqual(indexes(firsts[n] as Signal));
  }
  await alice.sent("fresh", eids.bob);
  const ids = (eid: string) => queue.filter(({ to }) => to.eid === eid).map(({ id }) => id);
  await bob.until("message", ({ id }) => id === "fresh");
  await carol.until("message", ({ id }) => id === "m199");
  expect(bob.of("message").map(({ id }) => id)).toEqual([...ids(eids.bob), "fresh"]);
  expect(carol.of("message").map(({ id }) => id)).toEqual(ids(eids.carol));
  expect(await entries(eids.alice)).toBe(201);
});

test("one of the two entries is missing: it alone is stored", async () => {
  const machine = await system.device(eids.alice, "machine", { scope: "no-copy" });
  const phone = await system.device(eids.alice, "phone");
  const message = { id: "m", to: { eid: eids.bob }, timestamp: BigInt(Date.now()) };
  // Without a copy at first, as if the gateway had died between the two.
  const first = await machine.messageSent(message);
  expect(first.logId).toBe(0n);
  await forgotten();
  const again = await resent(phone, message);
  expect(again.monotonicId).toBe(first.monotonicId);
  expect(again.logId).toBeGreaterThan(0n);
  await forgotten();
  expect(indexes(await resent(phone, message))).toEqual(indexes(again));
  expect([await entries(eids.bob), await entries(eids.alice)]).toEqual([1, 1]);
});

test("to oneself: one entry", async () => {
  const phone = await system.device(eids.alice, "phone");
  const note = { id: "note", to: { eid: eids.alice }, timestamp: BigInt(Date.now()) };
  const first = await phone.messageSent(note);
  await forgotten();
  expect(indexes(await resent(phone, note))).toEqual(indexes(first));
  expect(await entries(eids.alice)).toBe(1);
});

test("another sender's message of the same id is another message", async () => {
  const alice = await system.device(eids.alice, "phone");
  const carol = await system.device(eids.carol, "phone");
  const message = { id: "m", to: { eid: eids.bob }, timestamp: BigInt(Date.now()) };
  const first = await alice.messageSent(message);
  await forgotten();
  const other = await carol.messageSent(message);
  expect(other.monotonicId).toBeGreaterThan(first.monotonicId);
  expect(await entries(eids.bob)).toBe(2);
});

test("repeats among a thousand messages of others, by a device whose clock is an hour behind", async () => {
  const alice = await system.device(eids.alice, "phone");
  const carol = await system.device(eids.carol, "phone");
  const behind = () => BigInt(Date.now() - 3_600_000);
  const message = { id: "m", to: { eid: eids.bob }, timestamp: behind() };
  for (let n = 0; n < 500; n++) carol.message({ id: `x${n}`, to: { eid: eids.bob } });
  await carol.sent("x499", eids.bob);
  const first = await alice.messageSent(message);
  for (let n = 500; n < 1_000; n++) carol.message({ id: `x${n}`, to: { eid: eids.bob } });
  await carol.sent("x999", eids.bob);
  await forgotten();
  const later = await resent(alice, { id: "later", to: { eid: eids.bob }, timestamp: behind() });
  expect(later.monotonicId).toBeGreaterThan(first.monotonicId);
  expect(indexes(await resent(alice, message))).toEqual(indexes(first));
  await forgotten();
  expect(indexes(await resent(alice, { id: "later", to: { eid: eids.bob }, timestamp: behind() }))).toEqual(
    indexes(later),
  );
});

test("a scan ends at its bound and says where; from there it goes on to the end", async () => {
  const carol = await system.device(eids.carol, "phone");
  for (let n = 0; n < 700; n++) carol.message({ id: `x${n}`, to: { eid: eids.bob } });
  await carol.sent("x699", eids.bob);
  const all = (await reader.page(eids.bob, 0, 1_000)).map(({ index }) => index);
  const seen: number[] = [];
  const scan = (from: ScanRequest["from"], bounds: { limit: number; maxBytes: number }) =>
    scanLog(link, reader, {
      ...bounds,
      eid: eids.bob,
      partitions: 1,
      from,
      wanted: () => true,
      onEntry: ({ index, entryId: id }) => {
        expect(id).toMatch(/^[\w-]{43}$/);
        seen.push(index);
      },
    });
  const first = await scan({ sinceMs: 0 }, { limit: 600, maxBytes: 1 << 30 });
  expect(first).toMatchObject({ last: all[599], complete: false });
  expect(first.lastMs).toBe((await reader.entry(eids.bob, first.last))?.storedAtMs);
  const second = await scan({ after: first.last }, { limit: 1_000, maxBytes: 1 << 30 });
  expect(second).toMatchObject({ last: all[699], complete: true });
  expect(seen).toEqual(all);
  expect((await scan({ sinceMs: 0 }, { limit: 1_000, maxBytes: 1 })).complete).toBe(false);
  expect(await scan({ sinceMs: Date.now() + 60_000 }, { limit: 10, maxBytes: 10 })).toMatchObject({
    last: 0,
    complete: true,
  });
});
