// Who may see whom, as a table: relation × visibility × block × state of the seen's devices × to everybody or to one. For each
// cell what the viewer is shown live, what a later snapshot holds, and how a directed one is answered. The expected values
// come from the specification's "Who may see" as it is restated here, not from the implementation.
import { AwarenessStatus, AwarenessType, ContactRelationship, Visibility } from "@bimip/protocol";
import { afterAll, beforeAll, expect, test } from "vitest";
import { accept, ask, befriend, block } from "../kit/contacts.js";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { startSystem, type System } from "../kit/system.js";
import { inBatches } from "../load/crowd.js";

const { ONLINE, OFFLINE, AWAY, BUSY, DND } = AwarenessStatus;
const { UNILATERAL, MUTUAL } = ContactRelationship;
/** Long enough for a third of the viewers to connect within. */
const GRACE_MS = 6_000;
const BATCH = 18;
/** A free number for what is sent to one user alone. */
const DIRECTED = 4_242;

const RELATIONS = ["none", "asked to follow", "follows", "asked to be a contact", "contact", "is followed"] as const;
const VISIBILITIES = { public: Visibility.PUBLIC, contacts: Visibility.CONTACTS, private: Visibility.PRIVATE } as const;
const BLOCKS = ["no block", "blocked by the seen", "blocked by the viewer"] as const;
const STATES = ["offline", "one device", "two devices", "in grace"] as const;

type Relation = (typeof RELATIONS)[number];
type VisibilityName = keyof typeof VISIBILITIES;
type Block = (typeof BLOCKS)[number];
type State = (typeof STATES)[number];

/** "public: contacts and any follower; contacts: only accepted ones …; private: nobody." */
const SEES: Record<VisibilityName, readonly Relation[]> = {
  public: ["contact", "follows", "asked to follow"],
  contacts: ["contact", "follows"],
  private: [],
};

/** What each state of the devices looks like to one who may see: what is told in turn, and what a snapshot holds then. */
const LOOKS: Record<State, { readonly live: readonly number[]; readonly now: number }> = {
  offline: { live: [OFFLINE], now: OFFLINE },
  "one device": { live: [OFFLINE, ONLINE, DND], now: DND },
  // The most present of the two: BUSY before AWAY.
  "two devices": { live: [OFFLINE, ONLINE, BUSY], now: BUSY },
  "in grace": { live: [OFFLINE, ONLINE], now: ONLINE },
};

/** "A block overrides, in both directions." */
function maySee(relation: Relation, visibility: VisibilityName, blocked: Block): boolean {
  return blocked === "no block" && SEES[visibility].includes(relation);
}

/** The viewers are visible to contacts, the default: whom the seen may see. */
function seenMaySee(relation: Relation, blocked: Block): boolean {
  return blocked === "no block" && (relation === "contact" || relation === "is followed");
}

interface Viewer {
  readonly relation: Relation;
  readonly blocked: Block;
  readonly seen: Seen;
  readonly device: Device;
  readonly may: boolean;
  readonly name: string;
}

interface Seen {
  readonly eid: string;
  readonly state: State;
  readonly visibility: VisibilityName;
  /** The first of them while relations are made; then those of its state. */
  devices: Device[];
}

let system: System;
/** A contact of every viewer: what it says last shows that what was said before has come, or never does. */
let beacon: Device;
const seenUsers: Seen[] = [];
const viewers: Viewer[] = [];

beforeAll(async () => {
  system = await startSystem({ gateways: 2, env: { BIMIP_OFFLINE_GRACE_MS: String(GRACE_MS) } });
  beacon = await system.device("beacon@see", "phone");
});
afterAll(() => system.stop());

const someAtATime = <T>(items: readonly T[], work: (item: T, at: number) => Promise<unknown>): Promise<unknown[]> =>
  inBatches(items, work, BATCH);

async function relate(relation: Relation, viewer: Device, seen: Device): Promise<void> {
  const relationship = relation === "asked to follow" || relation === "follows" ? UNILATERAL : MUTUAL;
  if (relation === "none") return;
  if (relation === "is followed") {
    await ask(seen, viewer.eid, UNILATERAL);
    return accept(viewer, seen.eid, UNILATERAL);
  }
  await ask(viewer, seen.eid, relationship);
  if (relation === "follows" || relation === "contact") await accept(seen, viewer.eid, relationship);
}

