// Contacts of a client against a gateway of this process, which knows no rules: what is asked, kept and told.
// Longer than other files: one client over one scripted server, and each case is a few lines of what came and what was told.
import { AwarenessContactSchema, ContactAction } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { ALICE, BOB, next, useClients } from "../../test-kit/clients.js";
import { awarenessOf, bodyFrame, type FakeAwareness } from "../../test-kit/fake-awareness.js";
import type { BimipClient } from "../bimip-client.js";
import type { ContactRequest } from "./contact.js";
import { ContactBook } from "./contact-book.js";

const clients = useClients();
const { REQUEST, ACCEPT, DENY, REMOVE, REMOVED, ERROR, BLOCK, UNBLOCK, LIST } = ContactAction;
const CAROL = "carol";

let fake: FakeAwareness;
let alice: BimipClient;
beforeEach(() => {
  fake = clients.gateway.awareness;
  alice = clients.of(ALICE);
});

/** What came, but for the lists that are asked for. */
const asked = (): number[] => fake.contacts.map(({ action }) => action).filter((action) => action !== LIST);
const lists = (): number => fake.contacts.filter(({ action }) => action === LIST).length;

async function reconnect(): Promise<void> {
  const again = next(alice, "online");
  clients.gateway.drop();
  await again;
  await alice.ping();
}

/** Changes as `action eid state`. */
function changesOf(client: BimipClient): string[] {
  const changes: string[] = [];
  client.on("contact", ({ eid, contact, action }) => {
    expect(client.contacts.get(eid)).toEqual(contact);
    changes.push(`${action} ${eid} ${contact === undefined ? "gone" : contact.blocked ? "blocked" : contact.state}`);
  });
  return changes;
}

