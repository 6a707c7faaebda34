import { randomUUID } from "node:crypto";
import type { JetStreamClient } from "@nats-io/jetstream";
import { entryId, type LogReader } from "@bimip/nats";
import type { Logger } from "@bimip/runtime";
import { attempt } from "./attempt.js";
import { storeDeadLetter } from "./dead-letters.js";
import { isAt, isCovered, type Place, type Retry } from "./mark.js";
import type { Marks } from "./marks.js";
import type { PushMetrics } from "./metrics.js";
import type { Push, Target } from "./provider.js";
import type { PushConfig } from "./push-config.js";
import { type Candidate, candidateFrom, isSettled, stanzaOf } from "./select.js";
import type { PushState, UserStates } from "./user-state.js";
import { createWebPush } from "./web-push.js";
import { createWebhook } from "./webhook.js";

/** How a look at a user ended: nothing is left to do, or look again. */
export type Verdict =
  | {
      readonly kind: "done";
      /** So far the log was looked at. */
      readonly covered: Place;
    }
  | {
      readonly kind: "again";
      /** 0: others have their turn first. */
      readonly inMs: number;
      /** The push that is to be tried again, if one failed. */
      readonly retry: Retry | undefined;
    };

/** What leads to a look. */
export interface Asked {
  /** The newest entry that somebody noticed, and when the mark that says so was written, epoch milliseconds. */
  readonly noticed: Place | undefined;
  readonly markedAtMs: number;
  /** The push that failed before, if any. */
  readonly retry: Retry | undefined;
  /** Asked before each push. */
  readonly isStopping: () => boolean;
}

/** One look, while it goes on. */
interface Course {
  readonly eid: string;
  readonly asked: Asked;
  readonly epoch: number;
  /** Done with when the look began. */
  readonly pushed: number;
  /** Unread messages, counted once. */
  readonly badge: () => Promise<number | undefined>;
}

/** What came of one entry: go on to the next, or end the look. */
type Step = "next" | Extract<Verdict, { kind: "again" }>;

const PAGE = 128;
/** One user is worked on for so long before others have their turn. */
const TURN_MS = 2_000;
/** A replica of the log that lags has caught up after so long. */
const LAG_MS = 250;
/** A leader that was deposed knows it by then: what it does not have is not there any more. */
const HEAD_BELIEVED_AFTER_MS = 60_000;
/** Storage did not take down what was done. */
const STORAGE_AWAY_MS = 1_000;
/** A claim outlives its push by so long: time to write down what came of it. It is over sooner once that is done. */
const CLAIM_MARGIN_MS = 10_000;
/** Another router is at it: look again after so long. */
const CLAIMED_MS = 1_000;

/** Looks at what a user has neither acknowledged nor been pushed, and pushes what is due, in order. */
export class Look {
  /** Names this router in claims. */
  readonly by = randomUUID();
  readonly #config: PushConfig;
  readonly #users: UserStates;
  readonly #marks: Marks;
  readonly #reader: LogReader;
  readonly #js: JetStreamClient;
  readonly #metrics: PushMetrics;
  readonly #logger: Logger;
  readonly #webhook: readonly Target[];

  constructor(parts: {
    config: PushConfig;
    users: UserStates;
    marks: Marks;
    reader: LogReader;
    js: JetStreamClient;
    metrics: PushMetrics;
    logger: Logger;
  }) {
    this.#config = parts.config;
    this.#users = parts.users;
    this.#marks = parts.marks;
    this.#reader = parts.reader;
    this.#js = parts.js;
    this.#metrics = parts.metrics;
    this.#logger = parts.logger;
    const { webhook, timeoutMs } = parts.config;
    this.#webhook = webhook === undefined ? [] : [createWebhook(webhook, timeoutMs)];
  }

