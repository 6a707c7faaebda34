import { type BimipError, ErrorCode, type Signal, SignalType } from "@bimip/protocol";
import { type BackoffOptions, backoffMs } from "./backoff.js";
import { type Entry, LogPosition, logIndexOf } from "./log-position.js";
import { retryAfterMs } from "./retry-after.js";

export interface ArrivalsOptions {
  /** Where a log is begun of which nothing is known. */
  readonly begin: "cursor" | "everything";
  readonly backoff: BackoffOptions;
  /** Names of the messages that were sent and wait for their answer; `of`: only of those. */
  readonly inFlight: (of?: ReadonlySet<string>) => Set<string>;
  /** An entry of this name came before. */
  readonly isKnown: (entry: Entry) => boolean;
  /** The next entry of the log, in order, each once. `before` = where the position was. */
  readonly onEntry: (entry: Entry, before: bigint) => void;
  /** The log is another one than was known: all its indexes mean something else. */
  readonly onOtherLog: () => void;
}

/** Asks to go on behind `index` of the log `epoch`, 0 = not known; answers with the id of the RESUME. */
export type AskResume = (index: bigint, epoch: bigint) => string;

/** A replay under way: nothing in it is checked, as it may begin behind any own copy. */
interface Replay {
  /** Of the RESUME that asked for it; "" = it came by itself; undefined = still to be sent. */
  id: string | undefined;
  /**
   * What was on its way before lies above this index, and is dropped: the replay brings it again. Undefined once an
   * entry up to here came, which shows that the replay has begun.
   */
  dropAbove: bigint | undefined;
  /** The highest that was dropped. */
  dropped: bigint;
  /** A RESUME before was refused, though the log is the one we know. */
  readonly refused: boolean;
}

const STORED_CURSOR = 0n;
const EVERYTHING = -1n;
/** Below every index: all is dropped. */
const ALL = -1n;
/** Entries wait for a SENT which may explain their previous_id; more than that, or for longer, and they are asked for again. */
const HELD_ENTRIES = 1_000;
const HELD_MS = 2_000;

/**
 * Brings the entries of the log into one unbroken order, over connections, replays and what was lost on the way: an
 * entry whose `previous_id` is unknown shows a gap, and everything behind the position is asked for again.
 */
export class Arrivals {
  readonly #o: ArrivalsOptions;
  readonly #position = new LogPosition();
  #ask: AskResume | undefined;
  #replay: Replay | undefined;
  /** Of the RESUME still to be sent, or of what is held. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Gaps one after the other, without an entry between that followed. */
  #gaps = 0;
  #held: Entry[] = [];
  /** Messages under way when the first held entry came: the SENT of one of them may explain it. */
  #explaining: Set<string> | undefined;
  /** Up to here the replay of everything brought what this device sent itself, which no other would. */
  #ownUpTo = 0n;

  constructor(options: ArrivalsOptions) {
    this.#o = options;
  }

  /** Everything up to here came. 0 = the server knows best. */
  get index(): bigint {
    return this.#position.index;
  }

  /** To be kept with a position at `taken`; 0 = not known, or everything is still to be asked for. */
  epochAt(taken: number): bigint {
    return taken < this.#ownUpTo ? 0n : this.#position.epoch;
  }

