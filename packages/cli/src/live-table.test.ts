import { expect, it } from "vitest";
import { COLUMNS, screenOf } from "../test-kit/screen.js";
import { LiveTable } from "./live-table.js";

function setUp(rows = 24) {
  let bytes = "";
  const sink = { columns: COLUMNS, rows, write: (text: string) => (bytes += text) };
  const paint = (style: string, text: string): string => (style === "dim" ? text : `<${text}>`);
  return { table: new LiveTable(sink, paint, ["who", "presence", "words"]), screen: () => screenOf(bytes) };
}

const row = (...cells: string[]) => ({ cells });

it("is drawn again in its place, as wide as what it holds", () => {
  const { table, screen } = setUp();
  table.show([], "(nobody)");
  expect(screen()).toEqual(["who  presence  words", "(nobody)"]);
  table.show([row("bob@example.com", "online", ""), row("日本", "away", "lunch")], "");
  expect(screen()).toEqual([
    "who              presence  words",
    "bob@example.com  online",
    "日本             away      lunch",
  ]);
  table.show([row("bob", "offline", "x")], "(not connected)");
  expect(screen()).toEqual(["who  presence  words", "bob  offline   x", "(not connected)"]);
});

it("cuts off what has no room, in width and height", () => {
  const { table, screen } = setUp(5);
  table.show(
    [
      row("b".repeat(20), "online", "word ".repeat(5)),
      row("c", "away", "y"),
      row("d", "away", ""),
      row("e", "away", ""),
    ],
    "(later)",
  );
  expect(screen()).toEqual([
    `who${" ".repeat(19)}presence  words`,
    `${"b".repeat(20)}  online    word w…`,
    `c${" ".repeat(21)}away      y`,
    "… and 2 more (later)",
  ]);
  table.show([row("b".repeat(60), "online", "word")], "");
  expect(screen()).toEqual([`who${" ".repeat(35)}…`, `${"b".repeat(38)}…`]);
});

it("paints cells, not what is empty", () => {
  const { table, screen } = setUp();
  table.show([{ cells: ["bob", "", "x"], styles: ["cyan", "green", undefined] }], "");
  expect(screen()[1]).toBe("<bob>            x");
});
