// What a device asks of awareness, and in which order that is done; the works are the test's.
import { AwarenessStatus, AwarenessType } from "@bimip/protocol";
import { expect, test } from "vitest";
import { AskedInOrder, type AskedKind, kindOf } from "./asked-in-order.js";

function setUp() {
  const asked = new AskedInOrder();
  const log: string[] = [];
  const ends: (() => void)[] = [];
  const add = (kind: AskedKind, name: string): Promise<void> =>
    asked.add(kind, async () => {
      log.push(name);
      await new Promise<void>((resolve) => ends.push(resolve));
    });
  /** Ends what is under way, until nothing is. */
  const finish = async (): Promise<void> => {
    for (let at = 0; at < ends.length; at++) {
      ends[at]?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { asked, log, add, finish };
}

test("one after the other, in their order, whatever they are", async () => {
  const { asked, log, add, finish } = setUp();
  const all = [
    add("setting", "a"),
    add("directed", "b"),
    add("presence", "c"),
    add("setting", "d"),
    add("directed", "e"),
  ];
  expect(log).toEqual(["a"]);
  expect([asked.count("setting"), asked.count("directed"), asked.count("presence")]).toEqual([2, 2, 1]);
  await finish();
  await Promise.all(all);
  expect(log).toEqual(["a", "b", "c", "d", "e"]);
  expect([asked.count("setting"), asked.count("directed"), asked.count("presence")]).toEqual([0, 0, 0]);
});

test("the newest state of each type wins, at the end of the line; what is under way is left", async () => {
  const { asked, log, add, finish } = setUp();
  const all = [add("presence", "one"), add("status", "two")];
  for (let n = 0; n < 1_000; n++) all.push(add("presence", `one ${n}`));
  expect([asked.count("presence"), asked.count("status")]).toEqual([2, 1]);
  await finish();
  await Promise.all(all);
  expect(log).toEqual(["one", "two", "one 999"]);
});

test("ONLINE, which ends a status of type 2, is not lost to a later presence, and no status overtakes it", async () => {
  const { asked, log, add, finish } = setUp();
  void add("directed", "first");
  void add("status", "typing");
  void add("presence", "away");
  for (const n of [1, 2]) void add("online", `online ${n}`);
  for (const n of [1, 2]) void add("presence", `busy ${n}`);
  for (const n of [1, 2]) void add("status", `status ${n}`);
  expect([asked.count("online"), asked.count("presence"), asked.count("status")]).toEqual([1, 1, 1]);
  await finish();
  expect(log).toEqual(["first", "online 2", "busy 2", "status 2"]);
});

test("which kind a stanza is of", () => {
  const { PRESENCE, STATUS } = AwarenessType;
  const { ONLINE, BUSY, TYPING } = AwarenessStatus;
  expect(kindOf({ type: PRESENCE, status: ONLINE })).toBe("online");
  expect(kindOf({ type: PRESENCE, status: BUSY })).toBe("presence");
  expect(kindOf({ type: STATUS, status: TYPING })).toBe("status");
});

test("a state before a setting stays before it, and a newer one behind it", async () => {
  const { log, add, finish } = setUp();
  void add("directed", "first");
  for (const n of [1, 2]) void add("presence", `before ${n}`);
  void add("setting", "private");
  for (const n of [1, 2]) void add("presence", `after ${n}`);
  await finish();
  expect(log).toEqual(["first", "before 2", "private", "after 2"]);
});

test("one that fails is told to who asked, and holds nobody up; settings are settled by that too", async () => {
  const { asked, log, add, finish } = setUp();
  const failed = asked.add("setting", () => Promise.reject(new Error("refused")));
  const next = add("presence", "next");
  await expect(failed).rejects.toThrow("refused");
  await asked.settled();
  await finish();
  await next;
  expect(log).toEqual(["next"]);
  void add("presence", "later");
  await finish();
  expect(log).toEqual(["next", "later"]);
});
