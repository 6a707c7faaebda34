// The life of a contact over real sockets, two gateways, two replicas of awareness: requests, answers, removal, blocks, the
// list, with all devices of both users in step. Cannot show: who sees whom then (who-may-see.test.ts), faults (test/e2e).
// Longer than other files: all of it runs on one system, whose start costs more than any of its tests.
import {
  type AwarenessContact,
  AwarenessStatus,
  ContactAction,
  ContactActionSchema,
  ContactRelationship,
  ContactRelationshipSchema,
  type ErrorMessage,
  Visibility,
} from "@bimip/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accept, ask, befriend, block, follow, told, unblock } from "../kit/contacts.js";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";
import { inBatches } from "../load/crowd.js";

const { UNILATERAL, MUTUAL } = ContactRelationship;
const { REQUEST, ACCEPT, DENY, REMOVE, REMOVED, ERROR, BLOCK, LIST } = ContactAction;
const { ONLINE, OFFLINE } = AwarenessStatus;
const PAIRS = 50;
const MAX_CONTACTS = 200;

let system: System;
beforeAll(async () => {
  system = await startSystem({
    gateways: 2,
    awareness: 2,
    env: { BIMIP_OFFLINE_GRACE_MS: "300", BIMIP_MAX_CONTACTS: String(MAX_CONTACTS) },
  });
});
afterAll(() => system.stop());

interface User {
  readonly eid: string;
  readonly phone: Device;
  /** On the other gateway. */
  readonly laptop: Device;
}

async function user(eid: string): Promise<User> {
  return { eid, phone: await system.device(eid, "phone"), laptop: await system.device(eid, "laptop", { gateway: 1 }) };
}

async function pair(name: string): Promise<[User, User]> {
  return [await user(`${name}-a@x`), await user(`${name}-b@x`)];
}

/** What was told, in words that compare well: `a REQUEST MUTUAL`. */
const words = ({ from, action, relationship }: AwarenessContact): string =>
  [
    from?.eid,
    ContactActionSchema.value[action as ContactAction]?.localName,
    relationship === 0 ? "" : ContactRelationshipSchema.value[relationship as ContactRelationship]?.localName,
  ]
    .join(" ")
    .trim();
const story = (device: Device): string[] => device.of("awarenessContact").map(words);

/** Both devices of both users were told the same, in the same order. */
async function inStep(users: readonly User[], expected: Readonly<Record<string, readonly string[]>>): Promise<void> {
  for (const { eid, phone, laptop } of users) {
    for (const device of [phone, laptop]) {
      const wanted = expected[eid] ?? [];
      await eventually(
        () => `${eid}: ${wanted.join(", ")}; came: ${story(device).join(", ")}`,
        () => story(device).length >= wanted.length,
      );
      expect(story(device)).toEqual(wanted);
    }
  }
}

interface Listed {
  readonly words: readonly string[];
  readonly relationship: number;
  readonly precisionM: number;
}

/** The answer to LIST. */
async function list(device: Device): Promise<Map<string, Listed>> {
  const id = device.contact({ action: LIST });
  const isAnswer = ({ trackingId, action }: AwarenessContact): boolean => trackingId === id && action === LIST;
  await device.until("awarenessContact", (one) => isAnswer(one) && (one.to?.eid ?? "") === "");
  const all = device.of("awarenessContact").filter(isAnswer);
  expect(all.at(-1)?.to?.eid ?? "", "the empty one is the last").toBe("");
  const contacts = new Map<string, Listed>();
  for (const { to, details, relationship, locationPrecisionM } of all.slice(0, -1)) {
    expect(contacts.has(to?.eid ?? "")).toBe(false);
    contacts.set(to?.eid ?? "", { words: details.split(" ").sort(), relationship, precisionM: locationPrecisionM });
  }
  return contacts;
}

const listed = async (device: Device, eid: string): Promise<string> =>
  (await list(device)).get(eid)?.words.join(" ") ?? "";

