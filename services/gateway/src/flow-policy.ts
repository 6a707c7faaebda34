import { dropOldest } from "@bimip/runtime";
import { setTimeout as delay } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { BimipError, ErrorCode, FlowChangedSchema, type FlowResponse } from "@bimip/protocol";
import { call, type Link, PROCEDURES, partitionOf, SUBJECTS } from "@bimip/nats";

/** The answer to "may A write to B?", with what every message of the flow needs. */
export interface Flow {
  /** Absent: allowed. For the client by `flowRefusal`. */
  readonly refusal: BimipError | undefined;
  /** Subject of the recipient's log. */
  readonly logSubject: string;
}

interface CachedFlow extends Flow {
  freshUntilMs: number;
  usableUntilMs: number;
  refreshing: boolean;
}

/** A question to the router that is not answered yet. */
interface Asking {
  readonly key: string;
  /** What it asks for has changed since: its answer may be of before. */
  outdated: boolean;
}

const REQUEST_TIMEOUT_MS = 1_000;
const RETRY_MS = 100;
/** How long a decided flow goes on while no router answers. */
const USABLE_MS = 30_000;
const MAX_ENTRIES = 100_000;

/**
 * Asks the router whether A may write to B and keeps the answer: fresh for `freshMs`, then refreshed behind the
 * traffic. So a router that is away delays only flows that were never decided. Forgotten at awareness's word that a block
 * was made or lifted, and dropped whole when NATS was away: the word may have been lost.
 */
export class FlowPolicy {
  readonly #flows = new Map<string, CachedFlow>();
  readonly #asking = new Map<string, Promise<Flow>>();
  readonly #unanswered = new Set<Asking>();
  readonly #link: Link;
  readonly #partitions: number;
  readonly #freshMs: number;
  readonly #deadlineMs: number;

  /** @param options.deadlineMs an undecided flow fails with 503 after so long */
  constructor(link: Link, options: { partitions: number; freshMs: number; deadlineMs: number }) {
    this.#link = link;
    this.#partitions = options.partitions;
    this.#freshMs = options.freshMs;
    this.#deadlineMs = options.deadlineMs;
    link.nc.subscribe(SUBJECTS.flowChanged, {
      callback: (error, message) => {
        if (error === null) this.#onChanged(message.data);
      },
    });
    link.onChange((up) => {
      if (up) this.#forgetAll();
    });
  }

  /** Decided flows that are remembered. */
  get size(): number {
    return this.#flows.size;
  }

  /** The decided flow, or undefined: then `decide`. */
  known(from: string, to: string): Flow | undefined {
    const key = flowKey(from, to);
    const flow = this.#flows.get(key);
    if (flow === undefined) return undefined;
    const now = performance.now();
    if (now < flow.freshUntilMs) return flow;
    if (now >= flow.usableUntilMs) {
      this.#flows.delete(key);
      return undefined;
    }
    if (!flow.refreshing) {
      flow.refreshing = true;
      void this.#ask(key, from, to)
        .catch(() => undefined)
        .finally(() => {
          flow.refreshing = false;
        });
    }
    return flow;
  }

  /** Waits for the router's answer. Rejects with BimipError 503 after the deadline. */
  async decide(from: string, to: string): Promise<Flow> {
    const key = flowKey(from, to);
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      asking = this.#decide(key, from, to).finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
    }
    return asking;
  }

  async #decide(key: string, from: string, to: string): Promise<Flow> {
    const deadline = performance.now() + this.#deadlineMs;
    for (;;) {
      try {
        return await this.#ask(key, from, to);
      } catch (error) {
        if (performance.now() + RETRY_MS > deadline) {
          throw new BimipError(ErrorCode.TRY_AGAIN, "no router answered, try again", { cause: error });
        }
        await delay(RETRY_MS);
      }
    }
  }

  async #ask(key: string, from: string, to: string): Promise<Flow> {
    const answer = await this.#answerOf(key, from, to);
    const now = performance.now();
    const flow: CachedFlow = {
      refusal: answer.code === 0 ? undefined : new BimipError(answer.code, answer.details),
      logSubject: SUBJECTS.log(partitionOf(to, this.#partitions), to),
      freshUntilMs: now + this.#freshMs,
      usableUntilMs: now + USABLE_MS,
      refreshing: false,
    };
    // The one decided last goes last, so those that have had their time stand in front.
    this.#flows.delete(key);
    for (const [oldest, { usableUntilMs }] of this.#flows) {
      if (usableUntilMs > now) break;
      this.#flows.delete(oldest);
    }
    if (this.#flows.size >= MAX_ENTRIES) dropOldest(this.#flows);
    this.#flows.set(key, flow);
    return flow;
  }

  /** The router's answer, which nothing has changed since it was asked for. */
  async #answerOf(key: string, from: string, to: string): Promise<FlowResponse> {
    for (;;) {
      const asking: Asking = { key, outdated: false };
      this.#unanswered.add(asking);
      try {
        const answer = await call(this.#link.nc, PROCEDURES.flow, { fromEid: from, toEid: to }, REQUEST_TIMEOUT_MS);
        if (!asking.outdated) return answer;
      } finally {
        this.#unanswered.delete(asking);
      }
    }
  }

  #onChanged(data: Uint8Array): void {
    const { eid, otherEid } = fromBinary(FlowChangedSchema, data);
    for (const key of [flowKey(eid, otherEid), flowKey(otherEid, eid)]) {
      this.#flows.delete(key);
      for (const asking of this.#unanswered) if (asking.key === key) asking.outdated = true;
    }
  }

  #forgetAll(): void {
    this.#flows.clear();
    for (const asking of this.#unanswered) asking.outdated = true;
  }
}

/** Length-prefixed, since EIDs may hold any separator. */
function flowKey(from: string, to: string): string {
  return `${from.length}:${from}${to}`;
}
