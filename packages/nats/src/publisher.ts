import { setTimeout as delay } from "node:timers/promises";
import type { Msg, MsgHdrs } from "@nats-io/nats-core";
import { createInbox } from "@nats-io/nats-core";
import type { Link } from "./connect.js";
import { HEADERS } from "./names.js";
import { parsePubAck } from "./pub-ack.js";
import { readEntryHeaders } from "./raw-headers.js";

/** One entry to be appended to a log. */
export interface Append {
  readonly subject: string;
  readonly payload: Uint8Array;
  /** Dedupe id (`entryId`): a repeat within the stream's window is answered with the first index. */
  readonly entryId: string;
  /** Appends of one lane are stored in the order of the calls. */
  readonly lane: string;
}

/** How an append ended. `reason` is for the log, not for clients. */
export type AppendResult =
  | { readonly ok: true; readonly sequence: number; readonly duplicate: boolean }
  | { readonly ok: false; readonly retryable: boolean; readonly reason: string };

export type AppendCallback = (result: AppendResult) => void;

export interface PublisherOptions {
  /** From the call on; then the append and all behind it in its lane fail as retryable. Default 12,000: an election takes 4–9 s. */
  readonly deadlineMs?: number;
  /** Without a PubAck for so long, the attempt counts as failed. Default 2,500. */
  readonly ackWaitMs?: number;
  /** Publishes of one lane under way at once; default 1, see the class comment and `laneDepthFor`. */
  readonly laneDepth?: number;
  /** Called for each attempt that failed and is made again, or was the last; `reason` is for logs. */
  readonly onFailedAttempt?: (reason: string) => void;
}

interface Item extends Append {
  readonly done: AppendCallback;
  readonly expiresAtMs: number;
  sentAtMs: number;
  outcome: "waiting" | "acked" | "failed";
  /** Why the last attempt failed. */
  failure: string;
}

interface Lane {
  readonly queue: Item[];
  readonly underWay: Item[];
  failures: number;
  heldUntilMs: number;
}

const PIPELINE_DEPTH = 64;

/** How deep lanes may be without risking their order, over streams of so many replicas. */
export function laneDepthFor(replicas: number): number {
  return replicas === 1 ? PIPELINE_DEPTH : 1;
}

/**
 * Under load, what comes within so long after a write to NATS waits for the next one; when idle nothing waits. Fewer,
 * larger writes: 5–10 % less CPU per message in both processes, and lower latency for it.
 */
const MIN_GAP_MS = 1;
const TICK_MS = 100;
const BACKOFF_MS = [50, 100, 200, 400, 800, 1_000] as const;

/**
 * The fast acknowledged publisher: core publishes with a reply inbox of our own and a small PubAck parser, 5 µs each
 * where `js.publish()` takes 44 (measured, docs/2-architecture.md).
 *
 * Order: when a stream's leader dies, a run of pipelined publishes is lost while later ones are stored, so a blind
 * retry reorders. Hence lanes: at the first missing or failed PubAck the lane is held, what is under way is waited
 * for, and the failed ones are sent again from there, in order. With `laneDepth` 1 nothing can be stored out of order;
 * throughput comes from many lanes. Over a stream without replicas a lane may be deeper: there is no leader to change,
 * and a lost connection loses the end of what was sent, never its middle.
 *
 * Nothing is published while NATS is away: the client library would silently lose it.
 */
export class Publisher {
  readonly #link: Link;
  readonly #deadlineMs: number;
  readonly #ackWaitMs: number;
  readonly #laneDepth: number;
  readonly #onFailedAttempt: (reason: string) => void;
  readonly #inbox = createInbox();
  readonly #lanes = new Map<string, Lane>();
  readonly #pending = new Map<number, { lane: Lane; item: Item }>();
  readonly #timer: NodeJS.Timeout;
  readonly #unlisten: () => void;
  #gathered: { lane: Lane; item: Item }[] = [];
  #publishedAtMs = 0;
  #nextReply = 1;
  #waiting = 0;
  #closed = false;