test("a request is told to all devices of both, stamped, with its words; so is the acceptance", async () => {
  const [a, b] = await pair("told");
  const before = Date.now();
  a.phone.contact({
    to: { eid: b.eid },
    relationship: MUTUAL,
    action: REQUEST,
    trackingId: "t1",
    details: "it is me",
    locationPrecisionM: 500,
  });
  await inStep([a, b], { [a.eid]: [`${a.eid} REQUEST MUTUAL`], [b.eid]: [`${a.eid} REQUEST MUTUAL`] });
  for (const device of [a.phone, a.laptop, b.phone, b.laptop]) {
    const [request] = device.of("awarenessContact");
    expect(request).toMatchObject({ trackingId: "t1", details: "it is me", to: { eid: b.eid } });
    expect(request?.from).toMatchObject({ eid: a.eid, connectionResourceId: "phone", node: "gateway-1" });
    expect(Number(request?.timestamp)).toBeGreaterThanOrEqual(before);
    expect(device.picture.eids.filter((eid) => eid !== device.eid)).toEqual([]);
  }
  b.laptop.contact({ to: { eid: a.eid }, relationship: MUTUAL, action: ACCEPT, trackingId: "t1", details: "welcome" });
  const both = [`${a.eid} REQUEST MUTUAL`, `${b.eid} ACCEPT MUTUAL`];
  await inStep([a, b], { [a.eid]: both, [b.eid]: both });
  for (const device of [a.phone, a.laptop, b.phone, b.laptop]) {
    const accepted = device.of("awarenessContact")[1];
    expect(accepted).toMatchObject({ trackingId: "t1", details: "welcome", to: { eid: a.eid } });
    expect(accepted?.from).toMatchObject({ eid: b.eid, connectionResourceId: "laptop", node: "gateway-2" });
    // The state of the new contact comes as a Body.
    const other = device.eid === a.eid ? b.eid : a.eid;
    await device.sees(other, ONLINE);
    expect(device.of("body").filter(({ route }) => route === 2n)).toHaveLength(1);
    expect(device.of("error")).toEqual([]);
  }
});

test("a request to an absent user waits, and is repeated at each connect until it is answered", async () => {
  const alice = await system.device("wait-a@x", "phone");
  const bob = "wait-b@x";
  const requestAtMs = Date.now();
  alice.contact({ to: { eid: bob }, relationship: UNILATERAL, action: REQUEST, trackingId: "t", details: "please" });
  await told(alice, alice.eid, REQUEST);
  const stories: Device[] = [];
  for (const name of ["phone", "laptop", "phone"]) {
    const device = await system.device(bob, name, { gateway: stories.length % 2 });
    const request = await device.until("awarenessContact");
    expect(request).toMatchObject({ action: REQUEST, relationship: UNILATERAL, trackingId: "t", details: "please" });
    expect(request).toMatchObject({ from: { eid: alice.eid }, to: { eid: bob } });
    expect(Number(request.timestamp)).toBeGreaterThanOrEqual(requestAtMs - 1);
    stories.push(device);
    if (stories.length < 3) await device.close();
  }
  const device = stories.at(-1) as Device;
  await accept(device, alice.eid, UNILATERAL);
  await told(alice, bob, ACCEPT);
  await alice.sees(bob, ONLINE);
  const later = await system.device(bob, "tablet");
  await later.pictured();
  await befriend(later, await system.device("wait-c@x", "phone"));
  expect(story(later).filter((line) => line.startsWith(alice.eid))).toEqual([]);
  expect(story(alice)).toEqual([`${alice.eid} REQUEST UNILATERAL`, `${bob} ACCEPT UNILATERAL`]);
});

test("the asker hears of an answer that was given while they were away from what they see, and from LIST", async () => {
  const alice = await system.device("absent-a@x", "phone");
  const bob = await system.device("absent-b@x", "phone");
  await ask(alice, bob.eid);
  await alice.close();
  await accept(bob, alice.eid);
  await bob.sees(alice.eid, OFFLINE);
  const back = await system.device(alice.eid, "phone", { gateway: 1 });
  await back.sees(bob.eid, ONLINE);
  await bob.sees(alice.eid, ONLINE);
  expect(await listed(back, bob.eid)).toBe("contact");
});

