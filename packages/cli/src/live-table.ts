import type { Output, Sink, Style } from "./output.js";
import { clipped, columnsOf } from "./text-width.js";

/** One row: its cells, and how they look. */
export interface Row {
  readonly cells: readonly string[];
  readonly styles?: readonly (Style | undefined)[];
}

/** A terminal, as far as the table needs to know it. */
export interface TableSink extends Sink {
  readonly columns?: number;
  readonly rows?: number;
}

const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
const GAP = "  ";

/** A table that is drawn again in its place. Nothing else may write to the terminal meanwhile. */
export class LiveTable {
  readonly #sink: TableSink;
  readonly #paint: Output["paint"];
  readonly #head: readonly string[];
  #shown = 0;

  constructor(sink: TableSink, paint: Output["paint"], head: readonly string[]) {
    this.#sink = sink;
    this.#paint = paint;
    this.#head = head;
  }

  /** @param remark below the rows; "" = none */
  show(rows: readonly Row[], remark: string): void {
    // Some terminals say 0 when they do not know. The last column stays free: there lines would wrap.
    const columns = (this.#sink.columns || DEFAULT_COLUMNS) - 1;
    // Above what fits nothing can be drawn again.
    const room = Math.max((this.#sink.rows || DEFAULT_ROWS) - 3, 1);
    const fitting = rows.slice(0, room);
    const widths = this.#head.map((title, at) =>
      Math.max(columnsOf(title), ...fitting.map(({ cells }) => columnsOf(cells[at] ?? ""))),
    );
    const head: Row = { cells: this.#head, styles: this.#head.map(() => "dim") };
    const lines = [head, ...fitting].map((row) => this.#line(row, widths, columns));
    const left = rows.length - fitting.length;
    const below = [left > 0 ? `… and ${left} more` : "", remark].filter((text) => text !== "").join(" ");
    if (below !== "") lines.push(this.#paint("dim", clipped(below, columns)));
    this.#sink.write(`${this.#eraseCode()}${lines.join("\n")}\n`);
    this.#shown = lines.length;
  }

  #eraseCode(): string {
    return this.#shown === 0 ? "" : `\u001b[${this.#shown}A\r\u001b[J`;
  }

  #line({ cells, styles = [] }: Row, widths: readonly number[], columns: number): string {
    let [line, left] = ["", columns];
    for (const [at, width] of widths.entries()) {
      const cell = cells[at] ?? "";
      const isLast = at === widths.length - 1;
      const text = clipped(isLast ? cell : cell + " ".repeat(width - columnsOf(cell)), left);
      const style = styles[at];
      line += style === undefined || text.trim() === "" ? text : this.#paint(style, text);
      left -= columnsOf(text);
      if (!isLast && left > GAP.length) line += GAP;
      left -= GAP.length;
      if (left <= 0) break;
    }
    return line.trimEnd();
  }
}
