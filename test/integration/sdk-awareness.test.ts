// Presence and contacts of the SDK against the real services: what the fake gateway of the unit tests, which knows no rules,
// cannot show.
import { type BimipClient, type ClientOptions, type Contact, type ContactRequest, createClient } from "@bimip/client";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createRandom } from "../chaos/random.js";
import { startTcpProxy, type TcpProxy } from "../chaos/tcp-proxy.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";

const GRACE_MS = 400;

let system: System;
/** To the first gateway; its connections can be cut. */
let line: TcpProxy;
const clients: BimipClient[] = [];

beforeAll(async () => {
  system = await startSystem({ gateways: 2, awareness: 2, env: { BIMIP_OFFLINE_GRACE_MS: String(GRACE_MS) } });
  line = await startTcpProxy(() => Number(new URL(system.urls[0] ?? "").port));
});
afterEach(async () => {
  line.heal();
  await Promise.all(clients.splice(0).map((client) => client.close()));
});
afterAll(async () => {
  await line.close();
  await system.stop();
});

interface Via {
  readonly device?: string;
  /** Default: the second one. line: the first one, on a line that can be cut. */
  readonly gateway?: 0 | 1 | "line";
}

/** Connected, with its snapshot. */
async function connected(eid: string, { device = "phone", gateway = 1 }: Via = {}): Promise<BimipClient> {
  const client = await clientOf(eid, { device, gateway });
  await client.connect();
  await eventually("a snapshot", () => client.presence.live);
  return client;
}

async function clientOf(
  eid: string,
  { device = "phone", gateway = 1, ...options }: Via & Omit<Partial<ClientOptions>, "device"> = {},
): Promise<BimipClient> {
  const url = gateway === "line" ? `ws://127.0.0.1:${line.port}/v1/ws` : (system.urls[gateway] ?? "");
  const token = await system.token(eid, device);
  const client = createClient({
    url,
    token,
    eid,
    receive: false,
    reconnect: { minDelayMs: 20, maxDelayMs: 200 },
    ...options,
  });
  clients.push(client);
  return client;
}

const changesOf = (client: BimipClient): string[] => {
  const changes: string[] = [];
  client.on("presence", ({ eid, presence }) => {
    const custom = presence?.custom === undefined ? "" : ` ${presence.custom.status}`;
    changes.push(`${eid} ${presence?.status ?? "unknown"}${custom}`);
  });
  return changes;
};

async function befriend(one: BimipClient, other: BimipClient, oneEid: string, otherEid: string): Promise<void> {
  await one.contacts.request(otherEid);
  await other.contacts.accept(oneEid);
  await eventually("they see each other", () => one.presence.get(otherEid) && other.presence.get(oneEid));
}

/** All connections on the line end; resolves when these clients know. They are back soon, perhaps before others know. */
async function interrupted(...known: readonly BimipClient[]): Promise<void> {
  const offline = known.map(
    (client) => new Promise<void>((resolve) => client.on("state", (state) => state === "offline" && resolve())),
  );
  line.reset();
  await Promise.all(offline);
}

async function back(client: BimipClient): Promise<void> {
  await eventually("back", () => client.state === "online" && client.presence.live);
}

test("presence, words, a status, last seen", async () => {
  const [ann, bob] = [await connected("a1"), await connected("b1", { gateway: 0 })];
  await befriend(ann, bob, "a1", "b1");
  const changes = changesOf(ann);
  bob.presence.set("busy", { details: "writing" });
  await eventually("busy", () => ann.presence.get("b1")?.details === "writing");
  bob.presence.setStatus(20, { details: "at sea", ttlS: 3_600 });
  await eventually("a status", () => ann.presence.get("b1")?.custom?.status === 20);
  expect(ann.presence.get("b1")).toMatchObject({
    status: "busy",
    custom: { details: "at sea", until: expect.any(Date) },
  });
  // What stays is the presence.
  bob.presence.clearStatus();
  await eventually("no status", () => ann.presence.get("b1")?.custom === undefined);
  await eventually("busy again", () => ann.presence.get("b1")?.status === "busy");
  const before = Date.now();
  await bob.close();
  await eventually("offline", () => ann.presence.get("b1")?.status === "offline");
  const lastSeen = ann.presence.get("b1")?.lastSeen?.getTime() ?? 0;
  expect(Math.abs(lastSeen - before)).toBeLessThan(5_000);
  expect(changes[0]).toBe("b1 busy");
  expect(changes.at(-1)).toBe("b1 offline");
});