test("DENY ends a request, on both sides; it may be asked again", async () => {
  const [a, b] = await pair("deny");
  await ask(a.phone, b.eid);
  await told(b.phone, a.eid, REQUEST);
  await b.phone.contactDone({ to: { eid: a.eid }, action: DENY, details: "who are you?" });
  const denied = [`${a.eid} REQUEST MUTUAL`, `${b.eid} DENY`];
  for (const device of [a.phone, a.laptop, b.phone, b.laptop]) {
    await told(device, b.eid, DENY);
    expect(story(device).map((line) => line.replace(/(DENY).*/, "$1"))).toEqual(denied);
    expect(device.of("awarenessContact").at(-1)?.details).toBe("who are you?");
  }
  const later = await system.device(b.eid, "tablet");
  await later.pictured();
  expect(await listed(later, a.eid)).toBe("");
  expect(await listed(a.phone, b.eid)).toBe("");
  await ask(a.laptop, b.eid, UNILATERAL);
  await told(later, a.eid, REQUEST);
  expect(await listed(later, a.eid)).toBe("asks-follow");
});

test("an answer to nothing comes back as ERROR; an answer or a request given again comes back as it stands", async () => {
  const [a, b] = await pair("again");
  for (const action of [ACCEPT, DENY]) {
    const id = b.phone.contact({ to: { eid: a.eid }, relationship: MUTUAL, action });
    const answer = await b.phone.until("awarenessContact", ({ trackingId }) => trackingId === id);
    expect(answer).toMatchObject({ action: ERROR, details: expect.stringContaining("to.eid: has no request") });
  }
  await ask(a.phone, b.eid);
  expect(await a.phone.contactDone({ to: { eid: b.eid }, relationship: MUTUAL, action: REQUEST })).toMatchObject({
    action: REQUEST,
    relationship: MUTUAL,
  });
  await accept(b.phone, a.eid);
  for (const device of [a.phone, b.laptop]) {
    const eid = device === a.phone ? b.eid : a.eid;
    for (const action of [REQUEST, ACCEPT])
      expect(await device.contactDone({ to: { eid }, relationship: MUTUAL, action })).toMatchObject({
        action: ACCEPT,
        relationship: MUTUAL,
      });
  }
  // Asking a contact for less changes nothing either.
  expect(await a.phone.contactDone({ to: { eid: b.eid }, relationship: UNILATERAL, action: REQUEST })).toMatchObject({
    action: ACCEPT,
    relationship: MUTUAL,
  });
  expect(await listed(a.phone, b.eid)).toBe("contact");
  expect(await listed(b.phone, a.eid)).toBe("contact");
});

test("follow, then mutual: a follower who asks to be a contact goes on seeing, whatever the answer", async () => {
  const [a, b] = await pair("more");
  await follow(a.phone, b.phone);
  await a.phone.sees(b.eid, ONLINE);
  expect(await listed(a.phone, b.eid)).toBe("following");
  expect(await listed(b.phone, a.eid)).toBe("follower");
  await ask(a.phone, b.eid);
  expect(await listed(a.phone, b.eid)).toBe("asked-contact following");
  expect(await listed(b.phone, a.eid)).toBe("asks-contact follower");
  await b.phone.contactDone({ to: { eid: a.eid }, action: DENY });
  expect(await listed(a.phone, b.eid)).toBe("following");
  expect(a.phone.presenceOf(b.eid)).toBe(ONLINE);
  await ask(a.phone, b.eid);
  await accept(b.laptop, a.eid);
  await b.phone.sees(a.eid, ONLINE);
  expect(await listed(b.phone, a.eid)).toBe("contact");
});

test("whoever asked to be a contact agreed to be seen: a follow of theirs is accepted at once", async () => {
  const [a, b] = await pair("agreed");
  await ask(a.phone, b.eid);
  await ask(b.phone, a.eid, UNILATERAL);
  await b.laptop.sees(a.eid, ONLINE);
  expect(await listed(b.phone, a.eid)).toBe("asks-contact following");
  expect(await listed(a.phone, b.eid)).toBe("asked-contact follower");
  expect(a.phone.presenceOf(b.eid)).toBeUndefined();
});

