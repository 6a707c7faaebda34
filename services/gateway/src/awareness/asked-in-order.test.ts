// What a device asks of awareness, and in which order that is done; the works are the test's.
import { expect, test } from "vitest";
import { AskedInOrder, type AskedKind } from "./asked-in-order.js";

function setUp() {
  const asked = new AskedInOrder();
  const log: string[] = [];
  const ends: (() => void)[] = [];
  const add = (kind: AskedKind, name: string, type = 0): Promise<void> =>
    asked.add(
      kind,
      async () => {
        log.push(name);
        await new Promise<void>((resolve) => ends.push(resolve));
      },
      type,
    );
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
    add("state", "c", 1),
    add("setting", "d"),
    add("directed", "e"),
  ];
  expect(log).toEqual(["a"]);
  expect([asked.count("setting"), asked.count("directed"), asked.count("state")]).toEqual([2, 2, 1]);
  await finish();
  await Promise.all(all);
  expect(log).toEqual(["a", "b", "c", "d", "e"]);
  expect([asked.count("setting"), asked.count("directed"), asked.count("state")]).toEqual([0, 0, 0]);
});

test("the newest state of each type wins, at the end of the line; what is under way is left", async () => {
  const { asked, log, add, finish } = setUp();
  const all = [add("state", "one", 1), add("state", "two", 2)];
  for (let n = 0; n < 1_000; n++) all.push(add("state", `one ${n}`, 1));
  expect(asked.count("state")).toBe(3);
  await finish();
  await Promise.all(all);
  expect(log).toEqual(["one", "two", "one 999"]);
});

test("a state before a setting stays before it, and a newer one behind it", async () => {
  const { log, add, finish } = setUp();
  void add("directed", "first");
  for (const n of [1, 2]) void add("state", `before ${n}`, 1);
  void add("setting", "private");
  for (const n of [1, 2]) void add("state", `after ${n}`, 1);
  await finish();
  expect(log).toEqual(["first", "before 2", "private", "after 2"]);
});

test("one that fails is told to who asked, and holds nobody up; settings are settled by that too", async () => {
  const { asked, log, add, finish } = setUp();
  const failed = asked.add("setting", () => Promise.reject(new Error("refused")));
  const next = add("state", "next", 1);
  await expect(failed).rejects.toThrow("refused");
  await asked.settled();
  await finish();
  await next;
  expect(log).toEqual(["next"]);
  void add("state", "later", 1);
  await finish();
  expect(log).toEqual(["next", "later"]);
});
