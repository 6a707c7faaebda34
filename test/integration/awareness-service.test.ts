// The awareness service as gateways see it: two replicas over a real nats-server, the gateway played by the test.
import { createAwareness, readConfig } from "@bimip/awareness";
import {
  awarenessUserKey,
  BUCKETS,
  CasBucket,
  call,
  connectNats,
  type ContactRecord,
  contactKey,
  ensureTopology,
  type Link,
  PROCEDURES,
  type SessionRecord,
  SUBJECTS,
  sessionKey,
} from "@bimip/nats";
import {
  type Awareness,
  type AwarenessContact,
  AwarenessContactSchema,
  AwarenessFanoutSchema,
  AwarenessSchema,
  AwarenessStatus,
  ContactAction,
  ContactRelationship,
} from "@bimip/protocol";
import { createHealth, createLogger, createMetrics, type RunningService } from "@bimip/runtime";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { startTestNats } from "../kit/nats.js";

const GATEWAY = "gatewayone";
const { ONLINE, OFFLINE, AWAY, BUSY } = AwarenessStatus;

interface Heard {
  readonly to: readonly string[];
  readonly awareness: Awareness;
  readonly revision: number;
}

let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
let replicas: RunningService[];
let heard: Heard[];
let contacts: { readonly to: readonly string[]; readonly contact: AwarenessContact }[];
let swept: number;
let lives: boolean;

beforeEach(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "gateway" });
  await ensureTopology(link.nc, { partitions: 1, replicas: 1, dedupeWindowS: 60, logMaxAgeS: 0 });
  heard = [];
  contacts = [];
  swept = 0;
  lives = true;
  link.nc.subscribe(SUBJECTS.fanout(GATEWAY), {
    callback(_error, { data }) {
      const { to, stanza, revision } = fromBinary(AwarenessFanoutSchema, data);
      if (stanza.case === "contact") contacts.push({ to, contact: fromBinary(AwarenessContactSchema, stanza.value) });
      if (stanza.case !== "awareness") return;
      heard.push({ to, awareness: fromBinary(AwarenessSchema, stanza.value), revision: Number(revision) });
    },
  });
  link.nc.subscribe(SUBJECTS.swept(GATEWAY), { callback: () => void swept++ });
  link.nc.subscribe(SUBJECTS.gatewayPing(GATEWAY), {
    callback: (_error, message) => void (lives && message.respond("node")),
  });
  replicas = [await replica(), await replica()];
});
afterEach(async () => {
  for (const service of replicas) await service.stop();
  await link.nc.close();
  await nats.remove();
});

async function replica(): Promise<RunningService> {
  const config = readConfig({ NATS_URL: nats.url, BIMIP_OFFLINE_GRACE_MS: "300" });
  const { signal } = new AbortController();
  const logger = createLogger("awareness", "silent");
  return createAwareness(config, { logger, metrics: createMetrics("awareness"), health: createHealth(), signal });
}

function session(eid: string, sessionId: string, open: boolean) {
  return { eid, device: "phone", node: "node", gateway: GATEWAY, sessionId, open, timestamp: BigInt(Date.now()) };
}

async function connect(eid: string, sessionId = `${eid}/1`): Promise<number> {
  return Number((await call(link.nc, PROCEDURES.sessionEvent, session(eid, sessionId, true), 2_000)).epoch);
}

async function disconnect(eid: string, sessionId = `${eid}/1`): Promise<void> {
  await call(link.nc, PROCEDURES.sessionEvent, session(eid, sessionId, false), 2_000);
}

async function contact(eid: string, init: MessageInitShape<typeof AwarenessContactSchema>): Promise<void> {
  const bytes = toBinary(AwarenessContactSchema, create(AwarenessContactSchema, init));
  const request = { eid, device: "phone", node: "node", contact: bytes };
  expect(await call(link.nc, PROCEDURES.contact, request, 2_000)).toMatchObject({ code: 0 });
}

async function befriend(a: string, b: string): Promise<void> {
  const relationship = ContactRelationship.MUTUAL;
  await contact(a, { to: { eid: b }, action: ContactAction.REQUEST, relationship });
  await contact(b, { to: { eid: a }, action: ContactAction.ACCEPT, relationship });
}

