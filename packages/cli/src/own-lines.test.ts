import { expect, it } from "vitest";
import { OwnLines } from "./own-lines.js";

function setUp(live: boolean) {
  const lines = new OwnLines(live);
  const log: string[] = [];
  const add = (id: string): void => {
    const line = { update: (text: string) => log.push(`~ ${text}`), finish: (text: string) => log.push(text) };
    lines.add(id, line, (state, error) => `${id} ${state}${error === undefined ? "" : ` ${error.code}`}`);
  };
  return { lines, log, add };
}

it("lets a line change until it is read", () => {
  const { lines, log, add } = setUp(true);
  add("a");
  for (const state of ["queued", "sent", "delivered", "read", "played"] as const) lines.change({ id: "a", state });
  lines.change({ id: "of another device", state: "read" });
  expect(log).toEqual(["~ a queued", "~ a sent", "~ a delivered", "a read"]);
});

it("finishes what is stored before something else is shown, and the oldest of too many", () => {
  const { lines, log, add } = setUp(true);
  for (const id of ["a", "b", "c", "d", "e"]) add(id);
  for (const id of ["b", "c"]) lines.change({ id, state: "sent" });
  log.length = 0;
  add("f");
  expect(log).toEqual(["b sent"]);
  lines.settle();
  expect(log).toEqual(["b sent", "c sent"]);
});

it("finishes at once where lines cannot change", () => {
  const { lines, log, add } = setUp(false);
  add("a");
  lines.change({ id: "a", state: "sent" });
  lines.change({ id: "a", state: "read" });
  expect(log).toEqual(["a sent"]);
});
