import type { SessionRecord } from "@bimip/nats";
import { AwarenessStatus, Visibility } from "@bimip/protocol";
import { expect, test } from "vitest";
import { NEVER_SEEN, sameVisible, visibleOf } from "./visible.js";

const { ONLINE, OFFLINE, AWAY, BUSY, DND } = AwarenessStatus;
const SETTINGS = { visibility: Visibility.CONTACTS as number, custom: undefined };

function session(
  device: string,
  status: number,
  { atMs = 1, visibility = 0, state = "online" as const } = {},
): SessionRecord {
  const presence = { status, details: "", visibility, atMs, untilMs: 0 };
  const where = { eid: "alice@x", node: "n", gateway: "g", sessionId: device, ended: "" as const, sinceMs: 1, atMs: 1 };
  return { ...where, device, state, presence, by: "replica" };
}

test.each([
  [[ONLINE, BUSY], ONLINE],
  [[DND, BUSY], BUSY],
  [[AWAY, DND], DND],
  [[OFFLINE, AWAY], AWAY],
  [[AWAY, BUSY, DND, OFFLINE], BUSY],
  [[OFFLINE], OFFLINE],
])("devices that are %j make a user who is %i", (statuses, wanted) => {
  const sessions = statuses.map((status, at) => session(`d${at}`, status));
  expect(visibleOf(sessions, NEVER_SEEN, SETTINGS).status).toBe(wanted);
  expect(visibleOf(sessions.toReversed(), NEVER_SEEN, SETTINGS).status).toBe(wanted);
});

test("of equally present devices the one that spoke last counts", () => {
  const sessions = [session("old", AWAY, { atMs: 5 }), session("new", AWAY, { atMs: 9 })];
  expect(visibleOf(sessions, NEVER_SEEN, SETTINGS)).toMatchObject({ device: "new", atMs: 9 });
});

test("without a device: OFFLINE since the last was seen", () => {
  const lastSeen = { atMs: 77, device: "phone", node: "n" };
  expect(visibleOf([], lastSeen, SETTINGS)).toMatchObject({ status: OFFLINE, atMs: 77, device: "phone" });
});

test("the stricter visibility counts: the user's setting, or what the leading device said", () => {
  const hidden = session("phone", ONLINE, { visibility: Visibility.PRIVATE });
  const open = session("phone", ONLINE, { visibility: Visibility.PUBLIC });
  expect(visibleOf([hidden], NEVER_SEEN, SETTINGS).visibility).toBe(Visibility.PRIVATE);
  expect(visibleOf([open], NEVER_SEEN, SETTINGS).visibility).toBe(Visibility.CONTACTS);
});

test("what nobody notices is the same; a status of type 2 is noticed", () => {
  const one = visibleOf([session("a", ONLINE, { atMs: 1 })], NEVER_SEEN, SETTINGS);
  const other = visibleOf([session("b", ONLINE, { atMs: 2 })], NEVER_SEEN, SETTINGS);
  const custom = { status: 8, details: "", atMs: 1, untilMs: 0 };
  expect(sameVisible(one, other)).toBe(true);
  expect(sameVisible(one, { ...other, custom })).toBe(false);
  expect(sameVisible({ ...one, custom }, { ...other, custom: { ...custom, untilMs: 5 } })).toBe(false);
});