async function say(eid: string, init: MessageInitShape<typeof AwarenessSchema>, sessionId = `${eid}/1`): Promise<void> {
  const awareness = toBinary(AwarenessSchema, create(AwarenessSchema, init));
  const request = { eid, device: "phone", node: "node", sessionId, awareness };
  expect(await call(link.nc, PROCEDURES.awareness, request, 2_000)).toMatchObject({ code: 0 });
}

/** What was told of `about` to `to`, in order. */
function toldOf(about: string, to: string): Awareness[] {
  return heard
    .filter(({ to: names, awareness }) => names.includes(to) && awareness.from?.eid === about)
    .map(({ awareness }) => awareness);
}

async function told(about: string, to: string, status: number): Promise<Awareness> {
  return eventually(`${to} is told that ${about} is ${status}`, () =>
    toldOf(about, to).findLast((awareness) => awareness.status === status),
  );
}

test("a change is told once, to those who may see it and are connected, and the snapshot says the same", async () => {
  await befriend("alice@x", "bob@x");
  const epoch = await connect("bob@x");
  await connect("alice@x");
  await told("alice@x", "bob@x", ONLINE);
  await say("alice@x", { type: 1, status: AWAY, details: "lunch" });
  await told("alice@x", "bob@x", AWAY);
  const snapshot = await call(link.nc, PROCEDURES.snapshot, { eid: "bob@x", revision: BigInt(epoch) }, 2_000);
  const seen = snapshot.entries.map(({ awareness }) => fromBinary(AwarenessSchema, awareness));
  expect(seen).toMatchObject([{ status: AWAY, details: "lunch", from: { eid: "alice@x" } }]);
  await disconnect("alice@x");
  const { timestamp } = await told("alice@x", "bob@x", OFFLINE);
  expect(Date.now() - Number(timestamp)).toBeLessThan(20_000);
  expect(toldOf("alice@x", "bob@x").map(({ status }) => status)).toEqual([ONLINE, AWAY, OFFLINE]);
});

test("a snapshot holds what was known when the session was registered, whichever replica answers", async () => {
  await befriend("alice@x", "bob@x");
  for (let round = 0; round < 30; round++) {
    await connect("alice@x", `a${round}`);
    const epoch = await connect("bob@x", `b${round}`);
    const { entries } = await call(link.nc, PROCEDURES.snapshot, { eid: "bob@x", revision: BigInt(epoch) }, 2_000);
    const [alice] = entries.map(({ awareness }) => fromBinary(AwarenessSchema, awareness));
    expect(alice?.status).toBe(ONLINE);
    await disconnect("alice@x", `a${round}`);
    await disconnect("bob@x", `b${round}`);
  }
});

test("a position is not for those who may not see the user under what its stanza says, on whichever device", async () => {
  await befriend("alice@x", "bob@x");
  await connect("bob@x");
  await connect("alice@x");
  await told("alice@x", "bob@x", ONLINE);
  const laptop = { ...session("alice@x", "alice@x/laptop", true), device: "laptop" };
  await call(link.nc, PROCEDURES.sessionEvent, laptop, 2_000);
  const place = { locationSharing: 1, latitude: 52.5, longitude: 13.25 };
  const hidden = toBinary(AwarenessSchema, create(AwarenessSchema, { type: 1, status: AWAY, visibility: 3, ...place }));
  const { eid, device, node, sessionId } = laptop;
  await call(link.nc, PROCEDURES.awareness, { eid, device, node, sessionId, awareness: hidden }, 2_000);
  await say("alice@x", { type: 2, status: 9, visibility: 3, ...place });
  await told("alice@x", "bob@x", OFFLINE);
  await say("alice@x", { type: 1, status: ONLINE });
  await told("alice@x", "bob@x", ONLINE);
  expect(toldOf("alice@x", "bob@x").filter(({ latitude, status }) => latitude !== 0 || status === 9)).toEqual([]);
  await say("alice@x", { type: 1, status: ONLINE, details: "here", ...place });
  await eventually("the position that is for all", () => toldOf("alice@x", "bob@x").at(-1)?.latitude === 52.5);
});

