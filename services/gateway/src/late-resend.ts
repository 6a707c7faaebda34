import { encodeIdentity, isFrom } from "@bimip/protocol";
import { createTurns, type Scanned, type ScanRequest } from "@bimip/nats";

/** Who repeats. */
export interface Resender {
  readonly eid: string;
  readonly repeats: Repeats;
}

/** What a session knows of the logs that it repeated something into; kept by {@link LateResends}. */
export class Repeats {
  /** By owner of the log; the one used last goes last. */
  readonly logs = new Map<string, Memory>();
  /** One scan at a time, so that no session keeps others waiting for theirs. */
  readonly inTurn = createTurns(1);
  /** The session is over: what it still finds is not remembered. */
  ended = false;

  clear(): void {
    this.logs.clear();
  }
}

export interface LateResendsOptions {
  /** JetStream recognises a repeat for so long. */
  readonly dedupeWindowMs: number;
  readonly scan: (request: Omit<ScanRequest, "partitions">) => Promise<Scanned>;
  /** Changes when the log was recreated. */
  readonly epochOf: (eid: string) => Promise<number>;
  /** Entries that are remembered for all sessions together; default 400,000, some 60 MB. */
  readonly maxRemembered?: number;
}

/** What a session knows of one log: which of its user's entries stand in it. */
export interface Memory {
  readonly epoch: number;
  /** By entry id. */
  readonly indexes: Map<string, number>;
  /** All from `sinceMs` (epoch milliseconds) to the index `last` was looked at: to the end if `complete`, else to the time `lastMs`. */
  sinceMs: number;
  last: number;
  lastMs: number;
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
/** Logs, and entries of all of them, that are remembered for a session; a scan may add to that, then the oldest logs are forgotten. */
const MAX_LOGS = 64;
const MAX_REMEMBERED = 40_000;
/** One account with a hundred sessions must not fill the memory. */
const MAX_REMEMBERED_BY_ALL = 400_000;

/**
 * Recognises repeats of messages that JetStream has forgotten. A client repeats a message with its first `timestamp`, so
 * one whose timestamp is old is looked up in the log before it is stored: the log is read from that time on, and what
 * the sender has in it is remembered, so that a hundred queued messages cost one scan. A scan that met its bound before the
 * time of the next message is begun anew from there.
 *
 * What the session itself stores after a scan is JetStream's to recognise, until the scan is half a window old; then the
 * rest of the log is read.
 */
export class LateResends {
  readonly #o: LateResendsOptions;
  readonly #inTurn = createTurns(MAX_CONCURRENT_SCANS);
  /** How many entries each session remembers; the one that looked last goes last. */
  readonly #sessions = new Map<Repeats, number>();
  #remembered = 0;

  constructor(options: LateResendsOptions) {
    this.#o = options;
  }

  /** Entries that are remembered for all sessions. */
  get remembered(): number {
    return this.#remembered;
  }

  /** The session is over. */
  end(repeats: Repeats): void {
    repeats.ended = true;
    this.#forget(repeats);
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
    const sinceMs = timestampMs - CLOCK_MARGIN_MS;
    const memory = memoryOf(sender.repeats, eid, await this.#o.epochOf(eid));
    while (memory.scanning !== undefined) await memory.scanning;
    const known = memory.indexes.get(entryId);
    if (known !== undefined || this.#isCurrent(memory, sinceMs)) return known;
    memory.scanning = this.#scan(sender, eid, memory, sinceMs).finally(() => {
      memory.scanning = undefined;
    });
    await memory.scanning;
    return memory.indexes.get(entryId);
  }

  #isCurrent(memory: Memory, sinceMs: number): boolean {
    const { complete, scannedAtMs } = memory;
    return complete && memory.sinceMs <= sinceMs && Date.now() - scannedAtMs < this.#o.dedupeWindowMs / 2;
  }

  async #scan(sender: Resender, eid: string, memory: Memory, sinceMs: number): Promise<void> {
    const isFull = memory.indexes.size >= MAX_REMEMBERED;
    if (isFull) memory.indexes.clear();
    if (isFull || !covers(memory, sinceMs)) Object.assign(memory, { sinceMs, last: 0, complete: false });
    const anyDevice = encodeIdentity({ eid: sender.eid, node: "" });
    const beganMs = Date.now();
    const scan = () =>
      this.#o.scan({
        eid,
        from: memory.last > 0 ? { after: memory.last } : { sinceMs: memory.sinceMs },
        limit: SCAN_ENTRIES,
        maxBytes: SCAN_BYTES,
        wanted: (bytes) => isFrom(bytes, anyDevice),
        onEntry: ({ index, entryId }) => void memory.indexes.set(entryId, index),
      });
    const { last, lastMs, complete } = await sender.repeats.inTurn(() => this.#inTurn(scan));
    memory.last = Math.max(last, memory.last);
    memory.lastMs = lastMs;
    memory.complete = complete;
    memory.scannedAtMs = beganMs;
    forgetOldest(sender.repeats);
    this.#note(sender.repeats);
  }

  /** Those that looked longest ago make room. */
  #note(repeats: Repeats): void {
    if (repeats.ended) return;
    this.#uncount(repeats);
    const entries = entriesOf(repeats);
    this.#sessions.set(repeats, entries);
    this.#remembered += entries;
    const { maxRemembered = MAX_REMEMBERED_BY_ALL } = this.#o;
    for (const oldest of this.#sessions.keys()) {
      if (this.#remembered <= maxRemembered || oldest === repeats) return;
      this.#forget(oldest);
    }
  }

  #forget(repeats: Repeats): void {
    this.#uncount(repeats);
    repeats.clear();
  }

  #uncount(repeats: Repeats): void {
    this.#remembered -= this.#sessions.get(repeats) ?? 0;
    this.#sessions.delete(repeats);
  }
}

/** Whether that time lies in what was looked at, so that it can go on from its end. */
function covers({ sinceMs, last, lastMs, complete }: Memory, timeMs: number): boolean {
  return last > 0 && sinceMs <= timeMs && (complete || timeMs <= lastMs);
}

function memoryOf({ logs }: Repeats, eid: string, epoch: number): Memory {
  let memory = logs.get(eid);
  if (memory?.epoch !== epoch) {
    const nothing = { sinceMs: 0, last: 0, lastMs: 0, complete: false, scannedAtMs: 0, scanning: undefined };
    memory = { epoch, indexes: new Map(), ...nothing };
  }
  logs.delete(eid);
  logs.set(eid, memory);
  if (logs.size > MAX_LOGS) logs.delete(logs.keys().next().value ?? "");
  return memory;
}

/** Keeps the log used last in any case. */
function forgetOldest(repeats: Repeats): void {
  const { logs } = repeats;
  let entries = entriesOf(repeats);
  for (const [eid, { indexes }] of logs) {
    if (entries <= MAX_REMEMBERED || logs.size === 1) return;
    logs.delete(eid);
    entries -= indexes.size;
  }
}

function entriesOf({ logs }: Repeats): number {
  let entries = 0;
  for (const { indexes } of logs.values()) entries += indexes.size;
  return entries;
}