test("what was set before connect is shown, and again after the line was cut; whoever watched is told nothing else", async () => {
  const ann = await connected("a2", { gateway: "line" });
  const bob = await clientOf("b2", { gateway: "line" });
  bob.presence.set("away", { details: "lunch" });
  bob.presence.setStatus(21, { details: "hungry" });
  await bob.connect();
  await befriend(ann, bob, "a2", "b2");
  const carol = await connected("c2");
  await befriend(ann, carol, "a2", "c2");
  const isAsSet = (): boolean => {
    const presence = ann.presence.get("b2");
    return presence?.status === "away" && presence.details === "lunch" && presence.custom?.status === 21;
  };
  await eventually("as it was set", isAsSet);
  const changes = changesOf(ann);
  line.cut();
  await eventually("cut", () => ann.state !== "online" && bob.state !== "online");
  expect([ann.presence.live, ann.presence.get("b2")?.status]).toEqual([false, "away"]);
  carol.presence.set("dnd");
  await carol.ping();
  line.heal();
  await Promise.all([back(ann), back(bob)]);
  await eventually("as it was set", () => isAsSet() && ann.presence.get("c2")?.status === "dnd");
  // Of Bob perhaps that he came back, ONLINE as each connection begins, or that he was away for longer than the grace period.
  expect(changes.filter((change) => change.startsWith("c2"))).toEqual(["c2 dnd"]);
});

test("a client that was away for a while is told what differs, and nothing twice", async () => {
  const ann = await connected("a3", { gateway: "line" });
  const [bob, carol, dave] = [await connected("b3"), await connected("c3"), await connected("d3")];
  for (const [client, eid] of [
    [bob, "b3"],
    [carol, "c3"],
    [dave, "d3"],
  ] as const)
    await befriend(ann, client, "a3", eid);
  bob.presence.setStatus(30, { ttlS: 3_600 });
  await eventually("a status", () => ann.presence.get("b3")?.custom?.status === 30);
  const changes = changesOf(ann);
  line.cut();
  await eventually("cut", () => ann.state !== "online");
  await carol.contacts.remove("a3");
  await dave.close();
  const watch = await connected("w3");
  await befriend(watch, bob, "w3", "b3");
  line.heal();
  await back(ann);
  await eventually("dave went", () => ann.presence.get("d3")?.status === "offline");
  expect(changes.toSorted()).toEqual(["c3 unknown", "d3 offline"]);
});

test("a ttl ends on both sides; what is for one alone reaches nobody else", async () => {
  const [ann, bob, carol] = [await connected("a4"), await connected("b4", { gateway: 0 }), await connected("c4")];
  await befriend(ann, bob, "a4", "b4");
  await befriend(carol, bob, "c4", "b4");
  const ofCarol = changesOf(carol);
  bob.presence.set("dnd", { to: "a4", ttlS: 1 });
  await eventually("dnd for one", () => ann.presence.get("b4")?.status === "dnd");
  await eventually("over", () => ann.presence.get("b4")?.status === "online");
  bob.presence.setStatus(25, { ttlS: 1 });
  await eventually("a status", () => carol.presence.get("b4")?.custom?.status === 25);
  await eventually("over", () => carol.presence.get("b4")?.custom === undefined);
  expect(ofCarol).toEqual(["b4 online 25", "b4 online"]);
  const refused: unknown[] = [];
  bob.on("error", ({ code, details }) => refused.push([code, details]));
  bob.presence.set("away", { to: "nobody" });
  await eventually("refused", () => refused.length > 0);
  expect(refused).toEqual([[403, expect.stringMatching(/^awareness\.to\.eid: /)]]);
});

test("one's other devices know the status, whichever set it", async () => {
  const [phone, laptop] = [await connected("a5"), await connected("a5", { device: "laptop", gateway: "line" })];
  phone.presence.setStatus(40, { details: "x" });
  await eventually("told", () => laptop.presence.get("a5")?.custom?.status === 40);
  await interrupted(laptop);
  laptop.presence.setStatus(41);
  await back(laptop);
  await eventually("told", () => phone.presence.get("a5")?.custom?.status === 41);
  // Beside the first snapshot, which may not know of it.
  expect(laptop.presence.get("a5")?.custom?.status).toBe(41);
  phone.presence.set("online");
  await eventually("ended", () => laptop.presence.get("a5")?.custom === undefined);
  const tablet = await connected("a5", { device: "tablet" });
  expect(tablet.presence.get("a5")).toBeUndefined();
});

