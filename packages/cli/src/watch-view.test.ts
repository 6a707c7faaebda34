import type { Presence } from "@bimip/client";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { screenOf } from "../test-kit/screen.js";
import { createOutput } from "./output.js";
import { createWatchView } from "./watch-view.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  expect(vi.getTimerCount()).toBe(0);
  vi.useRealTimers();
});

function setUp({ isTTY = true, json = false } = {}) {
  let [bytes, notes, writes] = ["", "", 0];
  const sink = {
    isTTY,
    columns: 80,
    rows: 24,
    write(text: string) {
      bytes += text;
      writes++;
    },
  };
  const stderr = { write: (text: string) => (notes += text) };
  const output = createOutput({ json, stdout: sink, stderr, env: { NO_COLOR: "1" } });
  const people = new Map<string, Presence>();
  const presence = { live: true, all: () => people };
  const view = createWatchView({ output, sink, presence, eid: "alice" });
  const change = (one: Presence): void => {
    const before = people.get(one.eid);
    people.set(one.eid, one);
    view.onPresence({ eid: one.eid, presence: one, before });
  };
  return { view, presence, change, bytes: () => bytes, notes: () => notes, writes: () => writes };
}

it("a terminal gets a table, drawn at most every 100 ms", () => {
  const { view, presence, change, bytes, writes } = setUp();
  view.onState("online");
  vi.advanceTimersByTime(100);
  const head = "who  presence  status  words  since  where";
  const rows = (): string[] => screenOf(bytes(), 80).map((line) => line.replaceAll(/ {2,}/g, "  "));
  expect(rows()).toEqual([head, "(nobody lets alice see them yet)"]);
  change({ eid: "bob", status: "away", details: "lunch" });
  change({ eid: "carol", status: "online", details: "" });
  for (let at = 0; at < 10; at++) {
    view.onLocation({ eid: "bob", latitude: at, longitude: 0, at: new Date() });
    vi.advanceTimersByTime(9);
  }
  expect(writes()).toBe(1);
  vi.advanceTimersByTime(10);
  expect([writes(), rows()]).toEqual([2, [head, "carol  online", "bob  away  lunch"]]);
  presence.live = false;
  view.onError("no connection: refused");
  vi.advanceTimersByTime(100);
  expect(rows().at(-1)).toBe("(not connected: no connection: refused)");
  presence.live = true;
  view.onState("online");
  vi.advanceTimersByTime(100);
  expect(rows().at(-1)).toBe("bob  away  lunch");
  change({ eid: "bob", status: "busy", details: "" });
  view.close();
  expect(rows().at(-1)).toBe("bob  busy");
  change({ eid: "bob", status: "online", details: "" });
  view.close();
});

it("all else gets a line for each change", () => {
  const { view, change, bytes, notes } = setUp({ isTTY: false });
  change({ eid: "bob", status: "away", details: "lunch" });
  view.onPresence({ eid: "bob", presence: undefined, before: undefined });
  view.onLocation({ eid: "bob", latitude: 1, longitude: 2, at: new Date() });
  view.onState("offline");
  view.onError("no connection");
  view.close();
  expect(
    bytes()
      .replaceAll(/\d\d:\d\d /g, "")
      .split("\n"),
  ).toEqual(["bob away (lunch)", "bob may not be seen", "bob is at 1.00000, 2.00000", ""]);
  expect(notes()).toBe("no connection\n");
});

it("scripts get a line of JSON, on a terminal too", () => {
  const { view, change, bytes } = setUp({ json: true });
  change({ eid: "bob", status: "offline", details: "", lastSeen: new Date(5) });
  view.onPresence({ eid: "bob", presence: undefined, before: undefined });
  view.onLocation({ eid: "bob", latitude: 1, longitude: 2, at: new Date(7) });
  const lines = bytes().trim().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    { event: "presence", eid: "bob", status: "offline", details: "", lastSeen: "1970-01-01T00:00:00.005Z" },
    { event: "presence", eid: "bob", status: null },
    { event: "location", eid: "bob", latitude: 1, longitude: 2, at: "1970-01-01T00:00:00.007Z" },
  ]);
});
