import { DeliverPolicy, type JetStreamManager, type JsMsg, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { setTimeout as delay } from "node:timers/promises";
import { type BucketHead, readHead } from "./bucket-head.js";
import { BucketPosition } from "./bucket-position.js";
import type { Link } from "./connect.js";
import { bucketStream } from "./names.js";

/** A key's new value. */
export interface FeedEntry {
  readonly key: string;
  /** Empty: the key was deleted. */
  readonly bytes: Uint8Array;
  readonly revision: number;
  /** It stood at the start already; of what stood, the last `replayed` revisions come once more, as if they were new. */
  readonly initial: boolean;
}

export interface BucketFeedOptions {
  readonly link: Link;
  readonly bucket: string;
  /** Keys, or patterns, whose values are read at the start; changes are followed of all keys. */
  readonly initialKeys: readonly string[];
  /** How many of the last revisions come again after those of the start: whoever wrote them may not have lived to act on them. */
  readonly replayed?: number;
  /** Called in the order of revisions; those of the start come first, each key once. The position is the entry's already. */
  readonly onEntry: (entry: FeedEntry) => void;
  /** The bucket was made anew: all that was told holds no more. What it holds now is told next. */
  readonly onReset: () => void;
  readonly onError: (error: unknown) => void;
}

const RETRY_MS = 250;
/** A consumer that fell silent is noticed within twice this time: they do get stuck after reconnects (njs issue 375). */
const WATCH_MS = 2_000;
/** Values that stand are not waited for any longer when none comes for so long: some may have expired, or the consumer died. */
const INITIAL_WAIT_MS = 5_000;

/**
 * Follows a whole bucket, in order and without a gap: at first the values that stand, then every change. Comes back by itself
 * after NATS was away, behind the last revision it had; what was overwritten meanwhile is told once, as it is now.
 */
export class BucketFeed {
  readonly #o: BucketFeedOptions;
  readonly #jsm: JetStreamManager;
  readonly #stream: string;
  readonly #watch: NodeJS.Timeout;
  readonly #position: BucketPosition;
  #lastSeen = 0;
  #created = "";
  #beginning = false;
  /** The one consumer that is listened to now. */
  #current: symbol | undefined;
  #stopCurrent: () => void = () => undefined;
  /** The one question for the head that is under way. */
  #asking: Promise<BucketHead> | undefined;
  #stopped = false;

  private constructor(options: BucketFeedOptions, jsm: JetStreamManager) {
    this.#o = options;
    this.#jsm = jsm;
    this.#stream = bucketStream(options.bucket);
    this.#position = new BucketPosition(options.bucket);
    options.link.onChange((up) => {
      if (up) this.#restart();
    });
    this.#watch = setInterval(() => void this.#compare(), WATCH_MS);
  }

  /** Resolves when the values that stand were told and changes are followed. */
  static async open(options: BucketFeedOptions): Promise<BucketFeed> {
    const feed = new BucketFeed(options, await jetstreamManager(options.link.nc, { checkAPI: false }));
    await feed.#begin();
    return feed;
  }

  /** Everything up to this revision was told. */
  get position(): number {
    return this.#position.revision;
  }

  /** Resolves once everything up to `revision` was told. Rejects when that takes longer than 1.5 s, or the bucket was made anew. */
  async reached(revision: number): Promise<void> {
    await this.#position.reached(revision);
  }

  /** Resolves once everything was told that the bucket held when this was called. Rejects when NATS does not answer. */
  async caughtUp(): Promise<void> {
    // A question under way may have been answered before the call.
    await this.#asking?.catch(() => undefined);
    this.#asking ??= this.#head().finally(() => {
      this.#asking = undefined;
    });
    await this.reached((await this.#asking).revision);
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#watch);
    this.#current = undefined;
    this.#stopCurrent();
    this.#position.giveUp("the feed was stopped");
  }

  #head(): Promise<BucketHead> {
    return readHead(this.#jsm, this.#o.bucket);
  }

  #restart(): void {
    if (this.#beginning) return; // it follows from there anyway
    void this.#follow().catch((error: unknown) => this.#o.onError(error));
  }

  /** Reads the values that stand, then follows. */
  async #begin(): Promise<void> {
    this.#beginning = true;
    for (;;) {
      try {
        const { revision, created } = await this.#head();
        // A replica of NATS that lags may have told less: then the rest comes now, as if it were new.
        const told = await this.#readInitial();
        const behind = told === undefined ? revision : Math.min(told, revision);
        this.#created = created;
        this.#position.revision = revision;
        this.#beginning = false;
        await this.#follow(Math.max(Math.min(revision - (this.#o.replayed ?? 0), behind), 0));
        return this.#position.wake();
      } catch (error) {
        if (this.#stopped) throw error;
        this.#o.onError(error);
        await delay(RETRY_MS);
      }
    }
  }

  /** Answers with the highest revision that was told; undefined = nothing stood. */
  async #readInitial(): Promise<number | undefined> {
    const filter = this.#o.initialKeys.map((key) => `$KV.${this.#o.bucket}.${key}`);
    const consumer = await jetstream(this.#o.link.nc, { checkAPI: false }).consumers.getPushConsumer(this.#stream, {
      filter_subjects: filter,
      deliver_policy: DeliverPolicy.LastPerSubject,
    });
    let left = (await consumer.info(true)).num_pending;
    if (left === 0) {
      await consumer.delete();
      return undefined;
    }
    const messages = await consumer.consume();
    let highest = 0;
    let quiet = true;
    const watch = setInterval(() => {
      if (quiet) messages.stop();
      quiet = true;
    }, INITIAL_WAIT_MS);
    const unlisten = this.#o.link.onChange((up) => {
      if (!up) messages.stop(new Error("NATS went away")); // begin anew
    });
    try {
      for await (const message of messages) {
        quiet = false;
        highest = Math.max(highest, message.seq);
        this.#tell(message, true);
        if (--left <= 0) return highest;
      }
      throw new Error(`reading ${this.#stream}: ${left} values did not come`);
    } finally {
      clearInterval(watch);
      unlisten();
      messages.stop();
    }
  }

  /** Follows what lies behind `after`, the position unless told otherwise, in place of what was followed before. */
  async #follow(after?: number): Promise<void> {
    const mine = Symbol("feed");
    this.#current = mine;
    this.#stopCurrent();
    this.#stopCurrent = () => undefined;
    for (;;) {
      if (this.#current !== mine || this.#stopped) return;
      try {
        const consumer = await jetstream(this.#o.link.nc, { checkAPI: false }).consumers.getPushConsumer(this.#stream, {
          filter_subjects: [`$KV.${this.#o.bucket}.>`],
          deliver_policy: DeliverPolicy.StartSequence,
          opt_start_seq: (after ?? this.#position.revision) + 1,
        });
        const messages = await consumer.consume({
          callback: (message) => {
            if (this.#current !== mine) return;
            this.#position.revision = Math.max(this.#position.revision, message.seq);
            this.#tell(message, false);
            this.#position.wake();
          },
        });
        if (this.#current === mine) this.#stopCurrent = () => messages.stop();
        else messages.stop();
        return;
      } catch (error) {
        this.#o.onError(error);
        await delay(RETRY_MS);
      }
    }
  }

  #tell({ subject, data, seq }: JsMsg, initial: boolean): void {
    const key = subject.slice(`$KV.${this.#o.bucket}.`.length);
    try {
      this.#o.onEntry({ key, bytes: data, revision: seq, initial });
    } catch (error) {
      this.#o.onError(error); // one bad value must not stop the rest
    }
  }

  /** Is the bucket further than we are, and nothing comes? Or is it another one? */
  async #compare(): Promise<void> {
    if (!this.#o.link.up || this.#beginning) return;
    try {
      const position = this.#position.revision;
      const { revision, created } = await this.#head();
      if (revision < position || created !== this.#created) return await this.#reset();
      if (revision > this.#position.revision && this.#position.revision === this.#lastSeen) this.#restart();
      this.#lastSeen = position;
    } catch (error) {
      this.#o.onError(error);
    }
  }

  async #reset(): Promise<void> {
    this.#current = undefined;
    this.#stopCurrent();
    this.#position.revision = 0;
    this.#position.giveUp("the bucket was made anew");
    this.#o.onReset();
    await this.#begin();
  }
}
