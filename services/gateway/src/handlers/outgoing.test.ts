import { expect, it } from "vitest";
import { Outgoing } from "./outgoing.js";

/** Messages of one session to bob, by their id. */
function setUp() {
  const outgoing = new Outgoing();
  /** It comes; its place in the order. */
  const come = (id: string) => ({ id, to: "bob", order: outgoing.nextOrder() }) as never;
  return { outgoing, come };
}

it("a message refused while the repeat of an earlier one waits in line is waited for as well", () => {
  const { outgoing, come } = setUp();
  outgoing.refuseBehind(come("a"));
  const again = come("a");
  const next = come("b");
  expect([outgoing.admits(again), outgoing.admits(next)]).toEqual([true, true]);
  outgoing.refuseBehind(come("c"));
  const behind = come("d");
  // What came before it goes on, in line: it overtakes nothing.
  expect([outgoing.admits(again), outgoing.admits(next), outgoing.admits(behind)]).toEqual([true, true, false]);
  for (const message of [again, next]) outgoing.passed(message);
  expect(outgoing.admits(come("d"))).toBe(false);
  const late = come("c");
  expect(outgoing.admits(late)).toBe(true);
  outgoing.passed(late);
  expect(outgoing.admits(come("d"))).toBe(true);
});

it("of several that were refused the first is waited for; the client repeats from there on", () => {
  const { outgoing, come } = setUp();
  for (const id of ["a", "b", "c"]) outgoing.refuseBehind(come(id));
  expect(outgoing.admits(come("b"))).toBe(false);
  expect([come("a"), come("b"), come("d")].map((message) => outgoing.admits(message))).toEqual([true, true, true]);
});

it("a repeat that fails again is waited for again, and what stands behind it in line goes back", () => {
  const { outgoing, come } = setUp();
  outgoing.refuseBehind(come("a"));
  const [again, next] = [come("a"), come("b")] as const;
  for (const message of [again, next]) expect(outgoing.admits(message)).toBe(true);
  outgoing.passed(again);
  outgoing.refuseBehind(again);
  expect(outgoing.admits(next)).toBe(false);
  expect([come("a"), come("b")].map((message) => outgoing.admits(message))).toEqual([true, true]);
});

it("an older failure comes before what was refused later", () => {
  const { outgoing, come } = setUp();
  const old = come("a");
  outgoing.passed(old);
  outgoing.refuseBehind(come("b"));
  const inLine = come("b");
  expect(outgoing.admits(inLine)).toBe(true);
  outgoing.refuseBehind(old);
  expect(outgoing.admits(inLine)).toBe(false);
  expect([come("a"), come("b"), come("c")].map((message) => outgoing.admits(message))).toEqual([true, true, true]);
});

it("each refused once more while it waits in line: the order stays", () => {
  const { outgoing, come } = setUp();
  const line = [];
  outgoing.refuseBehind(come("0"));
  for (let n = 0; n < 5; n++) {
    const again = come(String(n));
    expect(outgoing.admits(again)).toBe(true);
    line.push(again);
    outgoing.refuseBehind(come(String(n + 1)));
    expect(outgoing.admits(come("later"))).toBe(false);
  }
  for (const message of line) {
    expect(outgoing.admits(message)).toBe(true);
    outgoing.passed(message);
    expect(outgoing.admits(come("later"))).toBe(false);
  }
  const last = come("5");
  expect(outgoing.admits(last)).toBe(true);
  outgoing.passed(last);
  expect(outgoing.admits(come("later"))).toBe(true);
});
