import type { ClientState, LocationChange, PresenceApi, PresenceChange } from "@bimip/client";
import { LiveTable, type Row, type TableSink } from "./live-table.js";
import { type Output, printable } from "./output.js";
import { byPresence, placeText, presenceCells, presenceText, styleOf } from "./shown-presence.js";
import { timeText } from "./shown-message.js";

/** What shows who is there. */
export interface WatchView {
  onPresence(change: PresenceChange): void;
  onLocation(location: LocationChange): void;
  onState(state: ClientState): void;
  /** Something went wrong, and may pass. */
  onError(details: string): void;
  close(): void;
}

export interface WatchViewOptions {
  readonly output: Output;
  readonly sink: TableSink;
  readonly presence: Pick<PresenceApi, "live" | "all">;
  /** Who watches. */
  readonly eid: string;
}

/** A table on a terminal, else a line for each change. */
export function createWatchView(options: WatchViewOptions): WatchView {
  const { output, sink } = options;
  return sink.isTTY === true && !output.json ? new TableView(options) : new LineView(output);
}

class LineView implements WatchView {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  onPresence({ eid, presence }: PresenceChange): void {
    const { result, paint } = this.#output;
    const json = { event: "presence", ...(presence ?? { eid, status: null }) };
    result(json, `${paint("dim", timeText(new Date()))} ${presenceText(eid, presence)}`);
  }

  onLocation(location: LocationChange): void {
    const { result, paint } = this.#output;
    const text = `${printable(location.eid)} is at ${placeText(location)}`;
    result({ event: "location", ...location }, `${paint("dim", timeText(location.at))} ${text}`);
  }

  onState(): void {
    // What matters of it comes as an error, or as changes.
  }

  onError(details: string): void {
    this.#output.note(details);
  }

  close(): void {
    // Nothing is open.
  }
}

const HEAD = ["who", "presence", "status", "words", "since", "where"];
/** Positions come ten times a second from each. */
const REDRAW_MS = 100;

class TableView implements WatchView {
  readonly #o: WatchViewOptions;
  readonly #table: LiveTable;
  #error = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: WatchViewOptions) {
    this.#o = options;
    this.#table = new LiveTable(options.sink, options.output.paint, HEAD);
  }

  onPresence(): void {
    this.#redraw();
  }

  onLocation(): void {
    this.#redraw();
  }

  onState(state: ClientState): void {
    if (state === "online") this.#error = "";
    this.#redraw();
  }

  onError(details: string): void {
    this.#error = details;
    this.#redraw();
  }

  close(): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    // What came last is to stay.
    if (this.#timer !== undefined && this.#o.presence.live) this.#draw();
    this.#closed = true;
  }

  #redraw(): void {
    if (this.#closed) return;
    this.#timer ??= setTimeout(() => this.#draw(), REDRAW_MS);
  }

  #draw(): void {
    this.#timer = undefined;
    const { presence, eid } = this.#o;
    const people = [...presence.all().values()].sort(byPresence);
    const rows = people.map((one): Row => {
      const { eid: name, presence: word, status, details, time, place } = presenceCells(one);
      return {
        cells: [name, word, status, details, time, place],
        styles: ["cyan", styleOf(one), undefined, undefined, "dim", undefined],
      };
    });
    this.#table.show(rows, this.#remark(people.length, eid));
  }

  #remark(count: number, eid: string): string {
    if (!this.#o.presence.live) return `(not connected: ${printable(this.#error || "connecting")})`;
    if (this.#error !== "") return `(${printable(this.#error)})`;
    return count > 0 ? "" : `(nobody lets ${printable(eid)} see them yet)`;
  }
}
