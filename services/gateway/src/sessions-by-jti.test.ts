import { expect, test } from "vitest";
import { revocationKeys } from "@bimip/nats";
import { SessionsByJti } from "./sessions-by-jti.js";

test("sessions are found by their token's id, until they are removed", () => {
  const sessions = new SessionsByJti<object>();
  const [one, two] = [{ name: "one" }, { name: "two" }];
  const key = revocationKeys.jti("t");
  sessions.remove(key, one);
  sessions.add(key, one);
  expect([...sessions.of(key)]).toEqual([one]);
  sessions.add(key, two);
  expect([...sessions.of(key)]).toEqual([one, two]);
  expect([...sessions.of(revocationKeys.jti("other"))]).toEqual([]);
  sessions.remove(key, one);
  sessions.remove(key, one);
  expect([...sessions.of(key)]).toEqual([two]);
  sessions.remove(key, two);
  expect([[...sessions.of(key)], sessions.size]).toEqual([[], 0]);
});

test("40,000 devices may share one token: each costs the same", () => {
  const sessions = new SessionsByJti<object>();
  const key = revocationKeys.jti("shared");
  const all = Array.from({ length: 40_000 }, () => ({}));
  const startMs = performance.now();
  for (const one of all) sessions.add(key, one);
  for (const one of all) sessions.remove(key, one);
  expect(performance.now() - startMs).toBeLessThan(1_500);
  expect(sessions.size).toBe(0);
});
