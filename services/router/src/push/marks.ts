import type { JetStreamClient, JetStreamManager } from "@nats-io/jetstream";
import { isConflict, STREAMS, SUBJECTS } from "@bimip/nats";
import { encodeMark, type Retry } from "./mark.js";

const TIMEOUT_MS = 5_000;

/** Writes marks: the newest of a user replaces the older one. Both reject when the mark may not be stored. */
export class Marks {
  readonly #js: JetStreamClient;
  readonly #jsm: JetStreamManager;

  constructor(js: JetStreamClient, jsm: JetStreamManager) {
    this.#js = js;
    this.#jsm = jsm;
  }

  /**
   * "Look at this user." Keeps what the older mark says of failed tries: nobody may have read that yet. By
   * compare-and-set, since another replica may be writing it at this moment.
   */
  async touch(eid: string): Promise<void> {
    const subject = SUBJECTS.pushMark(eid);
    for (;;) {
      const older = await this.#jsm.streams.getMessage(STREAMS.push, { last_by_subj: subject });
      try {
        await this.#js.publish(subject, older?.data ?? "", {
          timeout: TIMEOUT_MS,
          expect: { lastSubjectSequence: older?.seq ?? 0 },
        });
        return;
      } catch (error) {
        if (!isConflict(error)) throw error;
      }
    }
  }

  /** "Look at this user, and this is what is to be tried again." */
  async write(eid: string, retry: Retry | undefined): Promise<void> {
    await this.#js.publish(SUBJECTS.pushMark(eid), encodeMark(retry), { timeout: TIMEOUT_MS });
  }
}
