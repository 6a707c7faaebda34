// AwarenessContact at the level of the awareness service: two replicas over one real bucket; whom they tell is the test's to
// note. Cannot show: sockets and gateways (contact-life.test.ts), nor what presence follows (who-may-see.test.ts).
// Longer than other files: every row of the table of contacts needs the same two replicas over one nats-server.
import {
  type AtomicWrite,
  BUCKETS,
  CasBucket,
  connectNats,
  contactKey,
  contactKeysOf,
  type ContactRecord,
  createAtomicWrite,
  ensureTopology,
  type Link,
  scanBucket,
} from "@bimip/nats";
import {
  type AwarenessContact,
  AwarenessContactSchema,
  ContactAction,
  ContactRelationship,
  ContactRequestSchema,
} from "@bimip/protocol";
import { createMetrics, type Metrics } from "@bimip/runtime";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type ContactHandler, createContactHandler } from "../../services/awareness/src/contacts/contact-handler.js";
import { mirrorOf } from "../../services/awareness/src/contacts/contact-pair.js";
import { pendingRequests, type Relations } from "../../services/awareness/src/contacts/contact-stanzas.js";
import { ContactStore } from "../../services/awareness/src/contacts/contact-store.js";
import { startTestNats } from "../kit/nats.js";

const { REQUEST, ACCEPT, DENY, REMOVE, REMOVED, ERROR, BLOCK, UNBLOCK, LIST } = ContactAction;
const { UNILATERAL, MUTUAL } = ContactRelationship;
const MAX_CONTACTS = 3;
/** Stands among all who are told for those of whom one asked. */
const ALL_DEVICES = "";

interface Told {
  readonly eid: string;
  readonly contact: AwarenessContact;
  readonly notDevice: string;
}

/** One replica of awareness. */
interface Replica {
  readonly link: Link;
  readonly store: ContactStore;
  readonly handle: ContactHandler;
  readonly metrics: Metrics;
}

let nats: Awaited<ReturnType<typeof startTestNats>>;
let link: Link;
let bucket: CasBucket;
let one: Replica;
let two: Replica;
const told: Told[] = [];
const flows: string[] = [];
/** Writes that found somebody else's in between. */
let conflicts = 0;
let run = 0;
let alice = "";
let bob = "";

async function relationsOf(link: Link, eid: string): Promise<Relations> {
  const relations = new Map<string, ContactRecord>();
  await scanBucket(link, BUCKETS.awareness, contactKeysOf(eid), (bytes) => {
    const record = JSON.parse(Buffer.from(bytes).toString()) as ContactRecord;
    relations.set(record.peer, record);
  });
  return relations;
}

async function startReplica(
  replica: string,
  options: { maxContacts?: number; through?: (write: AtomicWrite) => AtomicWrite } = {},
): Promise<Replica> {
  const link = await connectNats({ servers: nats.url, name: replica });
  const write = createAtomicWrite(link.nc, BUCKETS.awareness);
  const store = new ContactStore({
    bucket: await CasBucket.open(link.nc, BUCKETS.awareness),
    write: options.through?.(write) ?? write,
  });
  const metrics = createMetrics("awareness");
  const handle = createContactHandler({
    store,
    lists: { of: (eid) => relationsOf(link, eid) },
    tellUser: (eid, bytes, notDevice) =>
      void told.push({ eid, contact: fromBinary(AwarenessContactSchema, bytes), notDevice }),
    flowChanged: (eid, peer) => void flows.push(`${eid} ${peer}`),
    replica,
    maxContacts: options.maxContacts ?? 5_000,
    metrics,
  });
  return { link, store, handle, metrics };
}

const counted =
  (write: AtomicWrite): AtomicWrite =>
  async (entries) => {
    const revisions = await write(entries);
    if (revisions === undefined) conflicts++;
    return revisions;
  };

beforeAll(async () => {
  nats = await startTestNats();
  link = await connectNats({ servers: nats.url, name: "test" });
  await ensureTopology(link.nc, { partitions: 1, replicas: 1, dedupeWindowS: 120, logMaxAgeS: 0 });
  bucket = await CasBucket.open(link.nc, BUCKETS.awareness);
  one = await startReplica("one", { through: counted });
  two = await startReplica("two", { through: counted });
});
beforeEach(() => {
  run++;
  alice = `alice.${run}@x`;
  bob = `bob.${run}@x`;
  told.length = 0;
  flows.length = 0;
  conflicts = 0;
});
afterAll(async () => {
  for (const { nc } of [link, one.link, two.link]) await nc.close();
  await nats.remove();
});

