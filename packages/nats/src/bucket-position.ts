interface Waiting {
  readonly revision: number;
  /** performance.now. */
  readonly untilMs: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** Below the time that callers of services wait for their answers. */
const REACH_MS = 1_500;
const EXPIRE_EVERY_MS = 250;

/** How far somebody has come with a bucket, and who waits for it. */
export class BucketPosition {
  readonly #bucket: string;
  #revision = 0;
  #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(bucket: string) {
    this.#bucket = bucket;
  }

  /** Everything up to this revision was told. */
  get revision(): number {
    return this.#revision;
  }

  /** Says nothing to those who wait: `wake` does. */
  set revision(revision: number) {
    this.#revision = revision;
  }

  /** Resolves once it is there. Rejects when that takes longer than 1.5 s, or `giveUp` was called. */
  async reached(revision: number): Promise<void> {
    if (revision <= this.#revision) return;
    await new Promise<void>((resolve, reject) => {
      this.#waiting.push({ revision, untilMs: performance.now() + REACH_MS, resolve, reject });
      if (this.#timer === undefined) this.#timer = this.#expireLater();
    });
  }

  /** Those go on who waited for where it is now. */
  wake(): void {
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ revision }) => revision > this.#revision);
    for (const { revision, resolve } of waiting) if (revision <= this.#revision) resolve();
  }

  /** @param overdueMs only those whose time is over then; absent: all */
  giveUp(why: string, overdueMs = Number.POSITIVE_INFINITY): void {
    const waiting = this.#waiting;
    this.#waiting = waiting.filter(({ untilMs }) => untilMs > overdueMs);
    for (const { revision, untilMs, reject } of waiting) {
      if (untilMs <= overdueMs) reject(new Error(`revision ${revision} of ${this.#bucket}: ${why}`));
    }
  }

  /** One timer for all that wait. */
  #expireLater(): NodeJS.Timeout {
    return setTimeout(() => {
      this.giveUp("the feed does not get there", performance.now());
      this.#timer = this.#waiting.length > 0 ? this.#expireLater() : undefined;
    }, EXPIRE_EVERY_MS).unref();
  }
}
