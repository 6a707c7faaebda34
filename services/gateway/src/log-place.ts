import { encodeStanza, type ResumeResponse, SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { call, PROCEDURES } from "@bimip/nats";
import { Waiting } from "./awareness/waiting.js";
import type { Delivery } from "./delivery.js";
import type { CatchUpReason } from "./delivery-options.js";
import type { Gateway } from "./gateway.js";
import type { ResumeMode } from "./ports.js";
import { type ResumeAsked, ResumeLine } from "./resume-line.js";

/** Whose place it is. */
export interface LogReader {
  readonly eid: string;
  readonly device: string;
  readonly delivery: Delivery;
  /** Nobody reads any more. */
  readonly ended: boolean;
  send(frame: Uint8Array): void;
  /** The device's indexes belong to another log than before: what was known of that one holds no more. */
  onOtherLog(): void;
}

/** Behind the stored cursor; nobody waits for the answer by an id. */
const STORED_CURSOR: ResumeAsked = { after: 0n, id: "", epoch: 0n };
const EVERYTHING = -1n;
const RESUME_TIMEOUT_MS = 2_000;

/**
 * Where a session's device stands in its user's log, and from where it is handed on: at the start, when it asks by RESUME, and when the
 * log turns out to be another one. Storage says; `Delivery` reads.
 */
export class LogPlace {
  readonly #gateway: Gateway;
  readonly #reader: LogReader;
  /** The log; 0 until storage has said. The next three hold in no other one. */
  #epoch = 0;
  /** Handed over up to here before the replay under way, by this session or an earlier one. */
  #handed = 0;
  #cursor = 0;
  #read = 0;
  #compares = false;
  /** Resolves once live copies reach the session: nothing may be read from the log before. */
  #begun: Promise<void> = Promise.resolve();
  // Most sessions are idle: made when they are needed.
  #resumes: ResumeLine | undefined;
  #known: Waiting | undefined;

  constructor(gateway: Gateway, reader: LogReader) {
    this.#gateway = gateway;
    this.#reader = reader;
  }

  /** The log that the device's indexes belong to; 0 until storage has said. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Resolves once storage has said which log the device's indexes belong to. Not at all when the session ends before. */
  get known(): Promise<unknown> {
    if (this.#epoch > 0) return Promise.resolve();
    this.#known ??= new Waiting();
    return this.#known.until();
  }

  /** Index up to which the log was handed over. */
  get handed(): number {
    const { delivery } = this.#reader;
    return delivery.epoch === this.#epoch ? Math.max(this.#handed, delivery.position) : this.#handed;
  }

  /** @param reached resolves once live copies reach the session, never rejects */
  begin(reached: Promise<void>, resume: ResumeMode): void {
    this.#begun = reached;
    // Manual or not: storage hears of the device.
    this.#line.addOwn(STORED_CURSOR, (answer) => {
      this.#enter(answer);
      if (resume === "automatic") this.#replay(answer, "connect", { id: "", withOwn: false });
    });
  }

  /**
   * RESUME on request. Behind the head, of another log than today's, or overtaken by a newer one: the same Signal comes
   * back with type 3; storage away: goes on when it is back.
   */
  resume(asked: ResumeAsked): void {
    const { after, id } = asked;
    this.#line.add(asked, (answer) => {
      this.#enter(answer);
      if (answer.beyondHead) this.#refuse(after, id, answer.details, answer);
      else this.#replay(answer, "resume", { id, withOwn: after === EVERYTHING });
    });
  }

  /** Moves the device's cursor: cumulative, never back, at most to what was handed over. */
  acknowledge(index: number, isRead: boolean): void {
    const cursor = Math.min(index, this.handed);
    const read = isRead ? cursor : 0;
    if (cursor <= this.#cursor && read <= this.#read) return;
    this.#cursor = Math.max(cursor, this.#cursor);
    this.#read = Math.max(read, this.#read);
    // After the end at once: the device may be at another gateway already.
    this.#tell({ cursor: this.#cursor, read: this.#read }, this.#reader.ended);
  }

  /** The log's head lies before what was handed over: it may be another log. */
  compare(): void {
    if (this.#compares) return;
    this.#compares = true;
    this.#line.addOwn(STORED_CURSOR, (answer) => {
      this.#compares = false;
      const isAnother = Number(answer.epoch) !== this.#reader.delivery.epoch;
      this.#enter(answer);
      if (isAnother) this.#replay(answer, "recreated", { id: "", withOwn: false });
    });
  }

  /** The session ends: storage hears how far it got. */
  end(): void {
    // Seen only once it was told what may be gone: an expired log is known by how long a device was away.
    if (this.#reader.delivery.announced) this.#tell({}, true);
  }

  #tell(cursor: { readonly cursor?: number; readonly read?: number }, last = false): void {
    const { eid, device, delivery } = this.#reader;
    const owner = { eid, device, logEpoch: this.#epoch };
    this.#gateway.progress.device(owner, { ...cursor, handed: this.handed, seen: delivery.atHead }, last);
  }

  get #line(): ResumeLine {
    const { logger } = this.#gateway;
    this.#resumes ??= new ResumeLine({
      ask: (asked) => this.#ask(asked),
      isClosed: () => this.#reader.ended,
      onOvertaken: ({ after, id }) => this.#refuse(after, id, "overtaken by a newer RESUME"),
      onError: (error) => logger.warn({ err: error }, "storage did not say where to go on, trying again"),
      onIdle: () => {
        this.#resumes = undefined;
      },
    });
    return this.#resumes;
  }

  async #ask({ after, epoch }: ResumeAsked): Promise<ResumeResponse> {
    const { link, progress, resumeInTurn } = this.#gateway;
    const { eid, device } = this.#reader;
    await this.#begun;
    return resumeInTurn(async () => {
      await progress.settled(eid, device); // an earlier session's last acknowledgements
      const request = { eid, device, after, epoch, timestamp: BigInt(Date.now()) };
      return call(link.nc, PROCEDURES.resume, request, RESUME_TIMEOUT_MS);
    });
  }

  /** Takes note of the log that storage speaks of. */
  #enter({ epoch, handed }: ResumeResponse): void {
    const before = this.handed;
    if (Number(epoch) === this.#epoch) {
      this.#handed = Math.max(before, Number(handed));
      return;
    }
    this.#epoch = Number(epoch);
    this.#handed = Number(handed);
    this.#cursor = 0;
    this.#read = 0;
    this.#reader.onOtherLog();
    this.#known?.resolve();
  }

  #replay(answer: ResumeResponse, reason: CatchUpReason, asked: { id: string; withOwn: boolean }): void {
    const { after, firstId, epoch, details } = answer;
    const start = { after: Number(after), firstId: Number(firstId), epoch: Number(epoch), details, ...asked };
    const overtaken = this.#reader.delivery.start(start, reason);
    if (overtaken !== "") this.#refuse(after, overtaken, "overtaken by a newer RESUME");
  }

  #refuse(after: bigint, id: string, details: string, log?: { firstId: bigint; epoch: bigint }): void {
    const signal = create(SignalSchema, {
      id,
      type: SignalType.ERROR,
      status: SignalStatus.RESUME,
      monotonicId: after,
      timestamp: BigInt(Date.now()),
      details,
      firstId: log?.firstId ?? 0n,
      epoch: log?.epoch ?? BigInt(this.#epoch),
    });
    this.#reader.send(encodeStanza("signal", signal));
  }
}