async function makeViewer(seen: Seen, relation: Relation, blocked: Block, gateway: number): Promise<Viewer> {
  const name = [relation, seen.visibility, blocked, seen.state].join(", ");
  const eid = `viewer ${viewers.length + gateway} of ${seen.eid} ${relation} ${blocked}`;
  const device = await system.device(eid, "phone", { gateway: gateway % 2 });
  const seenDevice = seen.devices[0] as Device;
  await relate(relation, device, seenDevice);
  if (blocked === "blocked by the seen") await block(seenDevice, eid);
  if (blocked === "blocked by the viewer") await block(device, seen.eid);
  await befriend(device, beacon);
  return { relation, blocked, seen, device, name, may: maySee(relation, seen.visibility, blocked) };
}

/** All that was said before is with the viewers now, or never comes. */
async function beaconSays(details: string): Promise<void> {
  beacon.awareness({ status: ONLINE, details });
  await eventually(`the beacon's ${details}`, () =>
    viewers.every(({ device }) => device.picture.of(beacon.eid)?.details === details),
  );
}

const among = (states: readonly State[]): Seen[] => seenUsers.filter(({ state }) => states.includes(state));
const viewersOf = (states: readonly State[]): Viewer[] => viewers.filter(({ seen }) => states.includes(seen.state));
const directedTo = (device: Device, id: string) => device.picture.directed.filter((one) => one.id === id);

test("relations, settings and blocks are made", async () => {
  for (const state of STATES) {
    for (const visibility of Object.keys(VISIBILITIES) as VisibilityName[]) {
      const eid = `seen ${state} ${visibility}`;
      seenUsers.push({ eid, state, visibility, devices: [await system.device(eid, "phone")] });
    }
  }
  await someAtATime(seenUsers, ({ devices: [device], visibility }) =>
    (device as Device).visibilityDone(VISIBILITIES[visibility]),
  );
  const cells = seenUsers.flatMap((seen) =>
    RELATIONS.flatMap((relation) => BLOCKS.map((blocked) => ({ seen, relation, blocked }))),
  );
  await someAtATime(cells, async ({ seen, relation, blocked }, at) => {
    viewers.push(await makeViewer(seen, relation, blocked, at));
  });
  expect(viewers).toHaveLength(STATES.length * 3 * RELATIONS.length * BLOCKS.length);
  // Of the 216, those that the sentence names: 3 × public and 2 × contacts, without a block, in each state.
  expect(viewers.filter(({ may }) => may)).toHaveLength(STATES.length * 5);
  await someAtATime(seenUsers, async (seen) => {
    await seen.devices[0]?.close();
    seen.devices = [];
  });
});

test("live: what those who may see are shown when devices come, say something and go; the others nothing", async () => {
  await someAtATime(viewersOf(STATES), async ({ device, seen, may, name }) => {
    await eventually(`offline: ${name}`, () => !may || device.presenceOf(seen.eid) === OFFLINE);
  });
  // From here on, with the OFFLINE of those who were shown it.
  const before = new Map(viewers.map(({ device }) => [device, device.picture.told.length]));
  await someAtATime(among(["one device", "two devices", "in grace"]), async (seen, at) => {
    seen.devices.push(await system.device(seen.eid, "phone", { gateway: at % 2 }));
    if (seen.state === "two devices")
      seen.devices.push(await system.device(seen.eid, "laptop", { gateway: (at + 1) % 2 }));
  });
  await someAtATime(viewersOf(["one device", "two devices", "in grace"]), async ({ device, seen, may }) => {
    if (may) await device.sees(seen.eid, ONLINE);
  });
  for (const { devices } of among(["one device"])) devices[0]?.awareness({ status: DND });
  for (const { devices } of among(["two devices"])) {
    devices[0]?.awareness({ status: AWAY });
    devices[1]?.awareness({ status: BUSY });
  }
  await someAtATime(viewersOf(["one device", "two devices"]), async ({ device, seen, may }) => {
    if (may) await device.sees(seen.eid, LOOKS[seen.state].now);
  });
  await beaconSays("all came");
  for (const { device, seen, may, name } of viewers) {
    const told = device.picture.told.slice(before.get(device)).filter(({ from }) => from?.eid === seen.eid);
    if (!may) expect(told, name).toEqual([]);
    else expect([OFFLINE, ...told.map(({ status }) => status)].filter(isNew), name).toEqual(LOOKS[seen.state].live);
  }
});

const isNew = (status: number, at: number, all: readonly number[]): boolean => status !== all[at - 1];

