// What a session does with the registry's words, in every order in which they may come: it ends exactly when a newer one is registered.
import { expect, test } from "vitest";
import { Fence } from "./fence.js";

function setUp() {
  const log: string[] = [];
  const fence = new Fence({
    id: "mine",
    awareness: {
      begin: (epoch) => void log.push(`begins ${epoch}`),
      renew: (epoch) => void log.push(`renewed ${epoch}`),
    },
    replace: () => void log.push("replaced"),
  });
  const claim = (sessionId: string, epoch: number): void => fence.onClaim({ sessionId, epoch: BigInt(epoch) });
  return { log, fence, claim };
}

test("a claim with a higher epoch ends it, one with a lower or its own epoch does not", () => {
  const { log, fence, claim } = setUp();
  fence.onEpoch(10);
  claim("older", 9);
  claim("mine", 10);
  expect([log, fence.registered]).toEqual([["begins 10"], true]);
  claim("newer", 11);
  expect(log).toEqual(["begins 10", "replaced"]);
});

test("a newer session's claim that comes before the answer to its own registration ends it with that answer", () => {
  const { log, fence, claim } = setUp();
  claim("newer", 11);
  expect([log, fence.registered]).toEqual([[], false]);
  fence.onEpoch(10);
  expect(log[0]).toBe("replaced");
});

test("an older session's claim that comes first does not end it", () => {
  const { log, fence, claim } = setUp();
  claim("older", 9);
  fence.onEpoch(10);
  expect(log).toEqual(["begins 10"]);
});

test("the answer to its registration got lost: its own claim says as much", () => {
  const { log, fence, claim } = setUp();
  claim("mine", 10);
  expect([log, fence.registered]).toEqual([["begins 10"], true]);
  claim("newer", 11);
  expect(log.at(-1)).toBe("replaced");
});

test("registered too late: it ends", () => {
  const { log, fence } = setUp();
  fence.onEpoch(0);
  expect([log, fence.registered]).toEqual([["replaced"], false]);
});

test("registered again with a higher epoch, it does not end for what came between", () => {
  const { log, fence, claim } = setUp();
  fence.onEpoch(10);
  claim("mine", 20);
  claim("mine", 10); // repeated
  claim("other", 15);
  expect(log).toEqual(["begins 10", "renewed 20"]);
});

test("the registry began anew: what it said before does not count any more", () => {
  const { log, fence, claim } = setUp();
  fence.onEpoch(1_000);
  fence.onAnew();
  claim("newer", 3);
  expect(log).toEqual(["begins 1000", "replaced"]);
});

test("nothing is confirmed while it is in doubt; then all of it, in order", () => {
  const { log, fence } = setUp();
  const confirm = (what: string): void => fence.confirm(() => void log.push(what));
  confirm("a");
  fence.doubt();
  confirm("b");
  fence.doubt();
  confirm("c");
  expect(log).toEqual(["a"]);
  fence.trust();
  confirm("d");
  expect(log).toEqual(["a", "b", "c", "d"]);
});