interface Answer {
  readonly code: number;
  readonly details: string;
  readonly contacts: readonly AwarenessContact[];
  readonly next: string;
}

/** What the phone of `eid` sends. */
async function send(
  eid: string,
  contact: MessageInitShape<typeof AwarenessContactSchema>,
  { replica = one, after = "" }: { replica?: Replica; after?: string } = {},
): Promise<Answer> {
  const bytes = toBinary(AwarenessContactSchema, create(AwarenessContactSchema, contact));
  const answer = await replica.handle(
    create(ContactRequestSchema, { eid, device: "phone", node: "node", contact: bytes, after }),
  );
  const contacts = (answer.contacts ?? []).map((one) => fromBinary(AwarenessContactSchema, one));
  return { code: answer.code ?? 0, details: answer.details ?? "", contacts, next: answer.next ?? "" };
}

const ask = (from: string, to: string, relationship: number = MUTUAL, replica = one): Promise<Answer> =>
  send(from, { to: { eid: to }, relationship, action: REQUEST, trackingId: "t" }, { replica });
const act = (from: string, to: string, action: number, replica = one): Promise<Answer> =>
  send(from, { to: { eid: to }, action }, { replica });

/** The two records, which must say the same. */
async function recordOf(eid: string, peer: string): Promise<ContactRecord> {
  const [mine, theirs] = await Promise.all([bucket.read(contactKey(eid, peer)), bucket.read(contactKey(peer, eid))]);
  const parse = (bytes?: Uint8Array) => JSON.parse(Buffer.from(bytes ?? []).toString()) as ContactRecord;
  expect(mirrorOf(parse(theirs?.bytes))).toEqual(parse(mine?.bytes));
  return parse(mine?.bytes);
}
async function revisionOf(eid: string, peer: string): Promise<number> {
  return (await bucket.read(contactKey(eid, peer)))?.revision ?? 0;
}

/** Who was told what by now, as `eid action relationship`; without `eid`'s asking device: `eid but phone …`. */
const stories = (): string[] =>
  told.map(
    ({ eid, contact, notDevice }) =>
      `${eid}${notDevice === ALL_DEVICES ? "" : ` but ${notDevice}`} ${contact.action} ${contact.relationship}`,
  );

test("a request is stored for both, told to both, and comes back to the device that asked", async () => {
  const answer = await send(alice, {
    from: { eid: alice, connectionResourceId: "phone", node: "elsewhere" },
    to: { eid: bob, connectionResourceId: "tablet" },
    relationship: MUTUAL,
    action: REQUEST,
    trackingId: "t1",
    timestamp: 1_700_000_000_000n,
    details: "it is me",
    locationPrecisionM: 500,
  });
  const stanza = {
    from: { eid: alice, connectionResourceId: "phone", node: "node" },
    to: { eid: bob },
    relationship: MUTUAL,
    action: REQUEST,
    trackingId: "t1",
    timestamp: 1_700_000_000_000n,
    details: "it is me",
    locationPrecisionM: 500,
  };
  expect(answer).toMatchObject({ code: 0, contacts: [stanza], next: "" });
  expect(answer.contacts[0]?.to?.connectionResourceId).toBeUndefined();
  expect(told).toMatchObject([
    { eid: alice, notDevice: "phone", contact: stanza },
    { eid: bob, notDevice: ALL_DEVICES, contact: stanza },
  ]);
  expect(flows).toEqual([]);
  expect(await recordOf(alice, bob)).toMatchObject({
    eid: alice,
    peer: bob,
    own: "askedContact",
    other: "none",
    blocks: false,
    blockedBy: false,
    precisionM: 500,
    otherPrecisionM: 0,
    request: { trackingId: "t1", details: "it is me", atMs: 1_700_000_000_000 },
    otherRequest: null,
    before: { own: "none", other: "none", blocks: false, blockedBy: false },
    by: "one",
  });
});