  /** Where to go on in the log; undefined: the server knows. */
  get start(): bigint | undefined {
    const { index, epoch } = this.#position;
    if (this.#o.begin === "everything" && (epoch === 0n || index < this.#ownUpTo)) return EVERYTHING;
    return index > 0n ? index : undefined;
  }

  /** What an earlier process left, or where the application is. */
  restore(index: bigint, epoch = this.#position.epoch): void {
    this.#position.goTo(index, epoch);
  }

  /** A connection stands; `manual`: the server waits for a RESUME. */
  open(ask: AskResume, manual: boolean): void {
    this.#ask = ask;
    this.#replay = { id: "", dropAbove: undefined, dropped: 0n, refused: false };
    if (manual || this.start !== undefined) this.#send(this.#replay);
  }

  /** The connection is gone. */
  interrupt(): void {
    this.#ask = undefined;
    this.#replay = undefined;
    this.#release();
  }

  take(entry: Entry): void {
    const replay = this.#replay;
    if (replay === undefined) return this.#takeLive(entry);
    const index = logIndexOf(entry);
    if (replay.dropAbove !== undefined) {
      if (index > replay.dropAbove) {
        if (index > replay.dropped) replay.dropped = index;
        return;
      }
      replay.dropAbove = undefined;
    }
    this.#accept(entry);
  }

  /** SENT told where the device's own copy lies. */
  ownCopy(logIndex: bigint): void {
    this.#position.ownCopy(logIndex);
  }

  /** A message of ours was answered: what was held for it may go on. */
  answered(): void {
    const [first] = this.#held;
    if (first === undefined || this.#explaining === undefined) return;
    this.#explaining = this.#o.inFlight(this.#explaining);
    const follows = this.#position.follows(first.value.previousId);
    if (!follows && this.#explaining.size > 0) return;
    const held = this.#release();
    if (!follows) return this.#gap(first);
    for (const entry of held) this.take(entry);
  }

  /** Asks for the entries behind `index` once more; offline, with the next connection. */
  rewind(index: bigint): void {
    const before = this.#position.index;
    this.#position.goTo(index);
    if (this.#ask !== undefined) this.#askAgain(before);
  }

  /** An error that names a stanza. true if that was a RESUME of ours, which goes again later. */
  refused(error: BimipError): boolean {
    const replay = this.#replay;
    const passes = error.code === ErrorCode.TOO_FAST || error.code === ErrorCode.TRY_AGAIN;
    if (!passes || !error.id || replay?.id !== error.id) return false;
    replay.id = undefined;
    clearTimeout(this.#timer);
    const delayMs = Math.max(retryAfterMs(error), backoffMs(1, this.#o.backoff));
    this.#timer = setTimeout(() => this.#send(replay), delayMs);
    return true;
  }

  /** RESUME, of the server. "complete": everything up to the head came. */
  resumed(signal: Signal): "ignored" | "complete" | "again" {
    const replay = this.#replay;
    const isOther = !this.#position.isOf(signal.epoch);
    if (replay === undefined) {
      // The log was made anew under a live session, and the server handed it over from its beginning.
      if (isOther && signal.type === SignalType.RESPONSE) this.#begin(signal.monotonicId);
      return "ignored";
    }
    if (replay.id !== signal.id || isNotice(signal)) return "ignored";
    if (signal.type === SignalType.ERROR) {
      // Beyond the head of the log that we know, or overtaken by a replay of the server's own: the second answer tells.
      if (isOther || replay.refused) this.#begin(replay.dropped);
      else this.#askAgain(replay.dropAbove, { refused: true });
      return "again";
    }
    if (isOther) {
      this.#begin(signal.monotonicId);
      return "again";
    }
    if (replay.dropAbove !== undefined && replay.dropped > this.#position.index) {
      // Nothing up to there is left, and what follows was dropped with what was on its way before.
      this.#askAgain(replay.dropped);
      return "again";
    }
    if (this.start === EVERYTHING) this.#ownUpTo = signal.monotonicId;
    this.#position.replayed(signal.monotonicId, signal.epoch);
    this.#replay = undefined;
    return "complete";
  }

  /** Of another log: everything in it is new. What is still on its way lies above `came`, 0 = nothing came yet. */
  #begin(came: bigint): void {
    this.#position.reset();
    this.#ownUpTo = 0n;
    this.#o.onOtherLog();
    this.#askAgain(came > 0n ? came : undefined);
  }

  #takeLive(entry: Entry): void {
    if (this.#explaining !== undefined) {
      this.#held.push(entry);
      if (this.#held.length > HELD_ENTRIES) this.#gap(this.#held[0] ?? entry);
      return;
    }
    if (logIndexOf(entry) <= this.#position.index) {
      // New below our position: of another log, perhaps. The server says when it is asked.
      if (!this.#o.isKnown(entry)) this.#askAgain(ALL, { attempt: this.#gaps++, dropped: logIndexOf(entry) });
      return;
    }
    if (this.#position.follows(entry.value.previousId)) {
      this.#gaps = 0;
      return this.#accept(entry);
    }
    const explaining = this.#o.inFlight();
    if (explaining.size === 0) return this.#gap(entry);
    // An own copy may be known by the next entry before it is by its SENT.
    this.#explaining = explaining;
    this.#held.push(entry);
    this.#timer = setTimeout(() => this.#gap(entry), HELD_MS);
  }

  #accept(entry: Entry): void {
    const before = this.#position.index;
    if (this.#position.accept(logIndexOf(entry))) this.#o.onEntry(entry, before);
  }

  /** Something is missing before `entry`, or an own copy whose SENT nobody gets. */
  #gap(entry: Entry): void {
    this.#askAgain(logIndexOf(entry), { attempt: this.#gaps++ });
  }

  /** As `dropAbove` of a Replay says; `attempt` 0 = at once. */
  #askAgain(dropAbove: bigint | undefined, { attempt = 0, dropped = 0n, refused = false } = {}): void {
    this.#release();
    const replay: Replay = { id: undefined, dropAbove, dropped, refused };
    this.#replay = replay;
    if (attempt === 0) this.#send(replay);
    else this.#timer = setTimeout(() => this.#send(replay), backoffMs(attempt, this.#o.backoff));
  }

  #send(replay: Replay): void {
    replay.id = this.#ask?.(this.start ?? STORED_CURSOR, this.#position.epoch);
  }

  #release(): Entry[] {
    clearTimeout(this.#timer);
    this.#explaining = undefined;
    return this.#held.splice(0);
  }
}

/** Amid a replay the server says what was trimmed before it could be handed over: that is not the replay's end. */
function isNotice({ id, details, firstId, monotonicId }: Signal): boolean {
  return id === "" && details !== "" && firstId > monotonicId;
}
