import type { OpenSession } from "@bimip/client";
import { type Output, printable } from "./output.js";
import { timeText } from "./shown-message.js";
import { columnsOf } from "./text-width.js";

/** The open sessions as a table for people: device, since when, from where, on which gateway. */
export function sessionTable(sessions: readonly OpenSession[], { paint }: Output, now = new Date()): string {
  const rows = sessions.map(({ device, node, since, address, current }) => ({
    cells: [printable(device), `since ${timeText(new Date(since), now)}`, printable(address), printable(node)],
    current,
  }));
  const widths = [0, 1, 2, 3].map((at) => Math.max(...rows.map(({ cells }) => columnsOf(cells[at] ?? ""))));
  return rows
    .map(({ cells, current }) => {
      const [device = "", ...rest] = cells.map((cell, at) => cell + " ".repeat((widths[at] ?? 0) - columnsOf(cell)));
      const mark = current ? paint("dim", "this command") : "";
      return [paint("cyan", device), ...rest, mark].join("  ").trimEnd();
    })
    .join("\n");
}
