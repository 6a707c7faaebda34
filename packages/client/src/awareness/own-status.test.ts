// What is believed of the user's own status, of which the server tells only a part; on a clock of the test's own.
import { AwarenessType } from "@bimip/protocol";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { OwnStatus } from "./own-status.js";
import { type StatusWord, wordOf } from "./own-word.js";

const status = (number: number, ttlS = 0): StatusWord => wordOf({ type: AwarenessType.STATUS, status: number, ttlS });
const UNREAD = new Promise<never>(() => undefined);
const READ = Promise.resolve();
const numberOf = (word: StatusWord | undefined) => (typeof word === "object" ? word.own.status : word);

let own: OwnStatus;
const known = () => [numberOf(own.unconfirmed), numberOf(own.current)];

beforeEach(() => {
  vi.useFakeTimers();
  own = new OwnStatus();
});
afterEach(() => vi.useRealTimers());

it("is what the server says, or what was said since", () => {
  expect(known()).toEqual([undefined, "none"]);
  own.hear(status(20));
  own.say(status(21), UNREAD);
  expect(known()).toEqual([21, 21]);
  // So it was before.
  own.hear(status(20));
  expect(known()).toEqual([21, 21]);
  own.hear(status(21));
  expect(known()).toEqual([undefined, 21]);
});

it("has arrived some seconds after it was read, or it is not known", async () => {
  own.say(status(20), READ);
  await vi.advanceTimersByTimeAsync(9_000);
  expect(known()).toEqual([20, 20]);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(known()).toEqual([undefined, 20]);
  own.say(status(21), READ);
  await vi.advanceTimersByTimeAsync(9_000);
  own.interrupt();
  await vi.advanceTimersByTimeAsync(3_600_000);
  expect(known()).toEqual([21, 21]);
});

it("may be any that was said: what is behind it in the line has not arrived yet", () => {
  own.hear(status(20));
  own.say("none", UNREAD);
  own.say(status(21), UNREAD);
  own.say(status(22), UNREAD);
  own.hear("none");
  expect(known()).toEqual([22, 22]);
  own.hear(status(21));
  expect(known()).toEqual([22, 22]);
});

it.each<[string, StatusWord]>([
  ["a status", status(33)],
  ["none", "none"],
  ["the same for longer", status(21, 3_600)],
])("that is neither is another device's, and what was said before does not hold any more: %s", (_what, word) => {
  own.hear(status(20));
  own.say(status(21, 60), UNREAD);
  own.hear(word);
  expect(own.unconfirmed).toBeUndefined();
  expect(own.current).toBe(word);
});

it("is not what the server refused", () => {
  own.say(status(20), UNREAD);
  own.refused();
  expect(known()).toEqual([undefined, "none"]);
});

it("is told again and again on a line that breaks, and still known", () => {
  own.hear(status(20));
  const word = status(21);
  for (let n = 0; n < 100; n++) {
    own.say("none", UNREAD);
    own.say(word, UNREAD);
    own.interrupt();
    own.hear(status(20));
  }
  expect(known()).toEqual([21, 21]);
  own.hear(status(33));
  expect(known()).toEqual([undefined, 33]);
});
