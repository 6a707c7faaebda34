import { stripVTControlCharacters } from "node:util";

/** Columns a line takes in a terminal: wide characters (CJK, emoji) take two, combining ones none. */
export function columnsOf(line: string): number {
  let columns = 0;
  for (const char of stripVTControlCharacters(line)) columns += columnsOfChar(char);
  return columns;
}

/** As much of a line without colours as fits, the rest told by an ellipsis. */
export function clipped(line: string, columns: number): string {
  if (columnsOf(line) <= columns) return line;
  let [text, taken] = ["", 0];
  for (const char of line) {
    taken += columnsOfChar(char);
    if (taken > columns - 1) break;
    text += char;
  }
  return columns > 0 ? `${text}…` : "";
}

function columnsOfChar(char: string): number {
  if (/[\p{Mn}\p{Me}\p{Cf}]/u.test(char)) return 0;
  return /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\u{1f300}-\u{1faff}]/u.test(
    char,
  )
    ? 2
    : 1;
}
