import type { JetStreamClient } from "@nats-io/jetstream";
import { entryId, type LogReader } from "@bimip/nats";
import type { Logger } from "@bimip/runtime";
import { attempt } from "./attempt.js";
import { storeDeadLetter } from "./dead-letters.js";
import type { Retry } from "./mark.js";
import type { PushMetrics } from "./metrics.js";
import type { Push, Target } from "./provider.js";
import type { PushConfig } from "./push-config.js";
import { type Candidate, candidateFrom, stanzaOf } from "./select.js";
import type { PushState, UserStates } from "./user-state.js";
import { createWebPush } from "./web-push.js";
import { createWebhook } from "./webhook.js";

/** How a look at a user ended: nothing is left to do, or look again. */
export type Verdict =
  | { readonly kind: "done" }
  | {
      readonly kind: "again";
      readonly inMs: number;
      /** The push that is to be tried again, if one failed. */
      readonly retry?: Retry | undefined;
    };

const DONE: Verdict = { kind: "done" };
const PAGE = 128;
/** One user is worked on for so long before others have their turn. */
const TURN_MS = 2_000;
/** A replica of the log that lags has caught up after so long. */
const LAG_MS = 250;
/** Storage did not take down what was done. */
const STORAGE_AWAY_MS = 1_000;

/** Looks at what a user has neither acknowledged nor been pushed, and pushes what is due, in order. */
export class Look {
  readonly #config: PushConfig;
  readonly #users: UserStates;
  readonly #reader: LogReader;
  readonly #js: JetStreamClient;
  readonly #metrics: PushMetrics;
  readonly #logger: Logger;
  readonly #webhook: readonly Target[];

  constructor(parts: {
    config: PushConfig;
    users: UserStates;
    reader: LogReader;
    js: JetStreamClient;
    metrics: PushMetrics;
    logger: Logger;
  }) {
    this.#config = parts.config;
    this.#users = parts.users;
    this.#reader = parts.reader;
    this.#js = parts.js;
    this.#metrics = parts.metrics;
    this.#logger = parts.logger;
    const { webhook, timeoutMs } = parts.config;
    this.#webhook = webhook === undefined ? [] : [createWebhook(webhook, timeoutMs)];
  }

  /**
   * @param retry the push that failed before, if any
   * @param isStopping asked before each try
   * @throws Error when another service does not answer: nothing was decided, look again
   */
  async at(eid: string, retry: Retry | undefined, isStopping: () => boolean): Promise<Verdict> {
    const endMs = performance.now() + TURN_MS;
    // The head first: what is stored later has a mark of its own.
    const head = await this.#reader.head(eid);
    const state = await this.#users.pushState(eid);
    if (head <= state.settled) return DONE;
    if (this.#targets(eid, state).length === 0) {
      // Nowhere to push to. Somebody who subscribes later does not want what is old by then.
      await this.#users.settle(eid, head, state.epoch);
      return DONE;
    }
    const entries = await this.#reader.page(eid, state.settled, PAGE);
    for (const { index, bytes } of entries) {
      const candidate = candidateFrom(eid, index, bytes);
      if (candidate === undefined) continue;
      if (performance.now() > endMs || isStopping()) return { kind: "again", inMs: 0, retry };
      const verdict = await this.#push(eid, candidate, retry?.index === index ? retry : undefined);
      if (verdict.kind !== "done") return verdict;
    }
    const last = entries.at(-1)?.index;
    if (last === undefined) return { kind: "again", inMs: LAG_MS };
    if (last >= head) return DONE;
    // So that the next look does not read again what needs no push.
    await this.#users.settle(eid, last, state.epoch);
    return { kind: "again", inMs: 0 };
  }

  async #push(eid: string, candidate: Candidate, before: Retry | undefined): Promise<Verdict> {
    const { index, device } = candidate;
    // Asked anew before every try: a message acknowledged meanwhile is not pushed.
    const [online, state, entry] = await Promise.all([
      this.#users.isOnline(eid),
      this.#users.pushState(eid),
      this.#reader.entry(eid, index),
    ]);
    if (entry === undefined || index <= state.settled) return DONE;
    if (device !== undefined && !(await this.#users.wasSeen(eid, device))) return DONE;
    const dueInMs = entry.storedAtMs + this.#config.afterMs - Date.now();
    if (online && dueInMs > 0) return { kind: "again", inMs: dueInMs, retry: before };

    const push = await this.#pushOf(eid, candidate, { state, online, storedAtMs: entry.storedAtMs });
    const { maxTries, retryMs } = this.#config;
    const parts = { metrics: this.#metrics, logger: this.#logger, maxTries, retryMs };
    const attempted = await attempt(parts, push, this.#targets(eid, state), before);
    const { retry } = attempted;
    if (attempted.kind === "again") return { kind: "again", inMs: retry.notBeforeMs - Date.now(), retry };
    try {
      if (attempted.kind === "dead") {
        await storeDeadLetter(this.#js, push, { tries: retry.tries, failures: attempted.failures });
      }
      await this.#users.settle(eid, index, state.epoch);
    } catch (error) {
      // The retry says which targets have it, so that they do not get it again.
      this.#logger.warn({ err: error, push: push.id }, "push not written down, trying again");
      return { kind: "again", inMs: STORAGE_AWAY_MS, retry };
    }
    if (attempted.kind === "dead") this.#metrics.dead.inc();
    else this.#metrics.delaySeconds.observe((Date.now() - push.storedAtMs) / 1_000);
    return DONE;
  }

  async #pushOf(
    eid: string,
    candidate: Candidate,
    facts: { state: PushState; online: boolean; storedAtMs: number },
  ): Promise<Push> {
    const { index, kind, from, type, text } = candidate;
    const { state, online, storedAtMs } = facts;
    return {
      id: entryId(eid, "push", String(state.epoch), String(index)),
      eid,
      kind,
      from,
      type,
      text,
      stanza: stanzaOf(candidate),
      index,
      badge: await this.#users.unread(eid),
      storedAtMs,
      online,
    };
  }

  #targets(eid: string, state: PushState): readonly Target[] {
    const { webPush, timeoutMs } = this.#config;
    if (webPush === undefined) return this.#webhook;
    const browsers = state.subscriptions.map((stored) =>
      createWebPush(webPush, stored, {
        timeoutMs,
        remove: () => this.#users.removeSubscription(eid, stored.device),
      }),
    );
    return [...this.#webhook, ...browsers];
  }
}
