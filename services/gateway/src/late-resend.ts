import { encodeIdentity, isFrom } from "@bimip/protocol";
import { createTurns, type Scanned, type ScanRequest } from "@bimip/nats";

/** Who repeats. */
export interface Resender {
  readonly eid: string;
  /** By owner of the log; kept by {@link LateResends}, forgotten with the session. */
  readonly repeats: Map<string, Memory>;
}

export interface LateResendsOptions {
  /** JetStream recognises a repeat for so long. */
  readonly dedupeWindowMs: number;
  readonly scan: (request: Omit<ScanRequest, "partitions">) => Promise<Scanned>;
}

/** What a session knows of one log: which of its user's entries stand in it, since when. */
export interface Memory {
  readonly sinceMs: number;
  /** By entry id. */
  readonly indexes: Map<string, number>;
  last: number;
  complete: boolean;
  scannedAtMs: number;
  scanning: Promise<void> | undefined;
}

/** Of the dedupe window: a message younger than that cannot have left it, unless clocks differ by the rest of it. */
const LATE_PART = 1 / 4;
/** The client's clock may be ahead of NATS's by so much. */
const CLOCK_MARGIN_MS = 60_000;
/** One look-up reads so much at most. What is not in it counts as never stored. */
const SCAN_ENTRIES = 20_000;
const SCAN_BYTES = 32 * 1024 * 1024;
/** Scans at once by one process; more wait their turn. */
const MAX_CONCURRENT_SCANS = 4;
/** Logs, and entries of each, that are remembered for a session. */
const MAX_LOGS = 64;
const MAX_REMEMBERED = 20_000;

/**
 * Recognises repeats of messages that JetStream has forgotten. A client repeats a message with its first `timestamp`, so
 * one whose timestamp is old is looked up in the log before it is stored: the log is read from that time on, and what
 * the sender has in it is remembered, so that a hundred queued messages cost one scan.
 *
 * What the session itself stores after a scan is JetStream's to recognise, until the scan is half a window old; then the
 * rest of the log is read.
 */
export class LateResends {
  readonly #o: LateResendsOptions;
  readonly #inTurn = createTurns(MAX_CONCURRENT_SCANS);

  constructor(options: LateResendsOptions) {
    this.#o = options;
  }

  /** Whether a message with this timestamp (epoch milliseconds, 0 = none) may be a repeat that JetStream has forgotten. */
  isLate(timestamp: bigint): boolean {
    return timestamp > 0n && Date.now() - Number(timestamp) > this.#o.dedupeWindowMs * LATE_PART;
  }

  /**
   * Index of the sender's entry in `eid`'s log, if it was stored at `timestampMs` or later. Rejects with an Error when
   * the log cannot be read.
   */
  async find(sender: Resender, eid: string, entryId: string, timestampMs: number): Promise<number | undefined> {
    const memory = this.#memory(sender, eid, timestampMs - CLOCK_MARGIN_MS);
    while (memory.scanning !== undefined) await memory.scanning;
    const known = memory.indexes.get(entryId);
    if (known !== undefined || this.#isCurrent(memory)) return known;
    memory.scanning = this.#scanOn(sender, eid, memory).finally(() => {
      memory.scanning = undefined;
    });
    await memory.scanning;
    return memory.indexes.get(entryId);
  }

  #isCurrent({ complete, scannedAtMs }: Memory): boolean {
    return complete && Date.now() - scannedAtMs < this.#o.dedupeWindowMs / 2;
  }

  async #scanOn(sender: Resender, eid: string, memory: Memory): Promise<void> {
    const anyDevice = encodeIdentity({ eid: sender.eid, node: "" });
    const beganMs = Date.now();
    const { last, complete } = await this.#inTurn(() =>
      this.#o.scan({
        eid,
        from: memory.last > 0 ? { after: memory.last } : { sinceMs: memory.sinceMs },
        limit: SCAN_ENTRIES,
        maxBytes: SCAN_BYTES,
        wanted: (bytes) => isFrom(bytes, anyDevice),
        onEntry: ({ index, entryId }) => remember(memory.indexes, entryId, index, MAX_REMEMBERED),
      }),
    );
    memory.last = Math.max(last, memory.last);
    memory.complete = complete;
    memory.scannedAtMs = beganMs;
  }

  #memory({ repeats }: Resender, eid: string, sinceMs: number): Memory {
    let memory = repeats.get(eid);
    if (memory === undefined || memory.sinceMs > sinceMs) {
      memory = { sinceMs, indexes: new Map(), last: 0, complete: false, scannedAtMs: 0, scanning: undefined };
    }
    repeats.delete(eid); // the one used last goes last
    remember(repeats, eid, memory, MAX_LOGS);
    return memory;
  }
}

/** Sets, and drops the oldest beyond `limit`. */
function remember<T>(map: Map<string, T>, key: string, value: T, limit: number): void {
  map.set(key, value);
  if (map.size <= limit) return;
  for (const oldest of map.keys()) {
    map.delete(oldest);
    return;
  }
}