test("the answer makes contacts of both, keeps how they stood before, and leaves no request", async () => {
  await ask(alice, bob);
  told.length = 0;
  const answer = await send(
    bob,
    { to: { eid: alice }, action: ACCEPT, trackingId: "a", details: "welcome", locationPrecisionM: -1 },
    { replica: two },
  );
  const stanza = { from: { eid: bob }, to: { eid: alice }, action: ACCEPT, relationship: MUTUAL, details: "welcome" };
  expect(answer).toMatchObject({ contacts: [{ ...stanza, trackingId: "a", locationPrecisionM: -1 }] });
  expect(stories()).toEqual([`${bob} but phone ${ACCEPT} ${MUTUAL}`, `${alice} ${ACCEPT} ${MUTUAL}`]);
  expect(await recordOf(alice, bob)).toMatchObject({
    own: "contact",
    other: "contact",
    request: null,
    otherRequest: null,
    precisionM: 0,
    otherPrecisionM: -1,
    before: { own: "askedContact", other: "none" },
    by: "two",
  });
});

test("what is done again is not written again: neither a request, nor an answer, nor the end of it", async () => {
  const repeats = [
    () => ask(alice, bob),
    () => act(bob, alice, ACCEPT),
    () => ask(alice, bob),
    () => act(alice, bob, REMOVE),
    () => act(alice, bob, BLOCK),
    () => act(alice, bob, UNBLOCK),
  ];
  for (const repeat of repeats) {
    const first = await repeat();
    const revision = await revisionOf(alice, bob);
    const second = await repeat();
    expect(second.contacts.map(({ action }) => action)).toEqual(first.contacts.map(({ action }) => action));
    expect(await revisionOf(alice, bob)).toBe(revision);
  }
  // Another request in the place of the one that waits.
  await ask(alice, bob);
  await send(alice, { to: { eid: bob }, relationship: MUTUAL, action: REQUEST, trackingId: "other", details: "words" });
  expect((await recordOf(alice, bob)).request).toMatchObject({ trackingId: "other", details: "words" });
});

test("a repeated answer is for the device that asked; a repeated request is told again", async () => {
  await ask(alice, bob);
  told.length = 0;
  await ask(alice, bob);
  expect(stories()).toEqual([`${alice} but phone ${REQUEST} ${MUTUAL}`, `${bob} ${REQUEST} ${MUTUAL}`]);
  await act(bob, alice, ACCEPT);
  told.length = 0;
  for (const answer of [await ask(alice, bob), await ask(alice, bob, UNILATERAL), await act(alice, bob, ACCEPT)]) {
    expect(answer.contacts).toMatchObject([{ action: ACCEPT, relationship: MUTUAL }]);
  }
  expect(told).toEqual([]);
});

test("one who asked to be a contact is followed at once: told as their own word", async () => {
  await send(bob, { to: { eid: alice }, relationship: MUTUAL, action: REQUEST, locationPrecisionM: 100 });
  told.length = 0;
  const answer = await send(alice, { to: { eid: bob }, relationship: UNILATERAL, action: REQUEST, trackingId: "f" });
  const stanza = { from: { eid: bob }, to: { eid: alice }, action: ACCEPT, relationship: UNILATERAL, trackingId: "f" };
  expect(answer).toMatchObject({ contacts: [{ ...stanza, locationPrecisionM: 100 }] });
  expect(answer.contacts[0]?.from?.connectionResourceId).toBeUndefined();
  expect(told).toMatchObject([
    { eid: alice, notDevice: "phone", contact: stanza },
    { eid: bob, notDevice: ALL_DEVICES, contact: stanza },
  ]);
  expect(await recordOf(alice, bob)).toMatchObject({ own: "follows", other: "askedContact" });
});

test("the precision is set by a request or an answer that changes nothing else, and by nothing else", async () => {
  const precision = async (): Promise<number[]> => {
    const { precisionM, otherPrecisionM } = await recordOf(alice, bob);
    return [precisionM, otherPrecisionM];
  };
  const tell = (action: number, locationPrecisionM: number) =>
    send(alice, { to: { eid: bob }, relationship: MUTUAL, action, locationPrecisionM });
  await tell(REQUEST, 10);
  await act(bob, alice, ACCEPT);
  expect(await precision()).toEqual([10, 0]);
  await tell(REQUEST, 20);
  expect(await precision()).toEqual([20, 0]);
  await tell(ACCEPT, 30);
  expect(await precision()).toEqual([30, 0]);
  // 0 says nothing of it: a repeat never tells more.
  await tell(REQUEST, 0);
  await tell(ACCEPT, 0);
  expect(await precision()).toEqual([30, 0]);
  expect((await recordOf(alice, bob)).before).toMatchObject({ own: "contact", other: "contact" });
  expect((await tell(DENY, 40)).contacts).toMatchObject([
    { action: ERROR, details: "to.eid: has no request that waits" },
  ]);
  await tell(UNBLOCK, 50);
  expect(await precision()).toEqual([30, 0]);
  await tell(REMOVE, 60);
  expect(await precision()).toEqual([0, 0]);
  expect((await tell(ACCEPT, 70)).contacts).toMatchObject([{ action: ERROR }]);
  expect(await precision()).toEqual([0, 0]);
});