  constructor(link: Link, options: PublisherOptions = {}) {
    this.#link = link;
    this.#deadlineMs = options.deadlineMs ?? 12_000;
    this.#ackWaitMs = options.ackWaitMs ?? 2_500;
    this.#laneDepth = options.laneDepth ?? 1;
    this.#onFailedAttempt = options.onFailedAttempt ?? (() => undefined);
    link.nc.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#onReply(message);
      },
    });
    this.#unlisten = link.onChange((up) => (up ? this.#resume() : this.#suspend()));
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  /** Appends waiting for their PubAck, or for their turn. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Appends one entry; `done` is called exactly once, later, never from within this call. */
  append(append: Append, done: AppendCallback): void {
    if (this.#closed) {
      queueMicrotask(() => done({ ok: false, retryable: true, reason: "closing" }));
      return;
    }
    let lane = this.#lanes.get(append.lane);
    if (lane === undefined) {
      lane = { queue: [], underWay: [], failures: 0, heldUntilMs: 0 };
      this.#lanes.set(append.lane, lane);
    }
    this.#waiting++;
    const expiresAtMs = performance.now() + this.#deadlineMs;
    const { subject, payload, entryId } = append;
    lane.queue.push({
      subject,
      payload,
      entryId,
      lane: append.lane,
      done,
      expiresAtMs,
      sentAtMs: 0,
      outcome: "waiting",
      failure: "",
    });
    this.#pump(lane);
  }

  /** Resolves when nothing is waiting any more (each append ends by its deadline at the latest). */
  async idle(): Promise<void> {
    while (this.#waiting > 0) await delay(5);
  }

  /** Refuses further appends and waits for those under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.idle();
    clearInterval(this.#timer);
    this.#unlisten();
  }

  #pump(lane: Lane): void {
    if (!this.#link.up || lane.heldUntilMs > 0) return;
    while (lane.underWay.length < this.#laneDepth) {
      const item = lane.queue.shift();
      if (item === undefined) return;
      this.#send(lane, item);
    }
  }

  /** Gathers what goes to NATS at about the same time: one write for all of it, not one for each socket that spoke. */
  #send(lane: Lane, item: Item): void {
    item.outcome = "waiting";
    lane.underWay.push(item);
    if (this.#gathered.push({ lane, item }) > 1) return;
    if (performance.now() - this.#publishedAtMs < MIN_GAP_MS) setTimeout(this.#publishGathered, MIN_GAP_MS);
    else setImmediate(this.#publishGathered);
  }

  readonly #publishGathered = (): void => {
    this.#publishedAtMs = performance.now();
    const gathered = this.#gathered;
    this.#gathered = [];
    for (const { lane, item } of gathered) this.#publish(lane, item);
  };

  #publish(lane: Lane, item: Item): void {
    if (!this.#link.up) return this.#settle(lane, item, { ok: false, retryable: true, reason: "disconnected" });
    const reply = this.#nextReply++;
    item.sentAtMs = performance.now();
    this.#pending.set(reply, { lane, item });
    try {
      this.#link.nc.publish(item.subject, item.payload, {
        reply: `${this.#inbox}.${reply}`,
        headers: messageIdHeader(item.entryId),
      });
    } catch (error) {
      this.#pending.delete(reply);
      this.#settle(lane, item, { ok: false, retryable: true, reason: String(error) });
    }
  }

  #onReply(message: Msg): void {
    const { subject } = message;
    const reply = Number.parseInt(subject.slice(subject.lastIndexOf(".") + 1), 10);
    const entry = this.#pending.get(reply);
    if (entry === undefined) return; // late: that attempt was given up; its repeat is answered as a duplicate
    this.#pending.delete(reply);
    const data = message.data;
    const result: AppendResult =
      data.length === 0
        ? { ok: false, retryable: true, reason: `no stream answered (${readEntryHeaders(message).status})` }
        : parsePubAck(data);
    this.#settle(entry.lane, entry.item, result);
  }

  #settle(lane: Lane, item: Item, result: AppendResult): void {
    if (result.ok || !result.retryable) {
      item.outcome = "acked";
      remove(lane.underWay, item);
      if (result.ok) lane.failures = 0;
      this.#finish(item, result);
    } else {
      item.outcome = "failed";
      item.failure = result.reason;
      this.#onFailedAttempt(result.reason);
      lane.heldUntilMs = Number.POSITIVE_INFINITY;
    }
    if (lane.heldUntilMs > 0) this.#hold(lane);
    else this.#pump(lane);
    if (lane.queue.length === 0 && lane.underWay.length === 0) this.#lanes.delete(item.lane);
  }

  /** Once nothing of a failed lane is under way, its failed items go back to the head of the queue, in order. */
  #hold(lane: Lane): void {
    if (lane.underWay.some((item) => item.outcome === "waiting")) return;
    lane.queue.unshift(...lane.underWay.splice(0));
    const backoffMs = BACKOFF_MS[Math.min(lane.failures++, BACKOFF_MS.length - 1)] ?? 1_000;
    lane.heldUntilMs = performance.now() + backoffMs;
  }

  #finish(item: Item, result: AppendResult): void {
    this.#waiting--;
    item.done(result);
  }

  #tick(): void {
    const now = performance.now();
    for (const [reply, { lane, item }] of this.#pending) {
      if (now - item.sentAtMs < this.#ackWaitMs) break; // oldest first: the rest is younger
      this.#pending.delete(reply);
      this.#settle(lane, item, { ok: false, retryable: true, reason: `no PubAck within ${this.#ackWaitMs} ms` });
    }
    for (const [key, lane] of this.#lanes) {
      const head = lane.queue[0];
      if (head === undefined) continue;
      // What waits behind an expired one fails with it: stored later, it would overtake the client's repeat.
      if (lane.underWay.length === 0 && head.expiresAtMs <= now) this.#expire(key, lane);
      else if (lane.heldUntilMs <= now) {
        lane.heldUntilMs = 0;
        this.#pump(lane);
      }
    }
  }

  #expire(key: string, lane: Lane): void {
    this.#lanes.delete(key);
    const why = lane.queue[0]?.failure || "NATS was away";
    for (const item of lane.queue.splice(0)) {
      this.#finish(item, { ok: false, retryable: true, reason: `not stored within the deadline: ${why}` });
    }
  }

  /** NATS went away: whatever is under way has an unknown end, and is sent again after the return. */
  #suspend(): void {
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    for (const { lane, item } of lost) {
      this.#settle(lane, item, { ok: false, retryable: true, reason: "disconnected" });
    }
  }

  #resume(): void {
    for (const lane of this.#lanes.values()) {
      if (lane.underWay.length === 0) lane.heldUntilMs = 0;
      this.#pump(lane);
    }
  }
}

function remove(items: Item[], item: Item): void {
  const at = items.indexOf(item);
  if (at >= 0) items.splice(at, 1);
}

/** The client encodes headers through this one method; ours skips its header map (entry ids need no checks: base64url). */
function messageIdHeader(entryId: string): MsgHdrs {
  return new MessageIdHeader(entryId) as unknown as MsgHdrs;
}

class MessageIdHeader {
  readonly #id: string;
  constructor(id: string) {
    this.#id = id;
  }
  encode(): Uint8Array {
    const text = `NATS/1.0\r\n${HEADERS.messageId}: ${this.#id}\r\n\r\n`;
    return Buffer.from(text, "latin1");
  }
}
