import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type RateLimits, rateClassOf, Rates } from "./rates.js";

const OFF: RateLimits = {
  messages: undefined,
  signals: undefined,
  awareness: undefined,
  location: undefined,
  other: undefined,
  bytes: undefined,
};

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

function make(session: Partial<RateLimits>, user: Partial<RateLimits> = {}): Rates {
  const rates = Rates.of({ ...OFF, ...session }, { ...OFF, ...user });
  if (rates === undefined) throw new Error("nothing is limited");
  return rates;
}

const take = (rates: Rates, session: string, eid: string) =>
  rates.take(session, eid, "messages", 100, performance.now());

/** How many of `tries` messages come through, all at once. */
function messages(rates: Rates, session: string, eid: string, tries: number): number {
  const nowMs = performance.now();
  return Array.from({ length: tries }, () => rates.take(session, eid, "messages", 100, nowMs)).filter(
    (refusal) => refusal === undefined,
  ).length;
}

it("is nothing where all is off", () => {
  expect(Rates.of(OFF, OFF)).toBeUndefined();
});

it("counts each class by itself", () => {
  const rates = make({ messages: { perSecond: 1, burst: 1 }, signals: { perSecond: 1, burst: 1 } });
  const ask = (name: "messages" | "signals" | "location") => rates.take("s", "a", name, 100, performance.now());
  expect([ask("messages"), ask("signals"), ask("location"), ask("location")]).toEqual(Array.from({ length: 4 }));
  expect(ask("messages")).toEqual({ limit: "messages", of: "session", perSecond: 1, waitMs: 1_000 });
  expect(ask("signals")).toMatchObject({ waitMs: 1_000 });
});

describe("a user's sessions together", () => {
  it("may send what the user may, one session what a session may", () => {
    const rates = make({ messages: { perSecond: 1, burst: 4 } }, { messages: { perSecond: 2, burst: 6 } });
    expect(messages(rates, "s1", "a", 10)).toBe(4);
    expect(messages(rates, "s2", "a", 10)).toBe(2);
    expect(take(rates, "s3", "a")).toEqual({
      limit: "messages",
      of: "user",
      perSecond: 2,
      waitMs: 500,
    });
    expect(messages(rates, "s4", "b", 10)).toBe(4);
  });

  it("lose no token of the session by a refusal of the user's", () => {
    const rates = make({ messages: { perSecond: 0.001, burst: 2 } }, { messages: { perSecond: 1, burst: 1 } });
    expect(messages(rates, "s", "a", 100)).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(messages(rates, "s", "a", 100)).toBe(1);
    vi.advanceTimersByTime(1_000);
    expect(messages(rates, "s", "a", 100)).toBe(0);
  });

  it("do not get new ones by a new session", () => {
    const rates = make({ messages: { perSecond: 1, burst: 4 } }, { messages: { perSecond: 1, burst: 4 } });
    for (const session of ["s1", "s2", "s3"]) {
      expect(messages(rates, session, "a", 10)).toBe(session === "s1" ? 4 : 0);
      rates.forget(session);
    }
  });
});

it("says when both have a token", () => {
  const rates = make({ messages: { perSecond: 10, burst: 1 } }, { messages: { perSecond: 4, burst: 1 } });
  expect(messages(rates, "s", "a", 1)).toBe(1);
  const refusal = take(rates, "s", "a");
  expect(refusal).toEqual({ limit: "messages", of: "user", perSecond: 4, waitMs: 250 });
  vi.advanceTimersByTime(250);
  expect(messages(rates, "s", "a", 1)).toBe(1);
});

it("counts the bytes of all classes together", () => {
  const rates = make({ messages: { perSecond: 1, burst: 100 }, bytes: { perSecond: 100, burst: 1_000 } });
  const bytesOf = (name: "messages" | "location", bytes: number) =>
    rates.take("s", "a", name, bytes, performance.now());
  expect([bytesOf("messages", 600), bytesOf("location", 400)]).toEqual([undefined, undefined]);
  const refusal = { limit: "bytes", of: "session", perSecond: 100 };
  expect(bytesOf("location", 1)).toEqual({ ...refusal, waitMs: 10 });
  expect(bytesOf("messages", 50)).toEqual({ ...refusal, waitMs: 500 });
  vi.advanceTimersByTime(500);
  expect(bytesOf("messages", 50)).toBeUndefined();
});

it("lets one stanza through that is larger than the burst, from a full bucket", () => {
  const rates = make({ bytes: { perSecond: 100, burst: 1_000 } });
  const bytesOf = (bytes: number) => rates.take("s", "a", "other", bytes, performance.now())?.waitMs ?? 0;
  expect([bytesOf(5_000), bytesOf(5_000), bytesOf(1)]).toEqual([0, 10_000, 10]);
  vi.advanceTimersByTime(9_999);
  expect(bytesOf(5_000)).toBe(1);
  vi.advanceTimersByTime(1);
  expect(bytesOf(5_000)).toBe(0);
});

it("forgets full buckets, and nothing runs any more then", () => {
  const rates = make({ messages: { perSecond: 1, burst: 5 } }, { messages: { perSecond: 1, burst: 5 } });
  messages(rates, "s1", "a", 5);
  messages(rates, "s2", "b", 1);
  expect(rates.size).toBe(4);
  vi.advanceTimersByTime(2_001);
  expect(rates.size).toBe(2);
  vi.advanceTimersByTime(4_000);
  expect([rates.size, vi.getTimerCount()]).toEqual([0, 0]);
});

it("knows each kind's class", () => {
  const kinds = [
    "message",
    "event",
    "signal",
    "awarenessContact",
    "locationStream",
    "query",
    "body",
    undefined,
  ] as const;
  expect(kinds.map((kind) => rateClassOf(kind))).toEqual([
    "messages",
    "messages",
    "signals",
    "awareness",
    "location",
    "other",
    "other",
    "other",
  ]);
});