test("REMOVE ends the relation on both sides; each is shown the other OFFLINE, and it may be done again", async () => {
  const [a, b] = await pair("remove");
  await befriend(a.phone, b.phone);
  await a.laptop.contactDone({ to: { eid: b.eid }, action: REMOVE });
  for (const device of [b.phone, b.laptop]) {
    await told(device, a.eid, REMOVED);
    await device.sees(a.eid, OFFLINE);
  }
  for (const device of [a.phone, a.laptop]) {
    await told(device, a.eid, REMOVE);
    await device.sees(b.eid, OFFLINE);
  }
  expect((await list(a.phone)).size).toBe(0);
  expect((await list(b.phone)).size).toBe(0);
  await a.phone.contactDone({ to: { eid: b.eid }, action: REMOVE });
  await a.phone.contactDone({ to: { eid: "remove-nobody@x" }, action: REMOVE });
  await befriend(b.phone, a.phone);
  await ask(a.phone, "remove-later@x");
  await a.phone.contactDone({ to: { eid: "remove-later@x" }, action: REMOVE });
  const later = await system.device("remove-later@x", "phone");
  await later.pictured();
  await befriend(later, b.phone);
  expect(story(later).some((line) => line.startsWith(a.eid))).toBe(false);
  expect(story(b.phone).filter((line) => line.endsWith("REMOVED") || line.includes("REMOVED "))).toHaveLength(1);
});

test("BLOCK and UNBLOCK reach the other devices of who does it, in step; the blocked one hears REMOVED once", async () => {
  const [a, b] = await pair("block");
  await befriend(a.phone, b.phone);
  const size = new Map([a.phone, a.laptop, b.phone, b.laptop].map((device) => [device, story(device).length]));
  await block(a.phone, b.eid);
  await block(a.laptop, b.eid);
  await unblock(a.phone, b.eid);
  await unblock(a.laptop, b.eid);
  await befriend(b.phone, a.phone);
  const since = (device: Device): string[] =>
    story(device)
      .slice(size.get(device))
      .map((line) => line.replace(/(REMOVED|UNBLOCK|BLOCK).*/, "$1"));
  for (const device of [a.phone, a.laptop]) {
    await told(device, b.eid, REQUEST);
    await eventually("all of it", () => since(device).length >= 6);
    // The second of each changes nothing, but is answered; it may or may not be told to the others.
    const lines = since(device).filter((line, at, all) => line !== all[at - 1]);
    expect(lines).toEqual([`${a.eid} BLOCK`, `${a.eid} UNBLOCK`, `${b.eid} REQUEST MUTUAL`, `${a.eid} ACCEPT MUTUAL`]);
  }
  for (const device of [b.phone, b.laptop]) {
    await eventually("all of it", () => since(device).length >= 3);
    expect(since(device)).toEqual([`${a.eid} REMOVED`, `${b.eid} REQUEST MUTUAL`, `${a.eid} ACCEPT MUTUAL`]);
  }
});

test("a block of a stranger, of a request, in both directions at once", async () => {
  const [a, b] = await pair("cross");
  await ask(b.phone, a.eid);
  await block(a.phone, b.eid);
  await block(b.phone, a.eid);
  expect(await listed(a.phone, b.eid)).toBe("blocked");
  expect(await listed(b.phone, a.eid)).toBe("blocked");
  await unblock(a.phone, b.eid);
  expect((await list(a.phone)).size).toBe(0);
  const refused: ErrorMessage = await a.phone.refusal(
    a.phone.contact({ to: { eid: b.eid }, relationship: MUTUAL, action: REQUEST }),
  );
  expect(refused.code).toBe(403);
  const later = await system.device(a.eid, "tablet");
  await later.pictured();
  await unblock(b.phone, a.eid);
  await befriend(later, b.phone);
  expect(story(later).filter((line) => line === `${b.eid} REQUEST MUTUAL`)).toEqual([]);
});

