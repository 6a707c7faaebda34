import { decodeFrame, type Signal, SignalStatus, SignalType } from "@bimip/protocol";
import type { Tap } from "./sockets.js";
import { isDue, isOwn, type Truth } from "./truth.js";

/** A replay that the device asked for, by connecting or by RESUME. */
interface Replay {
  readonly id: string;
  /** N, 0 or -1. */
  readonly asked: number;
  /** When, virtual milliseconds. */
  readonly atMs: number;
  /** Head of the log at that moment. */
  readonly head: number;
  /** What the device sent itself comes too, up to here: all of it until the replay is announced, nothing, or up to there. */
  ownUpTo: number;
  /** Last index handed over in it, or perhaps: what follows an older replay may also begin a newer one. */
  last: number | undefined;
  announced: boolean;
  /** A newer request was refused: this one may go on, or was overtaken before it began. */
  unsure: boolean;
}

export interface WireCheckOptions {
  readonly eid: string;
  readonly device: string;
  readonly truth: Truth;
  readonly nowMs: () => number;
  readonly note: (line: () => string) => void;
  /** Indexes behind which storage told this device to go on, of all answers to such a question since then. */
  readonly starts: (asked: number, sinceMs: number) => Iterable<number>;
  readonly fail: (rule: string, details: string) => void;
  /** An index was handed over. */
  readonly onHanded: (index: number) => void;
  /** The device asked to go on behind an index. */
  readonly onResumed: (after: number) => void;
  /** The device acknowledged up to here, or tried to. */
  readonly onAcknowledged: (index: number) => void;
}

const AUTOMATIC = "";
const EVERYTHING = -1;
const MAX_STANZA = { maxStanzaBytes: 1 << 24 } as const;
const CURSOR: ReadonlySet<number> = new Set([
  SignalStatus.DELIVERED,
  SignalStatus.READ,
  SignalStatus.PLAYED,
  SignalStatus.FORWARDED,
]);

/**
 * What one connection may carry, frame by frame: every due entry once, in order, `previous_id` unbroken, RESUME
 * announced once per request and not before everything up to the head of that time was handed over, SENT only for
 * what is stored.
 */
export class WireCheck implements Tap {
  readonly #o: WireCheckOptions;
  /** Not overtaken by a newer one; the oldest is under way. */
  #replays: Replay[] = [];
  /** Where SENT told that copies of its own lie. */
  readonly #sentAt = new Set<number>();
  open = true;

  constructor(options: WireCheckOptions, manual: boolean) {
    this.#o = options;
    if (!manual) this.#ask(AUTOMATIC, 0);
  }

  fromDevice(bytes: Uint8Array): void {
    const { kind, value } = decodeFrame(bytes, MAX_STANZA).stanza;
    if (kind === "message") this.#o.note(() => `sends ${value.id}`);
    if (kind !== "signal") return;
    if (value.status === SignalStatus.RESUME) this.#o.note(() => `asks for RESUME ${value.id} ${value.monotonicId}`);
    if (value.status === SignalStatus.RESUME) this.#ask(value.id, Number(value.monotonicId));
    else if (CURSOR.has(value.status)) {
      this.#o.note(() => `acknowledges ${value.monotonicId} ${value.id} (${value.status})`);
      this.#o.onAcknowledged(Number(value.monotonicId));
    }
  }

  /** At the moment the gateway gives it to the socket. */
  fromGateway(bytes: Uint8Array, congested: boolean): void {
    const { kind, value } = decodeFrame(bytes, MAX_STANZA).stanza;
    if (
      congested &&
      (kind === "message" || (kind === "signal" && value.logId > 0n && value.status !== SignalStatus.SENT))
    ) {
      this.#fail("a slow socket is given nothing of the log", `${kind} ${value.id}`);
    }
    if (kind === "message") this.#handed(Number(value.monotonicId), Number(value.previousId));
    if (kind === "error") this.#o.note(() => `is told ${value.code} of ${value.id}: ${value.details}`);
    if (kind !== "signal") return;
    if (value.status === SignalStatus.SENT) this.#sent(value);
    else if (value.status === SignalStatus.RESUME) this.#announced(value);
    else if (value.logId > 0n) this.#handed(Number(value.logId), Number(value.previousId));
  }

  closed(): void {
    this.open = false;
  }

  /** To be called when nothing happens any more: the newest request has its answer. */
  settled(): void {
    const newest = this.#replays.findLast(({ unsure }) => !unsure);
    if (newest?.announced === false) this.#fail("RESUME is answered", `${newest.id} (${newest.asked})`);
  }

  get complete(): boolean {
    const newest = this.#replays.findLast(({ unsure }) => !unsure);
    return newest?.announced ?? this.#replays.length > 0;
  }

