import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { Subscription } from "@nats-io/nats-core";
import { setTimeout as delay } from "node:timers/promises";
import { ownText } from "@bimip/protocol";
import { batchGet } from "./batch-get.js";
import type { BucketFeedOptions } from "./bucket-feed.js";
import { readHead } from "./bucket-head.js";
import { BucketPosition } from "./bucket-position.js";
import { bucketStream } from "./names.js";
import { readEntryHeaders } from "./raw-headers.js";

export interface BucketWatchOptions extends Omit<BucketFeedOptions, "initialKeys" | "replayed"> {
  /** The subject that the bucket republishes to: what is written is noticed at once, else within half a second. */
  readonly bell: string;
}

const LOOK_EVERY_MS = 500;
const RETRY_MS = 250;
/** A leader that was lost meanwhile does not answer any more: the next one is asked. */
const ANSWER_MS = 3_000;
/** An election takes 4 to 9 s, and the question that was lost in it `ANSWER_MS` more. */
const CURRENT_MS = 15_000;
/** A replica that lags is asked again, or another one is. */
const LAG_MS = 50;
const PAGE_ENTRIES = 1_000;
const PAGE_BYTES = 512 * 1_024;
/** What an entry was stored under; a direct get comes on the inbox that asked for it. */
const SUBJECT = "Nats-Subject";

/**
 * Follows a whole bucket as `BucketFeed` does, without a consumer: for those who may not make any, since whoever makes one
 * names the subject that nats-server publishes to. For buckets that change seldom.
 */
export class BucketWatch {
  readonly #o: BucketWatchOptions;
  readonly #jsm: JetStreamManager;
  readonly #stream: string;
  readonly #position: BucketPosition;
  readonly #timer: NodeJS.Timeout;
  readonly #bell: Subscription;
  readonly #unlisten: () => void;
  /** When the last look that succeeded began; performance.now, as the next. */
  #knownAtMs = Number.NEGATIVE_INFINITY;
  #returnedAtMs = Number.NEGATIVE_INFINITY;
  #created = "";
  #reading = false;
  #again = false;
  #stopped = false;

  private constructor(options: BucketWatchOptions, jsm: JetStreamManager) {
    this.#o = options;
    this.#jsm = jsm;
    this.#stream = bucketStream(options.bucket);
    this.#position = new BucketPosition(options.bucket);
    const { link, bell } = options;
    this.#bell = link.nc.subscribe(bell, {
      callback: (error, message) => {
        if (error === null && readEntryHeaders(message).sequence > this.#position.revision) this.#look();
      },
    });
    this.#unlisten = link.onChange((up) => {
      if (!up) return;
      this.#returnedAtMs = performance.now();
      this.#look();
    });
    this.#timer = setInterval(() => this.#look(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  /** Resolves when the values that stand were told and changes are followed. */
  static async open(options: BucketWatchOptions): Promise<BucketWatch> {
    const watch = new BucketWatch(
      options,
      await jetstreamManager(options.link.nc, { checkAPI: false, timeout: ANSWER_MS }),
    );
    watch.#reading = true;
    for (;;) {
      try {
        await watch.#read(true);
        watch.#reading = false;
        return watch;
      } catch (error) {
        if (watch.#stopped) throw error;
        options.onError(error);
        await delay(RETRY_MS);
      }
    }
  }

  /** Everything up to this revision was told. */
  get position(): number {
    return this.#position.revision;
  }

  /** What the bucket held was read since the connection's last return, and within the last 15 s. */
  get current(): boolean {
    return this.#knownAtMs >= this.#returnedAtMs && performance.now() - this.#knownAtMs < CURRENT_MS;
  }

  /** Resolves once everything up to `revision` was told. Rejects when that takes longer than 1.5 s, or the bucket was made anew. */
  async reached(revision: number): Promise<void> {
    const reached = this.#position.reached(revision);
    this.#look();
    await reached;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#unlisten();
    this.#bell.unsubscribe();
    this.#position.giveUp("the watch was stopped");
  }

  /** Reads what is new, unless that is under way: then once more after it. */
  #look(): void {
    if (this.#reading) this.#again = true;
    if (this.#reading || this.#stopped || !this.#o.link.up) return;
    this.#reading = true;
    this.#again = false;
    this.#read(false)
      .catch((error: unknown) => {
        if (!this.#stopped) this.#o.onError(error); // the next look tries again
      })
      .finally(() => {
        this.#reading = false;
        if (this.#again) this.#look();
      });
  }

  async #read(initial: boolean): Promise<void> {
    const { link, bucket } = this.#o;
    const position = this.#position;
    const startMs = performance.now();
    const { revision, created } = await this.#answerTo(readHead(this.#jsm, bucket));
    if (!initial && (created !== this.#created || revision < position.revision)) {
      position.revision = 0;
      position.giveUp("the bucket was made anew");
      this.#o.onReset();
    }
    this.#created = created;
    const page = { stream: this.#stream, subject: `$KV.${bucket}.>`, limit: PAGE_ENTRIES, maxBytes: PAGE_BYTES };
    while (position.revision < revision && !this.#stopped) {
      const after = position.revision;
      await batchGet(link, { ...page, from: { after } }, (seq, { headers, data }) => {
        position.revision = seq;
        this.#tell(ownText(headers?.get(SUBJECT) ?? ""), data, seq, initial);
      });
      if (position.revision > after) continue;
      // Nothing came: what was behind has expired, or a replica answered that lags. The leader knows.
      const last = await this.#answerTo(this.#jsm.streams.getMessage(this.#stream, { last_by_subj: page.subject }));
      if (last === null || last.seq <= after) position.revision = revision;
      else await delay(LAG_MS);
    }
    position.wake();
    if (!this.#stopped) this.#knownAtMs = startMs;
  }

  /** Rejects at once when the connection goes: the question is lost, or its answer, and must not hold up the next look. */
  #answerTo<T>(question: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const unlisten = this.#o.link.onChange((up) => {
        if (!up) reject(new Error(`reading ${this.#stream}: NATS went away`));
      });
      void question.then(resolve, reject).finally(unlisten);
    });
  }

  #tell(subject: string, bytes: Uint8Array, revision: number, initial: boolean): void {
    try {
      this.#o.onEntry({ key: subject.slice(`$KV.${this.#o.bucket}.`.length), bytes, revision, initial });
    } catch (error) {
      this.#o.onError(error); // one bad value must not stop the rest
    }
  }
}