test(`requests from both sides at once: ${PAIRS} pairs, each ends as one mutual contact`, async () => {
  const pairs = await Promise.all(
    Array.from({ length: PAIRS }, async (_, n) => [
      await system.device(`both-a${n}@x`, "phone", { gateway: n % 2 }),
      await system.device(`both-b${n}@x`, "phone", { gateway: (n + 1) % 2 }),
    ]),
  );
  for (const [one, other] of pairs as [Device, Device][]) {
    one.contact({ to: { eid: other.eid }, relationship: MUTUAL, action: REQUEST });
    other.contact({ to: { eid: one.eid }, relationship: MUTUAL, action: REQUEST });
  }
  for (const [one, other] of pairs as [Device, Device][]) {
    for (const [device, peer] of [
      [one, other.eid],
      [other, one.eid],
    ] as const) {
      await device.until(
        "awarenessContact",
        ({ action, relationship }) => action === ACCEPT && relationship === MUTUAL,
      );
      await device.sees(peer, ONLINE);
      expect([...(await list(device))].map(([eid, { words }]) => `${eid} ${words.join(" ")}`)).toEqual([
        `${peer} contact`,
      ]);
      expect(device.of("error")).toEqual([]);
      expect(story(device).filter((line) => line.endsWith("ACCEPT MUTUAL"))).toHaveLength(1);
    }
  }
});

test("LIST: a stanza for each relation with what it is and what is shared, then an empty one; nothing of others", async () => {
  const alice = await system.device("list-a@x", "phone");
  const laptop = await system.device(alice.eid, "laptop", { gateway: 1 });
  expect((await list(alice)).size).toBe(0);
  const names = ["contact", "following", "follower", "asked-follow", "asks-follow", "asked-contact", "asks-contact"];
  const others = new Map<string, Device>();
  for (const name of [...names, "blocked", "denied"])
    others.set(name, await system.device(`list-${name}@x`, "phone", { gateway: others.size % 2 }));
  const other = (name: string): Device => others.get(name) as Device;
  await alice.contactDone({
    to: { eid: other("contact").eid },
    relationship: MUTUAL,
    action: REQUEST,
    locationPrecisionM: 1_000,
  });
  await other("contact").contactDone({
    to: { eid: alice.eid },
    relationship: MUTUAL,
    action: ACCEPT,
    locationPrecisionM: -1,
  });
  await follow(alice, other("following"));
  await follow(other("follower"), alice);
  await ask(alice, other("asked-follow").eid, UNILATERAL);
  await ask(other("asks-follow"), alice.eid, UNILATERAL);
  await ask(alice, other("asked-contact").eid);
  await ask(other("asks-contact"), alice.eid);
  await block(alice, other("blocked").eid);
  await ask(alice, other("denied").eid);
  await other("denied").contactDone({ to: { eid: alice.eid }, action: DENY });
  const expected = [...names, "blocked"].map((name) => `list-${name}@x ${name}`).sort();
  for (const device of [alice, laptop]) {
    const contacts = await list(device);
    expect([...contacts].map(([eid, { words }]) => `${eid} ${words.join(" ")}`).sort()).toEqual(expected);
    expect(contacts.get("list-contact@x")).toMatchObject({ relationship: MUTUAL, precisionM: 1_000 });
    expect(contacts.get("list-following@x")).toMatchObject({ relationship: UNILATERAL, precisionM: 0 });
  }
  expect((await list(other("contact"))).get(alice.eid)).toMatchObject({ words: ["contact"], precisionM: -1 });
  // To be blocked is not told.
  expect((await list(other("blocked"))).size).toBe(0);
  // LIST is an answer to the one device that asked.
  expect(laptop.of("awarenessContact").filter(({ action }) => action === LIST)).toHaveLength(expected.length + 1);
  // The same precision again, by a request that changes nothing else.
  await alice.contactDone({
    to: { eid: other("contact").eid },
    relationship: MUTUAL,
    action: REQUEST,
    locationPrecisionM: 50,
  });
  expect((await list(laptop)).get("list-contact@x")?.precisionM).toBe(50);
});