test("a device that comes back leaves the status that another one set meanwhile, whatever it says of itself", async () => {
  const ann = await connected("a11");
  const [laptop, phone] = [
    await connected("b11", { device: "laptop", gateway: "line" }),
    await connected("b11", { gateway: 0 }),
  ];
  await befriend(ann, phone, "a11", "b11");
  laptop.presence.set("online", { details: "at my desk" });
  laptop.presence.setStatus(40);
  await eventually("told", () => ann.presence.get("b11")?.custom?.status === 40);
  line.cut();
  await eventually("cut", () => laptop.state !== "online");
  phone.presence.setStatus(41, { details: "on the way" });
  await eventually("told", () => ann.presence.get("b11")?.custom?.status === 41);
  line.heal();
  await back(laptop);
  expect(laptop.presence.get("b11")?.custom?.status).toBe(41);
  await laptop.ping();
  const isAsSaid = (client: BimipClient): boolean => {
    const presence = client.presence.get("b11");
    return presence?.details === "at my desk" && presence.custom?.details === "on the way";
  };
  await eventually("both hold", () => isAsSaid(ann) && isAsSaid(phone));
  const tablet = await connected("b11", { device: "tablet" });
  expect(tablet.presence.get("b11")?.custom).toMatchObject({ status: 41, details: "on the way" });
});

test("the last of two visibilities that are asked for wins", async () => {
  const [ann, bob] = [await connected("a12"), await connected("b12", { gateway: "line" })];
  await befriend(ann, bob, "a12", "b12");
  line.cut();
  await eventually("cut", () => bob.state !== "online");
  const both = [bob.presence.setVisibility("public"), bob.presence.setVisibility("private")];
  line.heal();
  await Promise.all(both);
  await eventually("hidden", () => ann.presence.get("b12")?.status === "offline");
});

test("visibility is confirmed, told to one's devices, and hides", async () => {
  const [ann, bob] = [await connected("a6"), await connected("b6", { gateway: "line" })];
  await befriend(ann, bob, "a6", "b6");
  const tablet = await connected("b6", { device: "tablet", gateway: 0 });
  const told: string[] = [];
  bob.on("visibility", (visibility) => told.push(`phone ${visibility}`));
  tablet.on("visibility", (visibility) => told.push(`tablet ${visibility}`));
  // Asked for while there is no connection.
  line.cut();
  await eventually("cut", () => bob.state !== "online");
  const done = bob.presence.setVisibility("private");
  line.heal();
  await done;
  await eventually("hidden", () => ann.presence.get("b6")?.status === "offline");
  await eventually("told", () => told.includes("tablet private") && told.includes("phone private"));
  await tablet.presence.setVisibility("contacts");
  await eventually("seen", () => ann.presence.get("b6")?.status === "online");
});

test("positions, as exactly as each may know", async () => {
  const [ann, bob, carol] = [await connected("a7"), await connected("b7", { gateway: 0 }), await connected("c7")];
  await bob.contacts.request("a7", { locationPrecisionM: 10_000 });
  await ann.contacts.accept("b7");
  await befriend(bob, carol, "b7", "c7");
  const places: number[] = [];
  ann.on("location", ({ eid, latitude }) => eid === "b7" && places.push(latitude));
  await eventually("seen", () => ann.presence.get("b7"));
  bob.presence.shareLocation({ latitude: 48.123_456, longitude: 11.5 });
  await eventually("exact", () => carol.presence.get("b7")?.location?.latitude === 48.123_456);
  await eventually("coarse", () => places.length > 0);
  expect(ann.presence.get("b7")?.location?.latitude).toBe(places[0]);
  expect(places[0]).not.toBe(48.123_456);
  expect(Math.abs((places[0] ?? 0) - 48.123_456)).toBeLessThan(0.1);
  bob.presence.set("away", { location: { latitude: 49, longitude: 12 } });
  await eventually("with the presence", () => carol.presence.get("b7")?.location?.latitude === 49);
  expect(carol.presence.get("b7")?.status).toBe("away");
});

test("a request waits for who is absent, is told once per client, and answered from there", async () => {
  const ann = await connected("a8", { gateway: "line" });
  const asked = await ann.contacts.request("b8", { details: "it's Ann" });
  expect(asked).toMatchObject({ state: "none", askedByMe: "contact", relationship: "mutual" });
  await ann.contacts.request("b8", { details: "it's Ann" });
  const bob = await clientOf("b8", { gateway: "line" });
  const requests: ContactRequest[] = [];
  bob.on("contactRequest", (request) => requests.push(request));
  await bob.connect();
  await eventually("told", () => requests.length > 0);
  await interrupted(bob, ann);
  await Promise.all([back(bob), back(ann)]);
  await bob.ping();
  expect(requests).toMatchObject([{ eid: "a8", relationship: "mutual", details: "it's Ann" }]);
  const accepted = await requests[0]?.accept();
  expect(accepted).toMatchObject({ eid: "a8", state: "contact" });
  await eventually("told", () => ann.contacts.get("b8")?.state === "contact");
  await eventually("they see each other", () => ann.presence.get("b8")?.status === "online");
  await expect(requests[0]?.deny()).rejects.toMatchObject({
    code: 404,
    details: expect.stringContaining("no request"),
  });
});

