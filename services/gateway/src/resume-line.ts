import { setTimeout as delay } from "node:timers/promises";
import type { ResumeResponse } from "@bimip/protocol";
import { stepMs } from "@bimip/nats";

/** What a RESUME asks for; connecting is one too. */
export interface ResumeAsked {
  /** N = behind N, 0 = behind the stored cursor, -1 = everything retained, the device's own included. */
  readonly after: bigint;
  /** The Signal's, for the answer; empty: nobody waits for one. */
  readonly id: string;
  /** The log that N is an index of; 0 = the device does not say. */
  readonly epoch: bigint;
}

export interface ResumeLineOptions {
  /** Asks storage once. Rejects when it does not answer. */
  readonly ask: (asked: ResumeAsked) => Promise<ResumeResponse>;
  readonly isClosed: () => boolean;
  /** A newer one came before this one was answered. */
  readonly onOvertaken: (asked: ResumeAsked) => void;
  /** Storage did not answer; it is asked again. */
  readonly onError: (error: unknown) => void;
  /** Nothing is asked, and nothing waits. */
  readonly onIdle: () => void;
}

interface Job {
  readonly asked: ResumeAsked;
  readonly onAnswer: (answer: ResumeResponse) => void;
  /** Not given up for a newer one. */
  readonly mustEnd: boolean;
}

const RETRY_MS = [50, 100, 250, 500, 1_000] as const;

/**
 * Asks storage where a session goes on: one question at a time, in order, each until it is answered. Of the RESUMEs that
 * come meanwhile only the newest waits, so a client costs one question at a time however many it sends.
 */
export class ResumeLine {
  readonly #o: ResumeLineOptions;
  #running = false;
  /** What the gateway itself wants to know; a client's RESUME does not push it out. */
  readonly #own: Job[] = [];
  #waiting: Job | undefined;

  constructor(options: ResumeLineOptions) {
    this.#o = options;
  }

  /** The client's RESUME; a newer one takes its place as long as storage has not answered. */
  add(asked: ResumeAsked, onAnswer: (answer: ResumeResponse) => void): void {
    if (this.#waiting !== undefined) this.#o.onOvertaken(this.#waiting.asked);
    this.#waiting = { asked, onAnswer, mustEnd: false };
    void this.#run();
  }

  /** A question of the gateway's own, before what waits. */
  addOwn(asked: ResumeAsked, onAnswer: (answer: ResumeResponse) => void): void {
    this.#own.push({ asked, onAnswer, mustEnd: true });
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (let job = this.#next(); job !== undefined && !this.#o.isClosed(); job = this.#next()) {
      const answer = await this.#ask(job);
      if (answer !== undefined) job.onAnswer(answer);
    }
    this.#running = false;
    this.#o.onIdle();
  }

  #next(): Job | undefined {
    const own = this.#own.shift();
    if (own !== undefined) return own;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    return waiting;
  }

  async #ask({ asked, mustEnd }: Job): Promise<ResumeResponse | undefined> {
    for (let attempt = 0; ; attempt++) {
      try {
        const answer = await this.#o.ask(asked);
        return this.#o.isClosed() ? undefined : answer;
      } catch (error) {
        if (this.#o.isClosed()) return undefined;
        this.#o.onError(error);
      }
      if (!mustEnd && this.#waiting !== undefined) {
        this.#o.onOvertaken(asked);
        return undefined;
      }
      await delay(stepMs(RETRY_MS, attempt));
    }
  }
}