test("DENY ends the request alone; the other may go on following", async () => {
  await ask(alice, bob, UNILATERAL);
  await act(bob, alice, ACCEPT);
  await ask(alice, bob);
  told.length = 0;
  await act(bob, alice, DENY);
  expect(stories()).toEqual([`${bob} but phone ${DENY} ${MUTUAL}`, `${alice} ${DENY} ${MUTUAL}`]);
  expect(await recordOf(alice, bob)).toMatchObject({ own: "follows", other: "none", request: null });
});

test("REMOVE ends it all; the other hears the server's word, without the actor's words", async () => {
  await ask(alice, bob);
  await act(bob, alice, ACCEPT);
  told.length = 0;
  const answer = await send(alice, { to: { eid: bob }, action: REMOVE, details: "bye", trackingId: "r" });
  expect(answer.contacts).toMatchObject([{ action: REMOVE, details: "bye" }]);
  expect(told).toMatchObject([
    { eid: alice, notDevice: "phone", contact: { action: REMOVE, details: "bye" } },
    { eid: bob, contact: { from: { eid: alice }, action: REMOVED, details: "", relationship: 0 } },
  ]);
  expect(await recordOf(alice, bob)).toMatchObject({ own: "none", other: "none", before: { own: "contact" } });
  told.length = 0;
  await act(alice, bob, REMOVE);
  expect(told.filter(({ eid }) => eid === bob)).toEqual([]);
});

test("a block: nothing is left, nothing is asked for in either direction, and the blocked one sees a removal", async () => {
  await ask(alice, bob);
  await act(bob, alice, ACCEPT);
  told.length = 0;
  await send(alice, { to: { eid: bob }, action: BLOCK, details: "why" });
  expect(flows).toEqual([`${alice} ${bob}`]);
  const asRemoved = told.find(({ eid }) => eid === bob)?.contact;
  expect(asRemoved).toMatchObject({ action: REMOVED, details: "", relationship: 0, locationPrecisionM: 0 });
  expect(await recordOf(alice, bob)).toMatchObject({ own: "none", other: "none", blocks: true, blockedBy: false });
  const revision = await revisionOf(alice, bob);
  told.length = 0;
  for (const action of [REQUEST, ACCEPT, DENY]) {
    const stanza = { relationship: MUTUAL, action };
    expect(await send(bob, { to: { eid: alice }, ...stanza }, { replica: two })).toMatchObject({
      code: 403,
      details: "to.eid: does not take stanzas from you",
      contacts: [],
    });
    expect(await send(alice, { to: { eid: bob }, ...stanza })).toMatchObject({
      code: 409,
      details: "to.eid: is blocked by you, unblock first",
    });
  }
  expect((await act(bob, alice, REMOVE)).contacts).toMatchObject([{ action: REMOVE }]);
  expect(await revisionOf(alice, bob)).toBe(revision);
  expect(told.filter(({ eid }) => eid === alice)).toEqual([]);

  await act(bob, alice, BLOCK);
  await act(alice, bob, UNBLOCK);
  expect(await recordOf(alice, bob)).toMatchObject({ blocks: false, blockedBy: true });
  await act(bob, alice, UNBLOCK, two);
  expect(flows.slice(1)).toEqual([`${bob} ${alice}`, `${alice} ${bob}`, `${bob} ${alice}`]);
  expect((await ask(bob, alice)).contacts).toMatchObject([{ action: REQUEST }]);
});