describe("what is asked", () => {
  it("is resolved with how one stands then", async () => {
    await alice.connect();
    const contact = await alice.contacts.request(BOB, { details: "it's me", locationPrecisionM: 500 });
    expect(contact).toEqual({
      eid: BOB,
      state: "none",
      follower: false,
      askedByMe: "contact",
      blocked: false,
      relationship: "mutual",
      locationPrecisionM: 500,
      trackingId: expect.any(String),
    });
    expect(fake.contacts.at(-1)).toMatchObject({ action: REQUEST, relationship: 2, details: "it's me" });
    expect(await alice.contacts.request(CAROL, { relationship: "unilateral" })).toMatchObject({ askedByMe: "follow" });
    expect(await alice.contacts.block(CAROL)).toMatchObject({ state: "none", blocked: true });
    await alice.contacts.unblock(CAROL);
    await alice.contacts.remove(BOB);
    expect([...alice.contacts.all()]).toEqual([]);
    expect(asked()).toEqual([REQUEST, REQUEST, BLOCK, UNBLOCK, REMOVE]);
  });

  it("is resolved by the server's word, whatever it is", async () => {
    await alice.connect();
    fake.contactFate = ({ action }) =>
      action === REQUEST
        ? { action: ACCEPT, relationship: 1, from: { eid: BOB }, to: { eid: ALICE }, locationPrecisionM: 7 }
        : "answer";
    const contact = await alice.contacts.request(BOB, { relationship: "unilateral", locationPrecisionM: 30 });
    // What they say of positions is of theirs.
    expect(contact).toMatchObject({ state: "following", follower: false, locationPrecisionM: 30 });
  });

  it("is asked again after a reconnect, with the same id, and where the server asks to try later", async () => {
    await alice.connect();
    const fates: ("ignore" | 503)[] = [503, "ignore"];
    fake.contactFate = ({ action }) => (action === LIST ? "answer" : (fates.shift() ?? "answer"));
    const done = alice.contacts.request(BOB);
    await vi.waitFor(() => expect(asked()).toHaveLength(2));
    clients.gateway.drop();
    expect(await done).toMatchObject({ askedByMe: "contact" });
    const ids = fake.contacts.filter(({ action }) => action === REQUEST).map(({ trackingId }) => trackingId);
    expect([ids.length, new Set(ids).size]).toEqual([3, 1]);
  });

  it("waits for a connection, one about somebody after the other", async () => {
    const turns: string[] = [];
    const block = alice.contacts.block(BOB).then(() => turns.push("block"));
    const unblock = alice.contacts.unblock(BOB).then(() => turns.push("unblock"));
    const fates = [503];
    fake.contactFate = ({ action }) => (action === BLOCK ? (fates.shift() ?? "answer") : "answer");
    await alice.connect();
    await Promise.all([block, unblock]);
    expect([asked(), turns]).toEqual([
      [BLOCK, BLOCK, UNBLOCK],
      ["block", "unblock"],
    ]);
  });

  it("is rejected with what the server answers, by error or by action", async () => {
    await alice.connect();
    fake.contactFate = ({ action }) => (action === LIST ? "answer" : 403);
    await expect(alice.contacts.request(BOB)).rejects.toMatchObject({ name: "BimipError", code: 403 });
    fake.contactFate = ({ action }) =>
      action === LIST ? "answer" : { action: ERROR, to: { eid: BOB }, details: "to.eid: has no request that waits" };
    const nothing = { code: 404, details: "awareness_contact.to.eid: has no request that waits" };
    await expect(alice.contacts.accept(BOB)).rejects.toMatchObject(nothing);
    await expect(alice.contacts.deny(BOB)).rejects.toMatchObject(nothing);
    expect(alice.contacts.all().size).toBe(0);
  });

  it("is done when a denial that was sent again finds nothing to deny", async () => {
    await alice.connect();
    const fates = [
      "ignore",
      { action: ERROR, to: { eid: BOB }, details: "to.eid: has no request that waits" },
    ] as const;
    let at = 0;
    fake.contactFate = ({ action }) => (action === DENY ? (fates[at++] ?? 500) : "answer");
    const denied = alice.contacts.deny(BOB);
    await vi.waitFor(() => expect(asked()).toEqual([DENY]));
    clients.gateway.drop();
    await denied;
    expect(asked()).toEqual([DENY, DENY]);
  });

  it("is rejected when nothing comes, and on close(), what waits for its turn too", async () => {
    const hasty = clients.of(ALICE, { queryTimeoutMs: 50 });
    await hasty.connect();
    fake.contactFate = ({ action }) => (action === LIST ? "answer" : "ignore");
    const details = "awareness_contact: no answer within 50 ms";
    await expect(hasty.contacts.remove(BOB)).rejects.toMatchObject({ code: 408, details });
    await hasty.close();
    await alice.connect();
    const outcomes = Promise.allSettled([alice.contacts.remove(BOB), alice.contacts.block(BOB)]);
    await alice.close();
    const closed = { status: "rejected", reason: { code: 503, details: "the client was closed" } };
    expect(await outcomes).toMatchObject([closed, closed]);
  });

  it("is refused at once by a client that is closed, and asked of one that is connecting", async () => {
    await alice.connect();
    await alice.close();
    const { contacts } = alice;
    const names = ["request", "accept", "deny", "remove", "block", "unblock"] as const;
    const closed = { code: 503, details: "the client is closed" };
    for (const name of names) await expect(contacts[name](BOB)).rejects.toMatchObject(closed);
    await expect(contacts.list()).rejects.toMatchObject(closed);
    const online = alice.connect();
    await contacts.remove(BOB);
    await online;
  });

  it.each<[string, () => Promise<unknown>, string]>([
    ["nobody", () => alice.contacts.block(""), "awareness_contact.to.eid"],
    ["no name", () => alice.contacts.remove("a\nb"), "awareness_contact.to.eid"],
    [
      "a precision",
      () => alice.contacts.accept(BOB, { locationPrecisionM: -2 }),
      "awareness_contact.location_precision_m",
    ],
    [
      "no relationship",
      () => alice.contacts.request(BOB, { relationship: "friend" as "mutual" }),
      "awareness_contact.relationship",
    ],
  ])("refuses %s", async (_what, call, field) => {
    await expect(call()).rejects.toMatchObject({ code: 422, field });
    expect(fake.contacts).toEqual([]);
  });
});

