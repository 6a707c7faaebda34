import { fromBinary } from "@bufbuild/protobuf";
import { MessageSchemeSchema, peekId, type Signal, SignalStatus, summaryOf } from "@bimip/protocol";
import type { LogEntry, LogReader } from "@bimip/nats";
import { pagesAfter, SCAN_BYTES } from "./log-walk.js";

/** Receipts mostly follow their messages soon: behind a page so many entries are looked at for them. */
const SCAN_ENTRIES = 2_000;
/** All receipts of one page; what is beyond is in the log all the same. */
const RECEIPT_BYTES = 64 * 1024;

const RECEIPTS: readonly number[] = [
  SignalStatus.DELIVERED,
  SignalStatus.READ,
  SignalStatus.PLAYED,
  SignalStatus.FORWARDED,
];

/** A receipt, and the message that it is for: an id is unique per sender and recipient. */
interface Receipt {
  readonly entry: LogEntry;
  readonly message: string;
  readonly status: number;
}

/** Finds the receipts that others gave for a page's own messages. They are entries of the same log. */
export class PageReceipts {
  readonly #eid: string;
  readonly #seen: Receipt[] = [];

  constructor(eid: string) {
    this.#eid = eid;
  }

  /** Notes the entry if it is a receipt. */
  look(entry: LogEntry): void {
    const { kind, from } = summaryOf(entry.bytes);
    if (kind !== "signal") return;
    const { id, status } = signalOf(entry.bytes);
    if (RECEIPTS.includes(status)) this.#seen.push({ entry, message: messageKey(from.eid, id), status });
  }

  /**
   * The receipts for `items`, ascending, each once per giver and status: of those noted, and of the entries that follow
   * `range.after`.
   */
  async of(
    reader: LogReader,
    items: readonly LogEntry[],
    range: { after: number; head: number },
  ): Promise<readonly LogEntry[]> {
    const own = new Set<string>();
    for (const { bytes } of items) {
      const { from, to } = summaryOf(bytes);
      if (from.eid === this.#eid) own.add(messageKey(to.eid, peekId(bytes) ?? ""));
    }
    if (own.size === 0) return [];
    await this.#lookBehind(reader, range);
    const found = new Map<string, LogEntry>();
    let bytes = 0;
    for (const { entry, message, status } of this.#seen.toSorted((a, b) => a.entry.index - b.entry.index)) {
      const key = `${status} ${message}`;
      if (!own.has(message) || found.has(key)) continue;
      bytes += entry.bytes.length;
      if (bytes > RECEIPT_BYTES) break;
      found.set(key, entry);
    }
    return [...found.values()];
  }

  async #lookBehind(reader: LogReader, { after, head }: { after: number; head: number }): Promise<void> {
    let scanned = 0;
    let bytes = 0;
    for await (const page of pagesAfter(reader, this.#eid, after, head)) {
      for (const entry of page) {
        this.look(entry);
        bytes += entry.bytes.length;
      }
      scanned += page.length;
      if (scanned >= SCAN_ENTRIES || bytes >= SCAN_BYTES) return;
    }
  }
}

/** Names hold no control characters, so NUL parts them. */
function messageKey(partner: string, id: string): string {
  return `${partner}\0${id}`;
}

function signalOf(bytes: Uint8Array): Signal {
  const { payload } = fromBinary(MessageSchemeSchema, bytes);
  if (payload.case !== "signal") throw new Error("not a Signal");
  return payload.value;
}
