import { decodeFrame, SignalStatus } from "@bimip/protocol";
import type { Stored } from "./stream.js";

/** An entry of a user's log as it was stored, read once. */
export interface TruthEntry {
  readonly stored: Stored;
  readonly seq: number;
  readonly kind: "message" | "receipt" | "other";
  readonly id: string;
  /** Sender, recipient and id of the message, or of the one that a receipt is about. */
  readonly name: string;
  readonly from: { readonly eid: string; readonly device: string };
  /** For one device of the log's owner alone. */
  readonly onlyFor: string | undefined;
  readonly toEid: string;
  readonly status: number;
  /** Of a receipt: the message's index in the log of who gave it. */
  readonly about: number;
}

const RECEIPTS: ReadonlySet<number> = new Set([
  SignalStatus.DELIVERED,
  SignalStatus.READ,
  SignalStatus.PLAYED,
  SignalStatus.FORWARDED,
]);

export interface TruthOptions {
  /** The stream knows an id for so long. */
  readonly dedupeWindowMs: number;
  readonly fail: (rule: string, details: string) => void;
  /** A receipt was stored again that the stream had forgotten; whether the ledger of receipts should have known it. */
  readonly wasKnown: (receipt: TruthEntry) => boolean;
}

/** Every entry that was ever stored: what the rules are checked against. */
export class Truth {
  readonly #logs = new Map<string, TruthEntry[]>();
  readonly #seen = new Map<string, Stored>();
  readonly #told = new Set<string>();
  readonly #o: TruthOptions;

  constructor(options: TruthOptions) {
    this.#o = options;
  }

  add(stored: Stored): TruthEntry {
    const entry = read(stored);
    const log = this.#logs.get(stored.eid);
    if (log === undefined) this.#logs.set(stored.eid, [entry]);
    else log.push(entry);
    this.#once(entry);
    return entry;
  }

  log(eid: string): readonly TruthEntry[] {
    return this.#logs.get(eid) ?? [];
  }

  find(eid: string, seq: number): TruthEntry | undefined {
    const log = this.log(eid);
    let low = 0;
    let high = log.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const entry = log[middle] as TruthEntry;
      if (entry.seq === seq) return entry;
      if (entry.seq < seq) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }

  /** Index of the last retained entry. */
  head(eid: string): number {
    return this.log(eid).findLast(({ stored }) => !stored.gone)?.seq ?? 0;
  }

  /** Entries with `after` < index < `before`. */
  *between(eid: string, after: number, before: number): Iterable<TruthEntry> {
    const log = this.log(eid);
    let at = log.length;
    while (at > 0 && (log[at - 1] as TruthEntry).seq > after) at--;
    for (; at < log.length; at++) {
      const entry = log[at] as TruthEntry;
      if (entry.seq >= before) return;
      yield entry;
    }
  }

  /** Whether a receipt for the message, by anyone of its recipient's devices, is in the author's log. */
  isTold({ name }: TruthEntry): boolean {
    return this.#told.has(name);
  }

  /** Whether a message of this name was ever stored in the log. */
  isStored(eid: string, name: string): boolean {
    return this.#seen.has(`${eid} message ${name} 0`);
  }

  /** What was stored twice, though the stream, or who asked it to, should have known it. */
  #once(entry: TruthEntry): void {
    const { kind, name, status, stored } = entry;
    if (kind === "other") return;
    if (kind === "receipt") this.#told.add(name);
    const key = `${stored.eid} ${kind} ${name} ${status}`;
    const before = this.#seen.get(key);
    this.#seen.set(key, stored);
    if (before === undefined) return;
    if (stored.atMs - before.atMs < this.#o.dedupeWindowMs) this.#o.fail("the stream stores each once", key);
    else if (kind === "message" && !before.gone) this.#o.fail("a late repeat is recognised", key);
    else if (kind === "receipt" && this.#o.wasKnown(entry)) this.#o.fail("a receipt is told once", key);
  }
}

/** Whether the device should get the entry by itself. */
export function isDue(entry: TruthEntry, device: string, withOwn: boolean): boolean {
  if (!withOwn && isOwn(entry, device)) return false;
  return entry.onlyFor === undefined || entry.onlyFor === device;
}

/** Sent by the very device that owns the log. */
export function isOwn({ from, stored }: TruthEntry, device: string): boolean {
  return from.eid === stored.eid && from.device === device;
}

function read(stored: Stored): TruthEntry {
  const { kind, value } = decodeFrame(stored.bytes, { maxStanzaBytes: 1 << 24 }).stanza;
  if (kind !== "message" && kind !== "signal") throw new Error(`a ${kind} was stored`);
  const { id } = value;
  const from = { eid: value.from?.eid ?? "", device: value.from?.connectionResourceId ?? "" };
  const toEid = value.to?.eid ?? "";
  const common = { stored, seq: stored.seq, id, from, toEid };
  if (kind === "signal") {
    const { status } = value;
    const name = `${stored.eid} ${from.eid} ${id}`;
    const receipt = RECEIPTS.has(status) ? "receipt" : "other";
    return { ...common, kind: receipt, name, onlyFor: undefined, status, about: Number(value.monotonicId) };
  }
  const device = value.to?.connectionResourceId ?? "";
  const onlyFor = device !== "" && toEid === stored.eid ? device : undefined;
  return { ...common, kind: "message", name: `${from.eid} ${toEid} ${id}`, onlyFor, status: 0, about: 0 };
}