test("directed: delivered to that user alone where they may see, else 403, whatever devices are there", async () => {
  const sent: { id: string; by: Device; to: Viewer | Seen; may: boolean; name: string }[] = [];
  const directed = { type: AwarenessType.STATUS, status: DIRECTED };
  for (const viewer of viewers) {
    const { seen, device, relation, blocked, name } = viewer;
    for (const by of seen.devices.slice(0, 1))
      sent.push({ id: by.awareness({ ...directed, to: { eid: device.eid } }), by, to: viewer, may: viewer.may, name });
    const back = device.awareness({ ...directed, to: { eid: seen.eid } });
    const may = seenMaySee(relation, blocked);
    sent.push({ id: back, by: device, to: seen, may, name: `the other way: ${name}` });
  }
  // Three of the four states have a device that can say something, and each viewer can.
  expect(sent).toHaveLength(viewers.length + (viewers.length * 3) / 4);
  await someAtATime(sent, async ({ id, by, to, may, name }) => {
    if (!may) {
      const { code, details } = await by.refusal(id);
      expect({ name, code, details }).toMatchObject({
        code: 403,
        details: expect.stringMatching(/^awareness\.to\.eid: /),
      });
      return;
    }
    const devices = "device" in to ? [to.device] : to.devices;
    for (const device of devices) await eventually(name, () => directedTo(device, id).length > 0);
  });
  await beaconSays("all was directed");
  const everybody = [...viewers.map(({ device }) => device), ...seenUsers.flatMap(({ devices }) => devices)];
  const came = new Map<string, string[]>();
  for (const device of everybody) {
    for (const { id, to, status, from } of device.picture.directed) {
      expect([to?.eid, status]).toEqual([device.eid, DIRECTED]);
      came.set(id, [...(came.get(id) ?? []), `${from?.eid} to ${device.eid}`]);
    }
  }
  for (const { id, by, to, may, name } of sent) {
    const times = !may ? 0 : "device" in to ? 1 : to.devices.length;
    expect(
      by.of("error").filter((error) => error.id === id),
      name,
    ).toHaveLength(may ? 0 : 1);
    const eid = "device" in to ? to.device.eid : to.eid;
    expect(came.get(id) ?? [], name).toEqual(Array.from({ length: times }, () => `${by.eid} to ${eid}`));
  }
  expect(came.size).toBe(sent.filter(({ may, to }) => may && ("device" in to || to.devices.length > 0)).length);
});

async function expectSnapshot({ device, seen, may, name }: Viewer, gateway: number): Promise<void> {
  const later = await system.device(device.eid, "tablet", { gateway: gateway % 2 });
  await later.pictured();
  const [first] = later.received.filter(({ kind }) => ["awareness", "body", "awarenessContact"].includes(kind));
  expect(first, name).toMatchObject({ kind: "body", value: { route: 9n } });
  expect(later.presenceOf(beacon.eid), name).toBe(ONLINE);
  expect(later.picture.eids.filter((eid) => eid !== device.eid).sort(), name).toEqual(
    may ? [beacon.eid, seen.eid] : [beacon.eid],
  );
  if (may) expect(later.presenceOf(seen.eid), name).toBe(LOOKS[seen.state].now);
  await later.close();
}

test("the snapshot of a later connect holds those whom one may see, offline ones too, and nobody else", async () => {
  const [stay, go] = [viewersOf(["offline", "one device", "two devices"]), viewersOf(["in grace"])];
  await someAtATime(stay, expectSnapshot);
  const leftAtMs = performance.now();
  await someAtATime(among(["in grace"]), async ({ devices }) => devices[0]?.close());
  await someAtATime(go, expectSnapshot);
  const tookMs = performance.now() - leftAtMs;
  expect(tookMs, "else the grace period was over").toBeLessThan(GRACE_MS);
  for (const { device, seen, may, name } of go) if (may) expect(device.presenceOf(seen.eid), name).toBe(ONLINE);
  await someAtATime(go, async ({ device, seen, may }) => {
    if (may) await device.sees(seen.eid, OFFLINE);
  });
  expect(performance.now() - leftAtMs).toBeGreaterThan(GRACE_MS);
});

test("who never could see was never shown anything, and who was cut off by a block was shown OFFLINE last", async () => {
  await beaconSays("the end");
  for (const { device, seen, may, blocked, name } of viewers) {
    const shown = device.picture.told.filter(({ from }) => from?.eid === seen.eid).map(({ status }) => status);
    if (may) expect(shown.length, name).toBeGreaterThan(0);
    else if (blocked === "no block") expect(shown, name).toEqual([]);
    else expect(shown.at(-1) ?? OFFLINE, name).toBe(OFFLINE);
  }
});