describe("the list", () => {
  beforeEach(() => {
    fake.lists.set(ALICE, [
      { eid: BOB, words: "contact", precisionM: 100 },
      { eid: CAROL, words: "follower" },
    ]);
  });

  it("is loaded once somebody wants it, on each connection", async () => {
    await alice.connect();
    await alice.ping();
    expect([lists(), alice.contacts.live]).toEqual([0, false]);
    expect(alice.contacts.all().size).toBe(0);
    await vi.waitFor(() => expect(alice.contacts.live).toBe(true));
    expect(alice.contacts.get(BOB)).toMatchObject({ state: "contact", locationPrecisionM: 100 });
    await reconnect();
    await vi.waitFor(() => expect(alice.contacts.live).toBe(true));
    expect(lists()).toBe(2);
    await alice.close();
    expect([alice.contacts.live, alice.contacts.get(CAROL)?.follower]).toEqual([false, true]);
  });

  it("is loaded for a handler, which is told the differences", async () => {
    const changes = changesOf(alice);
    await alice.connect();
    await vi.waitFor(() => expect(changes).toEqual([`list ${BOB} contact`, `list ${CAROL} none`]));
    fake.lists.set(ALICE, [
      { eid: BOB, words: "contact", precisionM: 100 },
      { eid: "dave", words: "blocked" },
    ]);
    await reconnect();
    await vi.waitFor(() => expect(changes.slice(2)).toEqual([`list ${CAROL} gone`, "list dave blocked"]));
  });

  it("is kept in step by what happens, on other devices too", async () => {
    const changes = changesOf(alice);
    await alice.connect();
    await vi.waitFor(() => expect(changes).toHaveLength(2));
    fake.tellContact(ALICE, { action: REMOVED, from: { eid: BOB }, to: { eid: ALICE } });
    fake.tellContact(ALICE, {
      action: BLOCK,
      from: { eid: ALICE, connectionResourceId: "phone" },
      to: { eid: "dave" },
    });
    fake.tellContact(ALICE, { action: REQUEST, relationship: 2, from: { eid: CAROL }, to: { eid: ALICE } });
    fake.tellContact(ALICE, { action: REQUEST, relationship: 2, from: { eid: CAROL }, to: { eid: ALICE } });
    fake.tellContact(ALICE, { action: 77, from: { eid: CAROL }, to: { eid: ALICE } });
    await alice.ping();
    expect(changes.slice(2)).toEqual([`removed ${BOB} gone`, "block dave blocked", `request ${CAROL} none`]);
    expect(alice.contacts.get(CAROL)).toMatchObject({ follower: true, askedByThem: "contact" });
  });

  it("is asked for by list(), and again after a reconnect from its beginning", async () => {
    const bob = { to: { eid: BOB }, action: LIST, details: "contact" };
    await alice.connect();
    fake.contactFate = () => bob;
    const listed = alice.contacts.list();
    await vi.waitFor(() => expect(lists()).toBe(1));
    await alice.ping();
    fake.contactFate = () => "answer";
    // What comes meanwhile may be in the list, or not.
    fake.tellContact(ALICE, { action: REMOVED, from: { eid: BOB }, to: { eid: ALICE } });
    clients.gateway.drop();
    expect((await listed).map(({ eid }) => eid)).toEqual([BOB, CAROL]);
    fake.contactFate = () => bob;
    const again = alice.contacts.list();
    await vi.waitFor(() => expect(lists()).toBe(3));
    fake.tellContact(ALICE, { action: REMOVED, from: { eid: BOB }, to: { eid: ALICE } });
    fake.tellContact(ALICE, {
      action: LIST,
      from: { eid: ALICE },
      to: {},
      trackingId: fake.contacts.at(-1)?.trackingId ?? "",
    });
    expect(await again).toEqual([]);
  });

  it("is loaded anew when the server makes good what it missed, one at a time", async () => {
    await alice.connect();
    clients.gateway.broadcast(bodyFrame([]));
    await alice.ping();
    expect(lists()).toBe(0);
    await alice.contacts.list();
    fake.lists.set(ALICE, [{ eid: BOB, words: "contact" }]);
    fake.contactFate = () => "ignore";
    clients.gateway.broadcast(bodyFrame([]));
    await vi.waitFor(() => expect(lists()).toBe(2));
    expect(alice.contacts.live).toBe(false);
    clients.gateway.broadcast(bodyFrame([]));
    clients.gateway.broadcast(bodyFrame([awarenessOf(BOB, { status: 1 })], 2));
    clients.gateway.broadcast(bodyFrame([]));
    await alice.ping();
    expect(lists()).toBe(2);
    fake.contactFate = () => "answer";
    const { trackingId = "" } = fake.contacts.at(-1) ?? {};
    fake.tellContact(ALICE, { action: LIST, from: { eid: ALICE }, to: {}, trackingId });
    await vi.waitFor(() => expect(alice.contacts.live).toBe(true));
    expect([lists(), [...alice.contacts.all().keys()]]).toEqual([3, [BOB]]);
  });

  it("keeps nothing of what happens once it will not come", async () => {
    const end = vi.spyOn(ContactBook.prototype, "endList");
    fake.contactFate = () => 501;
    await alice.connect();
    await expect(alice.contacts.list()).rejects.toMatchObject({ code: 501 });
    expect(end).toHaveBeenCalledOnce();
    const book = new ContactBook(() => undefined);
    const request = create(AwarenessContactSchema, { action: REQUEST, relationship: 2 });
    book.expectList();
    book.endList();
    book.take({ eid: BOB, action: "request", byMe: true, stanza: request });
    book.replace([]);
    expect(book.all.size).toBe(0);
  });

  it("takes how exactly they may know where one is from what another device said", async () => {
    await alice.connect();
    await alice.contacts.list();
    const phone = { eid: ALICE, connectionResourceId: "phone" };
    fake.tellContact(ALICE, { action: ACCEPT, relationship: 2, from: phone, to: { eid: BOB }, locationPrecisionM: 7 });
    fake.tellContact(ALICE, {
      action: REQUEST,
      relationship: 1,
      from: phone,
      to: { eid: CAROL },
      locationPrecisionM: 8,
    });
    await alice.ping();
    expect(["contact", "none"]).toEqual([BOB, CAROL].map((eid) => alice.contacts.get(eid)?.state));
    expect([7, 8]).toEqual([BOB, CAROL].map((eid) => alice.contacts.get(eid)?.locationPrecisionM));
    // Asked to follow: that is accepted now, and says what they let us know.
    fake.tellContact(ALICE, { action: ACCEPT, relationship: 1, from: { eid: CAROL }, locationPrecisionM: 99 });
    await alice.ping();
    expect([lists(), alice.contacts.get(CAROL)?.locationPrecisionM]).toEqual([1, 8]);
    // Nothing was asked that we know of: the phone asked for what it has, and let them know more.
    fake.lists.set(ALICE, [{ eid: CAROL, words: "following follower", precisionM: 3 }]);
    fake.tellContact(ALICE, { action: ACCEPT, relationship: 1, from: { eid: CAROL }, locationPrecisionM: 99 });
    await vi.waitFor(() => expect(alice.contacts.get(CAROL)?.locationPrecisionM).toBe(3));
    expect(lists()).toBe(2);
  });

  it("is tried again until it comes; what will not pass is told once", async () => {
    const hasty = clients.of(ALICE, { queryTimeoutMs: 50 });
    const errors: number[] = [];
    hasty.on("error", ({ code }) => errors.push(code));
    fake.contactFate = () => "ignore";
    hasty.contacts.all();
    await hasty.connect();
    await vi.waitFor(() => expect(errors).toContain(408));
    fake.contactFate = () => "answer";
    await vi.waitFor(() => expect(hasty.contacts.live).toBe(true));
    await hasty.close();
    fake.contactFate = () => 501;
    errors.length = 0;
    await hasty.connect();
    await vi.waitFor(() => expect(errors).toEqual([501]));
    await hasty.ping();
    expect(errors).toEqual([501]);
    await expect(hasty.contacts.list()).rejects.toMatchObject({ code: 501 });
  });
});