  /** @throws Error when another service does not answer: nothing was decided, look again */
  async at(eid: string, asked: Asked): Promise<Verdict> {
    const endMs = performance.now() + TURN_MS;
    // The head first: what is stored later has a mark of its own.
    const head = await this.#reader.head(eid);
    const state = await this.#users.pushState(eid);
    const { pushed, epoch } = state;
    if (head <= pushed) return doneAt({ epoch, index: pushed }, asked);
    if (this.#targets(eid, state).length === 0) {
      // Nowhere to push to. Somebody who subscribes later does not want what is old by then.
      await this.#users.settle(eid, head, epoch);
      return doneAt({ epoch, index: head }, asked);
    }
    let badge: Promise<number | undefined> | undefined;
    const course: Course = { eid, asked, epoch, pushed, badge: () => (badge ??= this.#users.badge(eid)) };
    // Not only what nobody acknowledged: a message for one device is that device's to acknowledge.
    const entries = await this.#reader.page(eid, pushed, PAGE);
    for (const { index, bytes } of entries) {
      const candidate = candidateFrom(eid, index, bytes);
      if (candidate === undefined || isSettled(candidate, state)) continue;
      if (performance.now() > endMs || asked.isStopping()) return { kind: "again", inMs: 0, retry: asked.retry };
      const step = await this.#push(course, candidate);
      if (step !== "next") return step;
    }
    const last = entries.at(-1)?.index;
    if (last === undefined) return { kind: "again", inMs: LAG_MS, retry: undefined };
    // So that the next look does not read again what needs no push.
    await this.#users.settle(eid, last, epoch);
    return last < head ? { kind: "again", inMs: 0, retry: undefined } : doneAt({ epoch, index: last }, asked);
  }

  async #push(course: Course, candidate: Candidate): Promise<Step> {
    const { eid, asked, epoch } = course;
    const { index } = candidate;
    const before = isAt(asked.retry, { epoch, index }) ? asked.retry : undefined;
    const [online, entry] = await Promise.all([this.#users.isOnline(eid), this.#reader.entry(eid, index)]);
    if (entry === undefined) return "next";
    const { storedAtMs } = entry;
    const dueInMs = storedAtMs + this.#config.afterMs - Date.now();
    if (online && dueInMs > 0) return { kind: "again", inMs: dueInMs, retry: before };

    const [claimed, badge] = await Promise.all([this.#claim(course, index, before?.tries ?? 0), course.badge()]);
    if (!claimed) return { kind: "again", inMs: CLAIMED_MS, retry: asked.retry };
    // Asked anew, and behind the claim: what was acknowledged, or pushed by another router, is not pushed.
    const state = await this.#users.pushState(eid);
    if (state.epoch !== epoch) return { kind: "again", inMs: LAG_MS, retry: undefined };
    if (isSettled(candidate, state)) return "next";
    return this.#try(eid, pushOf(eid, candidate, { epoch, badge, storedAtMs, online }), state, before);
  }

  #claim({ eid, epoch, pushed }: Course, index: number, tries: number): Promise<boolean> {
    const untilMs = Date.now() + this.#config.timeoutMs + CLAIM_MARGIN_MS;
    return this.#marks.claim(eid, { epoch, index, by: this.by, untilMs }, { tries, settledTo: pushed });
  }

  /** Tries the push and writes down what came of it. */
  async #try(eid: string, push: Push, state: PushState, before: Retry | undefined): Promise<Step> {
    const { maxTries, retryMs } = this.#config;
    const parts = { metrics: this.#metrics, logger: this.#logger, maxTries, retryMs };
    const attempted = await attempt(parts, push, this.#targets(eid, state), before);
    const { retry } = attempted;
    if (attempted.kind === "again") return { kind: "again", inMs: retry.notBeforeMs - Date.now(), retry };
    try {
      if (attempted.kind === "dead") {
        await storeDeadLetter(this.#js, push, { tries: retry.tries, failures: attempted.failures });
      }
      await this.#users.settle(eid, push.index, push.epoch);
    } catch (error) {
      // The retry says which targets have it, so that they do not get it again.
      this.#logger.warn({ err: error, push: push.id }, "push not written down, trying again");
      return { kind: "again", inMs: STORAGE_AWAY_MS, retry };
    }
    if (attempted.kind === "dead") this.#metrics.dead.inc();
    else this.#metrics.delaySeconds.observe((Date.now() - push.storedAtMs) / 1_000);
    return "next";
  }

  #targets(eid: string, state: PushState): readonly Target[] {
    const { webPush, timeoutMs } = this.#config;
    if (webPush === undefined) return this.#webhook;
    const browsers = state.subscriptions.map((stored) =>
      createWebPush(webPush, stored, { timeoutMs, remove: () => this.#users.removeSubscription(eid, stored) }),
    );
    return [...this.#webhook, ...browsers];
  }
}

/**
 * Done, if the look came as far as the log was noticed to reach: else the head is the word of a leader that was deposed, or
 * what was noticed is gone already.
 */
export function doneAt(covered: Place, { noticed, markedAtMs }: Asked): Verdict {
  const isBehind = noticed?.epoch === covered.epoch && !isCovered(noticed, covered);
  if (!isBehind || Date.now() - markedAtMs > HEAD_BELIEVED_AFTER_MS) return { kind: "done", covered };
  return { kind: "again", inMs: LAG_MS, retry: undefined };
}

function pushOf(
  eid: string,
  candidate: Candidate,
  facts: Pick<Push, "epoch" | "badge" | "storedAtMs" | "online">,
): Push {
  const { index, kind, from, type, text } = candidate;
  const id = entryId(eid, "push", String(facts.epoch), String(index));
  return { id, eid, kind, from, type, text, stanza: stanzaOf(candidate), index, ...facts };
}
