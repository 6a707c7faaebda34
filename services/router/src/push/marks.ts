import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { isConflict, STREAMS, SUBJECTS } from "@bimip/nats";
import {
  type Claim,
  decodeMark,
  EMPTY_MARK,
  encodeMark,
  further,
  isAt,
  isSame,
  type Mark,
  type Place,
  type Retry,
} from "./mark.js";

const TIMEOUT_MS = 5_000;

/**
 * Writes marks: the newest of a user replaces the older one. Always by compare-and-set, since any router may be writing at
 * that moment: nobody may have read yet what the older one says. All reject when the mark may not be stored.
 */
export class Marks {
  readonly #js: JetStreamClient;
  readonly #jsm: JetStreamManager;

  constructor(js: JetStreamClient, jsm: JetStreamManager) {
    this.#js = js;
    this.#jsm = jsm;
  }

  /** "Look at this user, whose log has reached this place." */
  async touch(eid: string, noticed: Place): Promise<void> {
    await this.#change(eid, (mark) => ({ ...mark, noticed: further(mark.noticed, noticed) }));
  }

  /**
   * "Look at this user again, after those who have a mark already." The writer's own claim ends.
   *
   * @param retry.from what the mark said that the work began with
   * @param retry.to what is to be tried again now
   * @returns false, and nothing is written, when another router has taken over
   */
  async putBack(eid: string, by: string, retry: { from: Retry | undefined; to: Retry | undefined }): Promise<boolean> {
    return this.#change(eid, (mark) => {
      const claimed = mark.claim !== undefined && mark.claim.by !== by && mark.claim.untilMs > Date.now();
      if (claimed || !isSame(mark.retry, retry.from)) return undefined;
      return { noticed: mark.noticed, retry: retry.to, claim: undefined };
    });
  }

  /**
   * "I push this now." To be stored before a push: the pin of the marks' consumer may move to another router at any moment.
   *
   * @param before how often it was tried
   * @param settledTo what another claimed up to here is done
   * @returns false when another router is at it, or has tried it meanwhile
   */
  async claim(eid: string, claim: Claim, before: { tries: number; settledTo: number }): Promise<boolean> {
    return this.#change(eid, (mark) => {
      const { claim: other, retry } = mark;
      const isOver = (of: Claim): boolean =>
        of.epoch !== claim.epoch || of.index <= before.settledTo || of.untilMs <= Date.now();
      if (other !== undefined && other.by !== claim.by && !isOver(other)) return undefined;
      if (isAt(retry, claim) && (retry?.tries ?? 0) > before.tries) return undefined;
      return { ...mark, claim };
    });
  }

  /** Replaces the user's mark by what `change` makes of it; false when it makes nothing. */
  async #change(eid: string, change: (mark: Mark) => Mark | undefined): Promise<boolean> {
    const subject = SUBJECTS.pushMark(eid);
    for (;;) {
      const older = await this.#jsm.streams.getMessage(STREAMS.push, { last_by_subj: subject });
      const mark = change(older === null ? EMPTY_MARK : decodeMark(older.string()));
      if (mark === undefined) return false;
      try {
        await this.#js.publish(subject, encodeMark(mark), {
          timeout: TIMEOUT_MS,
          expect: { lastSubjectSequence: older?.seq ?? 0 },
        });
        return true;
      } catch (error) {
        if (!isConflict(error)) throw error;
      }
    }
  }
}