  #ask(id: string, asked: number): void {
    this.#o.onResumed(asked);
    const { truth, eid, nowMs } = this.#o;
    const ownUpTo = asked === EVERYTHING ? Number.POSITIVE_INFINITY : 0;
    const head = truth.head(eid);
    this.#replays.push({ id, asked, atMs: nowMs(), head, ownUpTo, last: undefined, announced: false, unsure: false });
  }

  #handed(index: number, previous: number): void {
    this.#o.note(() => `is handed ${index} behind ${previous}`);
    this.#o.onHanded(index);
    const entry = this.#o.truth.find(this.#o.eid, index);
    if (entry === undefined) return this.#fail("only stored entries are handed over", `index ${index}`);
    let why = "nothing was asked for";
    const joined = this.#replays.filter((replay) => {
      const problem = this.#joins(replay, index, previous);
      if (problem !== undefined && replay === this.#replays[0]) why = problem;
      return problem === undefined;
    });
    const [first] = joined;
    if (first === undefined) {
      return this.#fail("each once, in order, previous_id unbroken", `index ${index}, previous_id ${previous}: ${why}`);
    }
    this.#begin(first);
    for (const replay of this.#replays) if (replay !== first) replay.last = undefined;
    for (const replay of joined) replay.last = index;
  }

  /** It is under way; those before it are over. */
  #begin(replay: Replay): void {
    this.#replays = this.#replays.slice(this.#replays.indexOf(replay));
  }

  /** Why the entry cannot be the next of the replay; undefined: it is. */
  #joins(replay: Replay, index: number, previous: number): string | undefined {
    let why = "storage named no start";
    if (replay.last !== undefined) {
      const problem = this.#follows(replay, replay.last, index, previous);
      // One that has certainly begun does not begin again.
      if (problem === undefined || replay === this.#replays[0]) return problem;
      why = problem;
    }
    for (const after of this.#o.starts(replay.asked, replay.atMs)) {
      const problem = this.#follows(replay, after, index, previous);
      if (problem === undefined) return undefined;
      why = problem;
    }
    return why;
  }

  #follows(replay: Replay, last: number, index: number, previous: number): string | undefined {
    const { truth, eid, device } = this.#o;
    if (index <= last) return `comes after ${last}`;
    const entry = truth.find(eid, index);
    if (entry !== undefined && !isDue(entry, device, index <= replay.ownUpTo)) return "is not for this device";
    const told = new Set([last]);
    for (const between of truth.between(eid, last, index)) {
      const withOwn = between.seq <= replay.ownUpTo;
      const own = isOwn(between, device) && !(withOwn && isDue(between, device, true));
      if (!own && !isDue(between, device, withOwn)) continue;
      if (!own && !between.stored.gone) return `${between.seq} is missing after ${last}`;
      // A copy of its own counts once SENT told of it; in a replay it may have been told in an earlier session.
      if (own && !withOwn && !between.stored.gone && this.#sentAt.has(between.seq)) told.clear();
      told.add(between.seq);
    }
    return told.has(previous) ? undefined : `previous_id should be ${[...told].join(" or ")}`;
  }

  #announced(signal: Signal): void {
    const head = Number(signal.monotonicId);
    this.#o.note(() => `RESUME ${signal.id} of type ${signal.type} at ${head} ${signal.details}`);
    const replay = this.#replays.findLast(({ id, announced }) => id === signal.id && !announced);
    if (signal.type === SignalType.ERROR) {
      const at = replay === undefined ? -1 : this.#replays.indexOf(replay);
      for (const older of this.#replays.slice(0, Math.max(at, 0))) older.unsure = !older.announced;
      // Overtaken: none of the newer ones has begun yet, whatever seemed to be theirs.
      if (at >= 0) for (const newer of this.#replays.slice(at + 1)) newer.last = undefined;
      this.#replays = this.#replays.filter((other) => other !== replay);
      return;
    }
    if (replay === undefined) {
      if (signal.id === "" && signal.details.includes("were trimmed before")) return;
      return this.#fail("RESUME is answered once", `${signal.id} at ${head}`);
    }
    for (const { seq, stored } of this.#o.truth.between(this.#o.eid, head, replay.head + 1)) {
      if (!stored.gone)
        this.#fail("RESUME waits for the head", `${head} announced, ${seq} was there when it was asked for`);
    }
    const starts = replay.last === undefined ? [...this.#o.starts(replay.asked, replay.atMs)] : [replay.last];
    const missing = starts.map((after) => this.#firstDue(replay, after, head));
    if (missing.every((entry) => entry !== undefined)) {
      this.#fail("RESUME comes after everything before it", `${head} announced, ${missing.join(", ")} missing`);
    }
    replay.announced = true;
    replay.unsure = false;
    replay.ownUpTo = Math.min(replay.ownUpTo, head);
    this.#begin(replay);
  }

  #firstDue({ ownUpTo }: Replay, after: number, upTo: number): number | undefined {
    for (const entry of this.#o.truth.between(this.#o.eid, after, upTo + 1)) {
      if (!entry.stored.gone && isDue(entry, this.#o.device, entry.seq <= ownUpTo)) return entry.seq;
    }
    return undefined;
  }

  #sent(signal: Signal): void {
    const { truth, eid } = this.#o;
    const to = signal.to?.eid ?? "";
    this.#o.note(() => `is told SENT of ${signal.id}`);
    this.#sentAt.add(Number(signal.logId));
    const stored = truth.find(to, Number(signal.monotonicId));
    const copy = truth.find(eid, Number(signal.logId));
    const isIt = (entry: typeof stored): boolean =>
      entry?.kind === "message" && entry.id === signal.id && entry.from.eid === eid && entry.toEid === to;
    if (!isIt(stored)) this.#fail("SENT means stored", `${signal.id} to ${to} at ${signal.monotonicId}`);
    if (!isIt(copy)) this.#fail("SENT means that the copy is stored", `${signal.id} at ${signal.logId}`);
  }

  #fail(rule: string, details: string): void {
    this.#o.fail(rule, `${this.#o.eid}/${this.#o.device}: ${details}`);
  }
}