test("requests of both sides at once, from two replicas: always contacts, and one of the two tells both", async () => {
  const pairs = Array.from({ length: 200 }, (_, n) => [`a${n}.${run}@x`, `b${n}.${run}@x`] as const);
  await Promise.all(pairs.flatMap(([a, b]) => [ask(a, b, MUTUAL, one), ask(b, a, MUTUAL, two)]));
  expect(conflicts).toBeGreaterThan(0);
  const heard = new Map<string, string[]>();
  for (const { eid, contact } of told) {
    const line = `${contact.from?.eid} ${contact.action} ${contact.relationship}`;
    heard.set(eid, [...(heard.get(eid) ?? []), line]);
  }
  for (const [a, b] of pairs) {
    expect(await recordOf(a, b)).toMatchObject({ own: "contact", other: "contact", request: null, otherRequest: null });
    const accepts = heard.get(a)?.filter((line) => line.endsWith(`${ACCEPT} ${MUTUAL}`)) ?? [];
    expect(accepts).toHaveLength(1);
    expect(heard.get(b)?.filter((line) => line.endsWith(`${ACCEPT} ${MUTUAL}`))).toEqual(accepts);
    const requests = heard.get(a)?.filter((line) => line.endsWith(`${REQUEST} ${MUTUAL}`)) ?? [];
    expect(requests).toHaveLength(1);
    expect(accepts[0]?.split(" ")[0]).not.toBe(requests[0]?.split(" ")[0]);
  }
});

test("everything at once between two: the records stay each other's mirror, and one of the table's states", async () => {
  const actions = [REQUEST, ACCEPT, DENY, REMOVE, BLOCK, UNBLOCK];
  await Promise.all(
    Array.from({ length: 36 }, (_, n) => {
      const [from, to] = n % 2 === 0 ? [alice, bob] : [bob, alice];
      const stanza = {
        to: { eid: to },
        relationship: 1 + (n % 2),
        action: actions[(n >> 1) % actions.length] ?? REQUEST,
      };
      return send(from, stanza, { replica: n % 3 === 0 ? one : two });
    }),
  );
  const { own, other, blocks, blockedBy } = await recordOf(alice, bob);
  expect(own === "contact").toBe(other === "contact");
  if (blocks || blockedBy) expect([own, other]).toEqual(["none", "none"]);
});

describe("a write that is not answered", () => {
  /** Answers are lost as often as told; `before` = what was asked for is lost as well. */
  const lossy = (times: number, before: boolean) => {
    let left = times;
    return (write: AtomicWrite): AtomicWrite =>
      async (entries) => {
        if (left === 0) return write(entries);
        left--;
        if (!before) await write(entries);
        throw new Error("timeout");
      };
  };

  test("is looked for, and told as if it had been answered", async () => {
    const replica = await startReplica("lossy", { through: lossy(1, false) });
    expect((await ask(alice, bob, MUTUAL, replica)).contacts).toMatchObject([{ action: REQUEST }]);
    const revision = await revisionOf(alice, bob);
    await replica.link.nc.close();
    const accepting = await startReplica("lossy", { through: lossy(1, false) });
    told.length = 0;
    await act(bob, alice, ACCEPT, accepting);
    expect(stories()).toEqual([`${bob} but phone ${ACCEPT} ${MUTUAL}`, `${alice} ${ACCEPT} ${MUTUAL}`]);
    // Written once: both keys, one after the other.
    expect(await revisionOf(alice, bob)).toBe(revision + 3);
    await accepting.link.nc.close();
  });

  test("is done again where it was not done", async () => {
    const replica = await startReplica("lossy", { through: lossy(2, true) });
    await ask(alice, bob, MUTUAL, replica);
    expect(stories()).toEqual([`${alice} but phone ${REQUEST} ${MUTUAL}`, `${bob} ${REQUEST} ${MUTUAL}`]);
    expect(await recordOf(alice, bob)).toMatchObject({ own: "askedContact", by: "lossy" });
    await replica.link.nc.close();
  });
});

test("one side lost is made again from the other", async () => {
  await ask(alice, bob);
  await bucket.remove(contactKey(alice, bob));
  expect(await one.store.read(alice, bob)).toMatchObject({ own: "askedContact" });
  await ask(alice, bob);
  expect(await recordOf(alice, bob)).toMatchObject({ own: "askedContact", other: "none" });
});

