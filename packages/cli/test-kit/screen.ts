export const COLUMNS = 40;

/** What a terminal of that many columns shows after these bytes: just the sequences readline and we write. */
export function screenOf(bytes: string, columns = COLUMNS): string[] {
  const rows: string[][] = [[]];
  let [row, column] = [0, 0];
  const tokens = bytes.match(/\u001b\[\d*[A-Z]|\r?\n|\r|[^\u001b\r\n]/gu) ?? [];
  for (const token of tokens) {
    const amount = Number(/\d+/.exec(token)?.[0] ?? 1);
    if (token.endsWith("\n")) [row, column] = [row + 1, 0];
    else if (token === "\r") column = 0;
    else if (token.startsWith("\u001b")) {
      if (token.endsWith("A")) row = Math.max(0, row - amount);
      if (token.endsWith("B")) row += amount;
      if (token.endsWith("C")) column += amount;
      if (token.endsWith("D")) column = Math.max(0, column - amount);
      if (token.endsWith("G")) column = amount - 1;
      if (token.endsWith("J")) rows.splice(row, Number.POSITIVE_INFINITY, (rows[row] ?? []).slice(0, column));
    } else {
      if (column === columns) [row, column] = [row + 1, 0];
      (rows[row] ??= [])[column++] = token;
    }
    rows[row] ??= [];
  }
  return Array.from(rows, (cells) =>
    Array.from(cells ?? [], (cell) => cell ?? " ")
      .join("")
      .trimEnd(),
  ).filter((line) => line !== "");
}