test("who hid behind OFFLINE, or by visibility, is not betrayed by going", async () => {
  await befriend("alice@x", "bob@x");
  await befriend("carol@x", "bob@x");
  const epoch = await connect("bob@x");
  await connect("alice@x");
  await connect("carol@x");
  await say("alice@x", { type: 1, status: OFFLINE });
  const { timestamp } = await told("alice@x", "bob@x", OFFLINE);
  await say("carol@x", { type: 1, status: ONLINE, visibility: 3 });
  await told("carol@x", "bob@x", OFFLINE);
  const before = heard.length;
  await disconnect("alice@x");
  await disconnect("carol@x");
  const bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  for (const eid of ["alice@x", "carol@x"]) {
    await eventually(`${eid} is gone`, async () => {
      const value = await bucket.read(sessionKey(eid, "phone"));
      return (JSON.parse(Buffer.from(value?.bytes ?? []).toString()) as SessionRecord).state === "gone";
    });
  }
  const { entries } = await call(link.nc, PROCEDURES.snapshot, { eid: "bob@x", revision: BigInt(epoch) }, 2_000);
  const seen = entries.map(({ awareness }) => fromBinary(AwarenessSchema, awareness));
  expect(seen.map(({ from, timestamp: atMs }) => [from?.eid, atMs])).toEqual([["alice@x", timestamp]]);
  expect(heard.slice(before).filter(({ to }) => to.includes("bob@x"))).toEqual([]);
});

test("what a user said of type 2 is told again to those who see them come back, and its end in a way that ends it", async () => {
  await befriend("alice@x", "bob@x");
  await connect("bob@x");
  await connect("alice@x");
  await say("alice@x", { type: 2, status: 9, ttl: 3 });
  await told("alice@x", "bob@x", 9);
  await say("alice@x", { type: 1, status: OFFLINE });
  await told("alice@x", "bob@x", OFFLINE);
  heard = [];
  await say("alice@x", { type: 1, status: BUSY });
  await eventually("both", () => toldOf("alice@x", "bob@x").length === 2);
  expect(toldOf("alice@x", "bob@x").map(({ status }) => status)).toEqual([BUSY, 9]);
  heard = [];
  await eventually("it ended", () => toldOf("alice@x", "bob@x").length === 2);
  expect(toldOf("alice@x", "bob@x").map(({ type, status }) => [type, status])).toEqual([
    [1, ONLINE],
    [1, BUSY],
  ]);
});

test("what a replica wrote and did not live to tell, the others tell", async () => {
  await befriend("alice@x", "bob@x");
  await connect("bob@x");
  await connect("alice@x");
  await told("alice@x", "bob@x", ONLINE);
  const bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  const key = sessionKey("alice@x", "phone");
  const value = await bucket.read(key);
  const record = JSON.parse(Buffer.from(value?.bytes ?? []).toString()) as SessionRecord;
  const dead: SessionRecord = { ...record, presence: { ...record.presence, status: AWAY }, by: "a replica that died" };
  await bucket.write(key, Buffer.from(JSON.stringify(dead)), value?.revision ?? 0);
  await told("alice@x", "bob@x", AWAY);
});

test("going private is told by the others, even by those that started since", async () => {
  await befriend("alice@x", "bob@x");
  await connect("bob@x");
  await connect("alice@x");
  await told("alice@x", "bob@x", ONLINE);
  for (const service of replicas.splice(0)) await service.stop();
  const bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  const hidden = { eid: "alice@x", visibility: 3, custom: null, device: "phone", by: "a replica that died" };
  await bucket.write(awarenessUserKey("alice@x"), Buffer.from(JSON.stringify(hidden)), 0);
  replicas = [await replica()];
  await told("alice@x", "bob@x", OFFLINE);
});

test("what became of a contact is told by the others, too, and what the two see of each other by it", async () => {
  await connect("alice@x");
  await connect("bob@x");
  const relationship = ContactRelationship.MUTUAL;
  const ask = { action: ContactAction.REQUEST, relationship, trackingId: "t1" };
  await contact("alice@x", { to: { eid: "bob@x" }, ...ask });
  await contact("bob@x", { to: { eid: "alice@x" }, ...ask, action: ContactAction.ACCEPT });
  await told("bob@x", "alice@x", ONLINE);
  const bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  const key = contactKey("alice@x", "bob@x");
  const value = await bucket.read(key);
  const record = JSON.parse(Buffer.from(value?.bytes ?? []).toString()) as ContactRecord;
  heard = [];
  contacts = [];
  const dead: ContactRecord = { ...record, by: "a replica that died" };
  await bucket.write(key, Buffer.from(JSON.stringify(dead)), value?.revision ?? 0);
  const again = await eventually("alice is told again", () => contacts.find(({ to }) => to.includes("alice@x")));
  expect(again.contact).toMatchObject({ action: ContactAction.ACCEPT, from: { eid: "bob@x" }, trackingId: "t1" });
  await told("bob@x", "alice@x", ONLINE);
});

