import type { JsMsg } from "@nats-io/jetstream";
import type { Logger } from "@bimip/runtime";
import { MARK_ACK_WAIT_MS } from "./consumers.js";
import type { Look } from "./look.js";
import { decodeMark, isCovered, isSame, later, type Place, type Retry } from "./mark.js";
import type { Marks } from "./marks.js";
import type { UserStates } from "./user-state.js";
import { eidOf } from "./watch.js";

/** Another router has taken over: what it leaves is looked at after so long. */
const TAKEN_OVER_MS = 1_000;
/** After a look that failed because another service did not answer; doubled each time, up to the longest. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

interface UserTurn {
  working: boolean;
  /** Came while the user was being worked on; it replaced the older one in the stream. */
  next: JsMsg | undefined;
  retry: Retry | undefined;
  /** When an online user's unacknowledged messages are looked at; epoch milliseconds. */
  lookAtMs: number | undefined;
  /** So far the last look that was done came: what is marked up to here needs none. */
  covered: Place | undefined;
  /** Looks that failed one after the other. */
  failures: number;
}

/**
 * Works on marks. A mark says "look at this user"; it stays in its stream until nothing is left to do, and is put back
 * with a delay while something may become due. Work on one user is serial. All marks come to one replica at a time (see
 * consumers.ts), so what is kept here between two marks only saves work, and may be lost.
 */
export class Worker {
  readonly #look: Look;
  readonly #users: UserStates;
  readonly #marks: Marks;
  readonly #afterMs: number;
  readonly #concurrency: number;
  readonly #logger: Logger;
  readonly #turns = new Map<string, UserTurn>();
  readonly #running = new Set<Promise<void>>();
  /** Marks being worked on. */
  readonly #inHand = new Set<JsMsg>();
  readonly #signsOfLife: NodeJS.Timeout;
  #stopping = false;
  /** Grows each time that another replica gets the marks: looks under way end. */
  #pins = 0;

  /** @param parts.concurrency users worked on at once: one whose provider hangs does not hold up the others */
  constructor(parts: {
    look: Look;
    users: UserStates;
    marks: Marks;
    afterMs: number;
    concurrency: number;
    logger: Logger;
  }) {
    this.#look = parts.look;
    this.#users = parts.users;
    this.#marks = parts.marks;
    this.#afterMs = parts.afterMs;
    this.#concurrency = parts.concurrency;
    this.#logger = parts.logger;
    this.#signsOfLife = setInterval(() => {
      for (const mark of this.#inHand) mark.working();
    }, MARK_ACK_WAIT_MS / 3);
  }

  /** Resolves when the mark was taken up: waits while all places are taken. */
  async take(mark: JsMsg): Promise<void> {
    if (this.#stopping) return mark.nak();
    const eid = eidOf(mark.subject);
    const turn = this.#turns.get(eid) ?? newTurn();
    this.#turns.set(eid, turn);
    if (turn.working) {
      turn.next = mark;
      return;
    }
    turn.working = true;
    const run = this.#run(eid, turn, mark);
    this.#running.add(run);
    void run.finally(() => this.#running.delete(run));
    while (this.#running.size >= this.#concurrency) await Promise.race(this.#running);
  }

  /** Another replica works on the marks now: what was kept of users is no longer true, and what is begun ends. */
  forget(): void {
    this.#pins++;
    for (const [eid, turn] of this.#turns) if (!turn.working) this.#turns.delete(eid);
  }

  /** Takes no further marks; those that come are put back. */
  halt(): void {
    this.#stopping = true;
  }

  /** Resolves when no user is worked on any more; after that the worker is of no use. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
    clearInterval(this.#signsOfLife);
  }

  async #run(eid: string, turn: UserTurn, first: JsMsg): Promise<void> {
    for (let mark: JsMsg | undefined = first; mark !== undefined; mark = turn.next) {
      turn.next = undefined;
      this.#inHand.add(mark);
      try {
        await this.#handle(eid, turn, mark);
        turn.failures = 0;
      } catch (error) {
        const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** turn.failures++);
        this.#logger.warn({ err: error, pauseMs: pause }, "user not looked at, trying again");
        mark.nak(pause);
      } finally {
        this.#inHand.delete(mark);
      }
    }
    turn.working = false;
    if (turn.retry === undefined && turn.lookAtMs === undefined && turn.failures === 0) this.#turns.delete(eid);
  }

  async #handle(eid: string, turn: UserTurn, mark: JsMsg): Promise<void> {
    const carried = decodeMark(mark.string());
    // Mostly the claim of the look that has just ended.
    if (carried.noticed !== undefined && isCovered(carried.noticed, turn.covered)) return mark.ack();
    turn.retry = later(turn.retry, carried.retry);
    const pause = (turn.retry?.notBeforeMs ?? 0) - Date.now();
    if (pause > 0) return this.#putBack(eid, mark, turn.retry, pause);
    if (turn.retry === undefined && (await this.#isForLater(eid, turn))) {
      mark.nak(Math.max(0, (turn.lookAtMs ?? 0) - Date.now()));
      return;
    }
    turn.lookAtMs = undefined;
    const pins = this.#pins;
    const verdict = await this.#look.at(eid, {
      noticed: carried.noticed,
      markedAtMs: mark.time.getTime(),
      retry: turn.retry,
      isStopping: () => this.#stopping || this.#pins !== pins,
    });
    if (verdict.kind === "done") {
      turn.covered = verdict.covered;
      turn.retry = undefined;
      mark.ack();
      return;
    }
    turn.retry = verdict.retry;
    const delayMs = Math.max(0, verdict.inMs);
    if (verdict.retry === undefined) turn.lookAtMs = Date.now() + delayMs;
    await this.#putBack(eid, mark, turn.retry, delayMs);
  }

  /**
   * What an online user just got is not due yet, so nothing is read for it: one look, when the oldest of it may be due,
   * serves all marks until then.
   */
  async #isForLater(eid: string, turn: UserTurn): Promise<boolean> {
    if (turn.lookAtMs !== undefined && turn.lookAtMs <= Date.now()) return false;
    if (!(await this.#users.isOnline(eid))) return false;
    turn.lookAtMs ??= Date.now() + this.#afterMs;
    return true;
  }

  /**
   * A mark that does not say yet what is to be tried again is replaced by one that does, which then comes by itself. So is
   * one that only has to wait for others: put back as it is, it would come before them again.
   */
  async #putBack(eid: string, mark: JsMsg, retry: Retry | undefined, delayMs: number): Promise<void> {
    const { retry: carried } = decodeMark(mark.string());
    if (delayMs > 0 && isSame(carried, retry)) return mark.nak(delayMs);
    if (await this.#marks.putBack(eid, this.#look.by, { from: carried, to: retry })) mark.ack();
    else mark.nak(Math.max(delayMs, TAKEN_OVER_MS));
  }
}

function newTurn(): UserTurn {
  return { working: false, next: undefined, retry: undefined, lookAtMs: undefined, covered: undefined, failures: 0 };
}