describe("requests of others", () => {
  const requestOf = (eid: string, trackingId: string, relationship = 2) => ({
    from: { eid },
    to: { eid: ALICE },
    action: REQUEST,
    relationship,
    trackingId,
    details: "it's me",
    timestamp: 5n,
  });
  const waiting = (...requests: [eid: string, trackingId: string, relationship?: number][]): void => {
    const stanzas = requests.map((request) => create(AwarenessContactSchema, requestOf(...request)));
    fake.requests.set(ALICE, stanzas);
  };
  const requestsOf = (client: BimipClient): ContactRequest[] => {
    const requests: ContactRequest[] = [];
    client.on("contactRequest", (request) => requests.push(request));
    return requests;
  };

  it("are told once each, though they are repeated on each connection", async () => {
    waiting([BOB, "t1"], [CAROL, "t2", 1]);
    const requests = requestsOf(alice);
    await alice.connect();
    await alice.ping();
    expect(requests).toMatchObject([
      { eid: BOB, relationship: "mutual", details: "it's me", at: new Date(5) },
      { eid: CAROL, relationship: "unilateral" },
    ]);
    waiting([BOB, "t1"], [CAROL, "t2", 1], ["dave", ""]);
    await reconnect();
    await reconnect();
    expect(requests.map(({ eid }) => eid)).toEqual([BOB, CAROL, "dave"]);
    expect(lists()).toBe(0);
  });

  it("wait for somebody to listen", async () => {
    waiting([BOB, "t1"]);
    await alice.connect();
    await alice.ping();
    const requests = requestsOf(alice);
    await vi.waitFor(() => expect(requests).toHaveLength(1));
  });

  it("are not told when they may have been answered elsewhere meanwhile, unless they wait nevertheless", async () => {
    waiting([BOB, "t1"], [CAROL, "t2"]);
    await alice.connect();
    await alice.ping();
    waiting([CAROL, "t2"]);
    fake.lists.set(ALICE, [
      { eid: BOB, words: "contact" },
      { eid: CAROL, words: "asks-contact" },
    ]);
    await reconnect();
    const requests = requestsOf(alice);
    await vi.waitFor(() => expect(alice.contacts.live).toBe(true));
    expect(requests.map(({ eid }) => eid)).toEqual([CAROL]);
  });

  it("are looked up in the list when the server missed something", async () => {
    waiting([BOB, "t1"], [CAROL, "t2"]);
    await alice.connect();
    await alice.ping();
    fake.lists.set(ALICE, [{ eid: CAROL, words: "asks-contact" }]);
    clients.gateway.broadcast(bodyFrame([]));
    await alice.ping();
    const requests = requestsOf(alice);
    await vi.waitFor(() => expect(requests.map(({ eid }) => eid)).toEqual([CAROL]));
    expect(lists()).toBe(1);
  });

  it("are answered under their id, which their repetition is not taken for", async () => {
    waiting([BOB, "t1"], [CAROL, "t2"]);
    const requests = requestsOf(alice);
    await alice.connect();
    await alice.ping();
    const fates = ["ignore"] as const;
    let ignored = 0;
    fake.contactFate = ({ action }) => (action === LIST ? "answer" : (fates[ignored++] ?? "answer"));
    const accepted = requests[0]?.accept({ locationPrecisionM: -1 });
    await vi.waitFor(() => expect(asked()).toEqual([ACCEPT]));
    clients.gateway.drop();
    await accepted;
    await requests[1]?.deny();
    const answers = fake.contacts.filter(({ action }) => action !== LIST);
    expect(answers.map(({ action, trackingId, to }) => [action, trackingId, to?.eid])).toEqual([
      [ACCEPT, "t1", BOB],
      [ACCEPT, "t1", BOB],
      [DENY, "t2", CAROL],
    ]);
  });

  it("are told anew when they are asked anew", async () => {
    const requests = requestsOf(alice);
    await alice.connect();
    fake.tellContact(ALICE, requestOf(BOB, "t1", 1));
    fake.tellContact(ALICE, requestOf(BOB, "t1", 2));
    await alice.ping();
    expect(requests.map(({ relationship }) => relationship)).toEqual(["unilateral", "mutual"]);
    fake.tellContact(ALICE, { action: REMOVED, from: { eid: BOB } });
    fake.tellContact(ALICE, requestOf(BOB, "t1", 2));
    await alice.ping();
    expect(requests).toHaveLength(3);
    // Their accepting my request leaves theirs open.
    fake.tellContact(ALICE, { action: ACCEPT, relationship: 1, from: { eid: BOB } });
    fake.tellContact(ALICE, requestOf(BOB, "t1", 2));
    await alice.ping();
    expect(requests).toHaveLength(3);
  });
});