test("when all replicas died before they told, those that start tell", async () => {
  await befriend("alice@x", "bob@x");
  await connect("bob@x");
  await connect("alice@x");
  await told("alice@x", "bob@x", ONLINE);
  for (const service of replicas.splice(0)) await service.stop();
  const bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  const key = sessionKey("alice@x", "phone");
  const value = await bucket.read(key);
  const record = JSON.parse(Buffer.from(value?.bytes ?? []).toString()) as SessionRecord;
  const dead: SessionRecord = { ...record, presence: { ...record.presence, status: AWAY }, by: "a replica that died" };
  await bucket.write(key, Buffer.from(JSON.stringify(dead)), value?.revision ?? 0);
  replicas = [await replica()];
  await told("alice@x", "bob@x", AWAY);
});

test("a grace period and a ttl that passed while no replica ran are ended by the next one", async () => {
  await befriend("alice@x", "bob@x");
  await befriend("carol@x", "bob@x");
  for (const eid of ["bob@x", "alice@x", "carol@x"]) await connect(eid);
  await say("carol@x", { type: 1, status: AWAY, ttl: 1 });
  await told("carol@x", "bob@x", AWAY);
  await disconnect("alice@x");
  for (const service of replicas.splice(0)) await service.stop();
  replicas = [await replica()];
  await told("alice@x", "bob@x", OFFLINE);
  await eventually("carol is back to ONLINE", () => toldOf("carol@x", "bob@x").at(-1)?.status === ONLINE);
});

test("a gateway that answers is not swept though it renews no lease; one that does not answer is, and is told", async () => {
  await befriend("alice@x", "bob@x");
  await connect("alice@x");
  await connect("bob@x");
  const bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  const state = async (): Promise<string> => {
    const value = await bucket.read(sessionKey("alice@x", "phone"));
    return (JSON.parse(Buffer.from(value?.bytes ?? []).toString()) as SessionRecord).state;
  };
  let asked = 0;
  link.nc.subscribe(SUBJECTS.gatewayPing(GATEWAY), { callback: () => void asked++ });
  await eventually("it was asked several times", () => asked > 5);
  expect(await state()).toBe("online");
  lives = false;
  await eventually("it was swept", async () => swept > 0 && (await state()) === "gone");
  await call(
    link.nc,
    PROCEDURES.hold,
    { node: "node", gateway: GATEWAY, sessions: [session("alice@x", "alice@x/1", true)] },
    2_000,
  );
  expect(await state()).toBe("online");
});

test("many changes of a user whom many see are told at a bounded rate, and the newest is told", async () => {
  for (const service of replicas.splice(0)) await service.stop();
  const config = readConfig({ NATS_URL: nats.url, BIMIP_AWARENESS_CONTACTS_PER_SECOND: "100" });
  const { signal } = new AbortController();
  const logger = createLogger("awareness", "silent");
  replicas = [
    await createAwareness(config, { logger, metrics: createMetrics("awareness"), health: createHealth(), signal }),
  ];
  const friends = Array.from({ length: 20 }, (_, at) => `friend-${at}@x`);
  for (const friend of friends) {
    await befriend("star@x", friend);
    await connect(friend);
  }
  await connect("star@x");
  const startedAtMs = performance.now();
  for (let at = 1; at <= 40; at++) await say("star@x", { type: 1, status: AWAY, details: String(at) });
  await eventually("the newest is told", () => toldOf("star@x", "friend-0@x").at(-1)?.details === "40");
  const seconds = (performance.now() - startedAtMs) / 1_000;
  // 20 friends at 100 a second: five times a second, the first at once, and the one under way.
  expect(toldOf("star@x", "friend-0@x").length).toBeLessThanOrEqual(Math.ceil(seconds * 5) + 2);
});
