import type { Presence } from "@bimip/client";
import { expect, it } from "vitest";
import { byPresence, presenceCells, presenceText } from "./shown-presence.js";

const NOON = new Date(2026, 0, 1, 12, 0);
const presence = (init: Partial<Presence>): Presence => ({ eid: "bob", status: "online", details: "", ...init });

it("is shown cell by cell, safely", () => {
  expect(presenceCells(presence({}), NOON)).toEqual({
    eid: "bob",
    presence: "online",
    status: "",
    details: "",
    time: "",
    place: "",
  });
  const full = presence({
    status: "away",
    details: "lunch\u001b[2J",
    since: new Date(2026, 0, 1, 11, 5),
    custom: { status: 20, details: "at sea" },
    location: { latitude: 48.123_456_78, longitude: -1, altitude: 519.6, at: NOON },
  });
  expect(presenceCells(full, NOON)).toEqual({
    eid: "bob",
    presence: "away",
    status: "#20 at sea",
    details: "lunch\\u001b[2J",
    time: "since 11:05",
    place: "48.12346, -1.00000, 520 m",
  });
});

it("is one line", () => {
  const lastSeen = new Date(2025, 11, 31, 9, 30);
  expect(presenceText("bob", presence({ status: "offline", lastSeen }))).toBe("bob offline last seen 2025-12-31 09:30");
  const custom = { status: 9, details: "" };
  expect(presenceText("bob", presence({ status: 77, details: "x", custom }))).toBe("bob 77 (x) #9");
  expect(presenceText("b\nob", undefined)).toBe("b\n  ob may not be seen");
});

it("is sorted by how present somebody is, then by name", () => {
  const all = (["offline", 77, "away", "dnd", "busy", "online"] as const).map((status) => presence({ status }));
  const sorted = [presence({ eid: "carol" }), ...all].sort(byPresence);
  expect(sorted.map(({ eid, status }) => `${eid} ${status}`)).toEqual([
    "bob online",
    "carol online",
    "bob busy",
    "bob dnd",
    "bob away",
    "bob offline",
    "bob 77",
  ]);
});