test("wrong stanzas: 422 that names the field, with the tracking id; nothing happens", async () => {
  const [a, b] = await pair("wrong");
  const to = { eid: b.eid };
  const cases: [string, Parameters<Device["contact"]>[0]][] = [
    ["awareness_contact.to.eid: is missing", { relationship: MUTUAL, action: REQUEST }],
    ["awareness_contact.to.eid: is missing", { action: BLOCK }],
    ["awareness_contact.relationship: is missing", { to, action: REQUEST }],
    ["awareness_contact.relationship: is 3", { to, relationship: 3, action: REQUEST }],
    ["awareness_contact.action: is missing", { to, relationship: MUTUAL }],
    ["awareness_contact.action: is 5", { to, relationship: MUTUAL, action: REMOVED }],
    ["awareness_contact.action: is 6", { to, relationship: MUTUAL, action: ERROR }],
    ["awareness_contact.action: is 10", { to, relationship: MUTUAL, action: 10 }],
    [
      "awareness_contact.location_precision_m: is -2",
      { to, relationship: MUTUAL, action: REQUEST, locationPrecisionM: -2 },
    ],
    ["awareness_contact.to.eid: ", { to: { eid: a.eid }, relationship: MUTUAL, action: REQUEST }],
    ["awareness_contact.to.eid: ", { to: { eid: a.eid }, action: BLOCK }],
    ["awareness_contact.to.eid: ", { to: { eid: "x\ny" }, relationship: MUTUAL, action: REQUEST }],
  ];
  for (const [details, init] of cases) {
    const error = await a.phone.refusal(a.phone.contact(init));
    expect(error.code, details).toBe(422);
    expect(error.details.slice(0, details.length)).toBe(details);
  }
  const foreign = await a.phone.refusal(
    a.phone.contact({ from: { eid: b.eid }, to, relationship: MUTUAL, action: REQUEST }),
  );
  expect(foreign.code).toBe(403);
  expect((await list(a.phone)).size).toBe(0);
  expect((await list(b.phone)).size).toBe(0);
  await ask(a.phone, b.eid);
  await told(b.laptop, a.eid, REQUEST);
  expect(story(b.laptop)).toEqual([`${a.eid} REQUEST MUTUAL`]);
});

test("at most BIMIP_MAX_CONTACTS relations: 409 for one more, on both sides", async () => {
  const alice = await system.device("many-a@x", "phone");
  const names = Array.from({ length: MAX_CONTACTS }, (_, n) => `many-${n}@x`);
  await inBatches(names, (eid) => ask(alice, eid, UNILATERAL));
  const refused = await alice.refusal(
    alice.contact({ to: { eid: "many-more@x" }, relationship: UNILATERAL, action: REQUEST }),
  );
  expect(refused).toMatchObject({ code: 409, details: expect.stringContaining(`to.eid: you have ${MAX_CONTACTS}`) });
  const bob = await system.device("many-b@x", "phone", { gateway: 1 });
  expect(
    await bob.refusal(bob.contact({ to: { eid: alice.eid }, relationship: UNILATERAL, action: REQUEST })),
  ).toMatchObject({ code: 409 });
  expect((await list(alice)).size).toBe(MAX_CONTACTS);
  await alice.contactDone({ to: { eid: "many-0@x" }, action: REMOVE });
  await ask(alice, "many-more@x", UNILATERAL);
});

test("a private user's contact is a contact, but sees nothing", async () => {
  const [a, b] = await pair("private");
  await b.phone.visibilityDone(Visibility.PRIVATE);
  await ask(a.phone, b.eid);
  await accept(b.phone, a.eid);
  await b.phone.sees(a.eid, ONLINE);
  await told(a.phone, b.eid, ACCEPT);
  const carol = await system.device("private-c@x", "phone");
  await befriend(carol, a.phone);
  expect(a.phone.presenceOf(b.eid) ?? OFFLINE).toBe(OFFLINE);
  expect(await listed(a.phone, b.eid)).toBe("contact");
});
