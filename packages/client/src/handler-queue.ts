import { type BackoffOptions, backoffMs } from "./backoff.js";

/**
 * How an entry went. taken: the next may come. failed: it is tried again after a wait. unheard: it is tried again when
 * somebody listens.
 */
export type Outcome = "taken" | "failed" | "unheard";

/** Hands one entry to the application and says, at once or later, how it went. Called again where it did not go well. */
export type Job = (settle: (outcome: Outcome) => void) => void;

export interface HandlerQueueOptions {
  /** Waits before an entry is handed over again that a handler failed on. */
  readonly backoff: BackoffOptions;
  /** There is room again, or none any more. */
  readonly onFull: (full: boolean) => void;
}

/** Enough to keep handlers busy while the next come; as much memory as that. */
const FULL_AT = 256;
const ROOM_AT = 128;
/** Cut off what was run after so many. */
const CUT_AT = 1_024;

/** Runs one job after the other: what follows waits until the one before was taken. */
export class HandlerQueue {
  readonly #o: HandlerQueueOptions;
  #jobs: Job[] = [];
  /** The next to run; what lies before was taken. */
  #head = 0;
  #full = false;
  #attempt = 0;
  #state: "ready" | "running" | "failed" | "unheard" | "ended" = "ready";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #onSettled: (() => void) | undefined;
  #ending: Promise<void> | undefined;

  constructor(options: HandlerQueueOptions) {
    this.#o = options;
  }

  /** More wait than is good; it takes them nevertheless. */
  get full(): boolean {
    return this.#full;
  }

  /** Jobs that were not taken yet. */
  get waiting(): number {
    return this.#jobs.length - this.#head;
  }

  push(job: Job): void {
    if (this.#state === "ended") return;
    this.#jobs.push(job);
    this.#run();
    if (!this.#full && this.waiting >= FULL_AT) this.#setFull(true);
  }

  /** Somebody listens: what found nobody is handed over now. */
  heard(): void {
    if (this.#state !== "unheard") return;
    this.#state = "ready";
    this.#run();
  }

  /** Runs nothing any more. Resolves when the job that runs now is through; undefined = none does. */
  end(): Promise<void> | undefined {
    clearTimeout(this.#timer);
    if (this.#state === "running") this.#ending = new Promise((resolve) => (this.#onSettled = resolve));
    this.#state = "ended";
    this.#jobs = [];
    this.#head = 0;
    if (this.#full) this.#setFull(false);
    return this.#ending;
  }

  #run(): void {
    while (this.#state === "ready") {
      const job = this.#jobs[this.#head];
      if (job === undefined) break;
      this.#state = "running";
      let sync = true;
      job((outcome) => {
        this.#settle(outcome);
        if (!sync) this.#run();
      });
      sync = false;
    }
    if (this.#full && this.waiting <= ROOM_AT) this.#setFull(false);
  }

  #settle(outcome: Outcome): void {
    if (this.#state === "ended") return this.#onSettled?.();
    if (outcome === "taken") {
      this.#attempt = 0;
      this.#state = "ready";
      this.#head++;
      if (this.#head === this.#jobs.length || this.#head >= CUT_AT) {
        this.#jobs = this.#jobs.slice(this.#head);
        this.#head = 0;
      }
      return;
    }
    this.#state = outcome;
    if (outcome === "unheard") {
      // What comes from now on is not taken, so there is room for the answers to questions.
      if (this.#full) this.#setFull(false);
      return;
    }
    this.#timer = setTimeout(
      () => {
        this.#state = "ready";
        this.#run();
      },
      backoffMs(++this.#attempt, this.#o.backoff),
    );
  }

  #setFull(full: boolean): void {
    this.#full = full;
    this.#o.onFull(full);
  }
}