test("one's other devices know how exactly somebody may know where one is, if nothing else changes", async () => {
  const [phone, laptop] = [await connected("a13"), await connected("a13", { device: "laptop", gateway: 0 })];
  const [bob, carol] = [await connected("b13"), await connected("c13", { gateway: 0 })];
  await laptop.contacts.list();
  await befriend(phone, bob, "a13", "b13");
  await phone.contacts.request("c13", { relationship: "unilateral", locationPrecisionM: 5 });
  await carol.contacts.accept("a13", { locationPrecisionM: 99 });
  const knows = (eid: string, precisionM: number) =>
    eventually(
      () => `${precisionM} m, not ${laptop.contacts.get(eid)?.locationPrecisionM}`,
      () => laptop.contacts.live && laptop.contacts.get(eid)?.locationPrecisionM === precisionM,
    );
  await knows("c13", 5);
  await phone.contacts.request("b13", { locationPrecisionM: 10 });
  await knows("b13", 10);
  await phone.contacts.accept("b13", { locationPrecisionM: 20 });
  await knows("b13", 20);
  // The answer to this is Carol's word, and says what she lets Ann know.
  await phone.contacts.request("c13", { relationship: "unilateral", locationPrecisionM: 6 });
  await knows("c13", 6);
});

test("a block refuses messages with words that say so", async () => {
  const [ann, bob] = [await connected("a9"), await connected("b9", { gateway: 0 })];
  await befriend(ann, bob, "a9", "b9");
  expect(await bob.contacts.block("a9")).toMatchObject({ state: "none", blocked: true });
  await eventually("refused", async () => {
    const sent = ann.send({ to: "b9", text: "x" });
    return sent.then(
      () => false,
      ({ code }: { code: number }) => code === 403,
    );
  });
  await expect(ann.contacts.request("b9")).rejects.toMatchObject({ code: 403 });
  await expect(bob.contacts.request("a9")).rejects.toMatchObject({
    code: 409,
    details: expect.stringContaining("unblock"),
  });
  await eventually("gone", () => ann.contacts.get("b9") === undefined);
  await eventually("unseen", () => (ann.presence.get("b9")?.status ?? "offline") === "offline");
  await bob.contacts.unblock("a9");
  await eventually("delivered", () => ann.send({ to: "b9", text: "y" }));
});

test("whatever two do, on a line that breaks, what each knows is what the server lists", async () => {
  const random = createRandom(7);
  const ann = await connected("a10", { gateway: "line" });
  const tablet = await connected("a10", { device: "tablet", gateway: 0 });
  const bob = await connected("b10");
  const others = new Map([
    [ann, "b10"],
    [bob, "a10"],
  ]);
  const watched = [
    [ann, await connected("a10", { device: "lister" }), "b10"],
    [tablet, await connected("a10", { device: "lister 2" }), "b10"],
    [bob, await connected("b10", { device: "lister" }), "a10"],
  ] as const;
  for (const client of [ann, tablet, bob]) await client.contacts.list();
  const actions = [
    (client: BimipClient, eid: string) => client.contacts.request(eid, { locationPrecisionM: 10 }),
    (client: BimipClient, eid: string) => client.contacts.request(eid, { relationship: "unilateral" }),
    (client: BimipClient, eid: string) => client.contacts.accept(eid, { locationPrecisionM: 20 }),
    (client: BimipClient, eid: string) => client.contacts.deny(eid),
    (client: BimipClient, eid: string) => client.contacts.remove(eid),
    (client: BimipClient, eid: string) => client.contacts.block(eid),
    (client: BimipClient, eid: string) => client.contacts.unblock(eid),
  ];
  let done = 0;
  for (let round = 0; round < 60; round++) {
    const [client, eid] = random.pick([...others]);
    // Requests and their answers are what most of it is about.
    const action = random.pick([...actions.slice(0, 3), ...actions.slice(0, 4), ...actions]);
    const outcome = action(client, eid).then(
      () => done++,
      ({ code }: { code: number }) => expect([403, 404, 409]).toContain(code),
    );
    if (random.next() < 0.2) line.reset();
    await outcome;
    await back(ann);
    for (const [who, lister, peer] of watched) {
      // Asked by another device: the list would put in step whoever asks.
      const contact = (await lister.contacts.list()).find(({ eid }) => eid === peer);
      await eventually(
        () => `in step: ${whole(contact)}, not ${whole(who.contacts.get(peer))}`,
        () => who.contacts.live && whole(who.contacts.get(peer)) === whole(contact),
      );
    }
  }
  expect(done).toBeGreaterThan(10);
});

function whole(contact: Contact | undefined): string {
  if (contact === undefined) return "nothing";
  const { trackingId: _trackingId, ...rest } = contact;
  return JSON.stringify(rest);
}