test("wrong stanzas are refused with the field's name, and leave nothing", async () => {
  const to = { eid: bob };
  const cases: readonly [string, MessageInitShape<typeof AwarenessContactSchema>][] = [
    ["to.eid: is missing", { relationship: MUTUAL, action: REQUEST }],
    ["to.eid: is yourself", { to: { eid: alice }, relationship: MUTUAL, action: REQUEST }],
    ["to.eid: is yourself", { to: { eid: alice }, action: BLOCK }],
    ["relationship: is missing", { to, action: REQUEST }],
    ["action: is 5", { to, action: REMOVED }],
    ["action: is 6", { to, action: ERROR }],
    ["location_precision_m: is -2", { to, relationship: MUTUAL, action: REQUEST, locationPrecisionM: -2 }],
    ["details: is too long: 1026 bytes", { to, relationship: MUTUAL, action: REQUEST, details: "é".repeat(513) }],
  ];
  for (const [details, contact] of cases) {
    const answer = await send(alice, contact);
    expect([answer.code, answer.details.slice(0, details.length)], details).toEqual([422, details]);
    expect(answer.contacts).toEqual([]);
  }
  expect(told).toEqual([]);
  expect(await revisionOf(alice, bob)).toBe(0);
});

test("a time that no number holds is replaced, so that the request can be told again", async () => {
  const before = Date.now();
  for (const timestamp of [(1n << 63n) - 1n, 0n]) {
    const { contacts } = await send(alice, { to: { eid: bob }, relationship: MUTUAL, action: REQUEST, timestamp });
    expect(Number(contacts[0]?.timestamp)).toBeGreaterThanOrEqual(before);
  }
  expect(pendingRequests((await relationsOf(link, bob)).values())).toHaveLength(1);
});

test("the requests of others that wait are told as they were asked; answered, denied, blocked and one's own are not", async () => {
  const from = (name: string): string => `${name}.${run}@x`;
  const request = { to: { eid: alice }, action: REQUEST, details: "please", timestamp: 1_700_000_000_123n };
  await send(from("follow"), { ...request, relationship: UNILATERAL, trackingId: "f", locationPrecisionM: 7 });
  await send(from("contact"), { ...request, relationship: MUTUAL, trackingId: "c" });
  for (const name of ["both", "accepted", "denied", "blocked"]) await ask(from(name), alice, UNILATERAL);
  await act(alice, from("both"), ACCEPT);
  await ask(from("both"), alice, MUTUAL);
  await act(alice, from("accepted"), ACCEPT);
  await act(alice, from("denied"), DENY);
  await act(alice, from("blocked"), BLOCK);
  await ask(alice, from("asked"));
  const requests = pendingRequests((await relationsOf(link, alice)).values()).map((bytes) =>
    fromBinary(AwarenessContactSchema, bytes),
  );
  const common = { to: { eid: alice }, action: REQUEST };
  const old = { ...common, details: "please", timestamp: 1_700_000_000_123n };
  expect(new Map(requests.map((one) => [one.from?.eid, one]))).toMatchObject(
    new Map([
      [from("follow"), { ...old, relationship: UNILATERAL, trackingId: "f", locationPrecisionM: 7 }],
      [from("contact"), { ...old, relationship: MUTUAL, trackingId: "c" }],
      [from("both"), { ...common, relationship: MUTUAL, trackingId: "t", details: "" }],
    ] as const),
  );
  expect(requests).toHaveLength(3);
});

test("LIST: what there is with each other user, in one's own words and no others, and an empty one behind", async () => {
  const other = (name: string): string => `${name}.${run}@x`;
  await send(alice, { to: { eid: other("contact") }, relationship: MUTUAL, action: REQUEST, locationPrecisionM: 50 });
  await send(other("contact"), { to: { eid: alice }, action: ACCEPT, locationPrecisionM: 9 });
  await ask(alice, other("following"), UNILATERAL);
  await act(other("following"), alice, ACCEPT);
  await ask(other("follower"), alice, UNILATERAL);
  await act(alice, other("follower"), ACCEPT);
  await ask(other("follower"), alice, MUTUAL);
  await ask(alice, other("asked-follow"), UNILATERAL);
  await ask(other("asks-follow"), alice, UNILATERAL);
  await ask(alice, other("asked-contact"));
  await ask(other("asks-contact"), alice);
  await act(alice, other("blocked"), BLOCK);
  await act(other("blocker"), alice, BLOCK);
  await ask(alice, other("gone"));
  await act(alice, other("gone"), REMOVE);
  const { contacts, next, code } = await send(alice, { action: LIST, trackingId: "l" });
  expect([code, next]).toEqual([0, ""]);
  for (const stanza of contacts) {
    expect(stanza).toMatchObject({
      action: LIST,
      trackingId: "l",
      from: { eid: alice, connectionResourceId: "phone" },
    });
  }
  const rows = contacts.map(({ to, details, relationship, locationPrecisionM }) => [
    to?.eid,
    details,
    relationship,
    locationPrecisionM,
  ]);
  expect(rows).toEqual([
    [other("asked-contact"), "asked-contact", MUTUAL, 0],
    [other("asked-follow"), "asked-follow", UNILATERAL, 0],
    [other("asks-contact"), "asks-contact", MUTUAL, 0],
    [other("asks-follow"), "asks-follow", UNILATERAL, 0],
    [other("blocked"), "blocked", 0, 0],
    [other("contact"), "contact", MUTUAL, 50],
    [other("follower"), "follower asks-contact", UNILATERAL, 0],
    [other("following"), "following", UNILATERAL, 0],
    [undefined, "", 0, 0],
  ]);
});

test("a long LIST comes in pages, in byte order, each once", async () => {
  const names = Array.from(
    { length: 1_050 },
    (_, n) => `${n % 3 === 0 ? "\u{1F600}" : n % 3 === 1 ? "\uFFFD" : "z"}${n}@x`,
  );
  const relations = new Map<string, ContactRecord>();
  const empty = await one.store.read(alice, bob);
  for (const peer of names) relations.set(peer, { ...empty, peer, own: "follows", atMs: 1 });
  const handle = createContactHandler({
    store: one.store,
    lists: { of: () => Promise.resolve(relations) },
    tellUser: () => undefined,
    flowChanged: () => undefined,
    replica: "list",
    maxContacts: 5_000,
    metrics: createMetrics("awareness"),
  });
  const sizes: number[] = [];
  const got: string[] = [];
  let after = "";
  do {
    const { contacts, next } = await send(alice, { action: LIST }, { replica: { ...one, handle }, after });
    sizes.push(contacts.length);
    got.push(...contacts.flatMap(({ to }) => to?.eid ?? []));
    after = next;
  } while (after !== "");
  expect(sizes).toEqual([500, 500, 51]);
  expect(got).toEqual(names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
});

test("nobody gets more relations than there may be, blocked ones count; whom others only ask may still ask", async () => {
  const small = await startReplica("small", { maxContacts: MAX_CONTACTS });
  const other = (n: number): string => `other${n}.${run}@x`;
  await ask(other(1), alice, MUTUAL, small);
  await act(alice, other(2), BLOCK, small);
  await ask(alice, other(0), UNILATERAL, small);
  expect((await ask(alice, other(5), MUTUAL, small)).code).toBe(0);
  expect(await ask(alice, other(3), MUTUAL, small)).toMatchObject({
    code: 409,
    details: `to.eid: you have ${MAX_CONTACTS} contacts, the most there may be`,
  });
  expect(await ask(other(3), alice, MUTUAL, small)).toMatchObject({
    code: 409,
    details: "to.eid: has as many contacts as there may be",
  });
  expect(await revisionOf(alice, other(3))).toBe(0);
  // What is there already may become more, and blocking is always possible.
  expect((await ask(alice, other(0), MUTUAL, small)).code).toBe(0);
  expect((await act(alice, other(4), BLOCK, small)).code).toBe(0);
  await act(alice, other(4), UNBLOCK, small);
  await act(alice, other(2), UNBLOCK, small);
  expect((await ask(alice, other(3), MUTUAL, small)).code).toBe(0);
  expect((await ask(alice, other(6), MUTUAL, small)).code).toBe(409);
  await small.link.nc.close();
});

test("what was answered is counted by action and outcome", async () => {
  const counting = await startReplica("counting");
  await ask(alice, bob, MUTUAL, counting);
  await act(bob, alice, BLOCK, counting);
  await ask(alice, bob, MUTUAL, counting);
  await send(alice, { action: 99 }, { replica: counting });
  const lines = (await counting.metrics.text())
    .split("\n")
    .filter((line) => line.startsWith("bimip_awareness_contacts"));
  expect(lines.map((line) => line.replace(/service="awareness",?|,service="awareness"/, "")).sort()).toEqual([
    'bimip_awareness_contacts_total{action="0",code="422"} 1',
    'bimip_awareness_contacts_total{action="1",code="0"} 1',
    'bimip_awareness_contacts_total{action="1",code="403"} 1',
    'bimip_awareness_contacts_total{action="7",code="0"} 1',
  ]);
  await counting.link.nc.close();
});
