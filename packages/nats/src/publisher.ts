import { setTimeout as delay } from "node:timers/promises";
import type { Msg } from "@nats-io/nats-core";
import type { Link } from "./connect.js";
import { newInbox } from "./inbox.js";
import { type Append, type AppendCallback, type AppendResult, type Item, Lane, StreamShare } from "./lane.js";
import { messageIdHeader } from "./message-id-header.js";
import { parsePubAck } from "./pub-ack.js";
import { readEntryHeaders } from "./raw-headers.js";
import { stepMs } from "./steps.js";

export interface PublisherOptions {
  /** From the call on; then the append and all behind it in its lane fail as retryable. Default 12,000: an election takes 4–9 s. */
  readonly deadlineMs?: number;
  /** Without a PubAck for so long, the attempt counts as failed. Default 2,500. */
  readonly ackWaitMs?: number;
  /** Publishes of one lane under way at once; default 1, see the class comment and `laneDepthFor`. In a cluster always 1. */
  readonly laneDepth?: number;
  /** Called for each attempt that failed and is made again, or was the last; `reason` is for logs. */
  readonly onFailedAttempt?: (reason: string) => void;
}

const PIPELINE_DEPTH = 64;

/** How deep lanes may be over streams of so many replicas. */
export function laneDepthFor(replicas: number): number {
  return replicas === 1 ? PIPELINE_DEPTH : 1;
}

/**
 * Under load, what comes within so long after a write to NATS waits for the next one; when idle nothing waits. Fewer,
 * larger writes: 5–10 % less CPU per message in both processes, and lower latency for it.
 */
const MIN_GAP_MS = 1;
const TICK_MS = 100;
const DISCONNECTED: AppendResult = { ok: false, retryable: true, reason: "disconnected" };
const BACKOFF_MS = [50, 100, 200, 400, 800, 1_000] as const;

/**
 * The fast acknowledged publisher: core publishes with a reply inbox of our own and a small PubAck parser, 5 µs each
 * where `js.publish()` takes 44 (measured, docs/2-architecture.md).
 *
 * Order: when a stream's leader dies, a run of pipelined publishes is lost while later ones are stored, so a blind
 * retry reorders. Hence lanes: at the first missing or failed PubAck the lane is held, what is under way is waited
 * for, and the failed ones are sent again from there, in order. With a depth of 1 nothing can be stored out of order;
 * throughput comes from many lanes.
 *
 * A single nats-server has no leader to change and no route that drops messages, and a lost connection loses the end of
 * what was sent, never its middle: there a lane may be deeper. Two things could still take the middle out of one. The
 * server's queue for a stream may be full, see `StreamShare`, and the server may refuse for other reasons that pass, such
 * as a full disk. A lane that met one goes on with depth 1, so at most the 63 behind the first refused are stored before it.
 *
 * Nothing is published while NATS is away: the client library would silently lose it.
 */
export class Publisher {
  readonly #link: Link;
  readonly #deadlineMs: number;
  readonly #ackWaitMs: number;
  readonly #laneDepth: number;
  readonly #onFailedAttempt: (reason: string) => void;
  readonly #inbox: string;
  readonly #lanes = new Map<string, Lane>();
  readonly #streams = new Map<string, StreamShare>();
  readonly #pending = new Map<number, { lane: Lane; item: Item }>();
  readonly #timer: NodeJS.Timeout;
  readonly #unlisten: () => void;
  #depth = 1;
  #gathered: { lane: Lane; item: Item }[] = [];
  #publishedAtMs = 0;
  #nextReply = 1;
  #waiting = 0;
  #closed = false;

  constructor(link: Link, options: PublisherOptions = {}) {
    this.#link = link;
    this.#inbox = newInbox(link.nc);
    this.#deadlineMs = options.deadlineMs ?? 12_000;
    this.#ackWaitMs = options.ackWaitMs ?? 2_500;
    this.#laneDepth = options.laneDepth ?? 1;
    this.#findDepth();
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
      lane = new Lane(this.#streamOf(append.subject), this.#depth);
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

  /** One share per log partition; they stay. */
  #streamOf(subject: string): StreamShare {
    const partition = subject.slice(0, subject.lastIndexOf("."));
    let stream = this.#streams.get(partition);
    if (stream === undefined) {
      stream = new StreamShare();
      this.#streams.set(partition, stream);
    }
    return stream;
  }

  /** Which servers there are may change with the connection. */
  #findDepth(): void {
    this.#depth = this.#link.nc.info?.cluster === undefined ? this.#laneDepth : 1;
  }

  /** Sends what the lane may. Where others wait for the stream's room already, it waits behind them. */
  #pump(lane: Lane): void {
    const { stream } = lane;
    while (this.#link.up && lane.ready) {
      if (stream.line.size > 0 || !stream.hasRoom) return void stream.line.add(lane);
      this.#sendNext(lane);
    }
  }

  /** Gives the stream's room to those that wait for it: one publish each, in turn. */
  #share(stream: StreamShare): void {
    // A lane that is put back comes to its turn again in this loop.
    for (const lane of stream.line) {
      if (!this.#link.up || !stream.hasRoom) return;
      stream.line.delete(lane);
      if (lane.ready) this.#sendNext(lane);
      if (lane.ready) stream.line.add(lane);
    }
  }

  #sendNext(lane: Lane): void {
    const item = lane.queue.shift();
    if (item !== undefined) this.#send(lane, item);
  }

  /** Gathers what goes to NATS at about the same time: one write for all of it, not one for each socket that spoke. */
  #send(lane: Lane, item: Item): void {
    item.outcome = "waiting";
    lane.underWay.push(item);
    lane.stream.take(item);
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
    if (!this.#link.up) return this.#settle(lane, item, DISCONNECTED);
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

  /** The end of one attempt. */
  #settle(lane: Lane, item: Item, result: AppendResult): void {
    lane.stream.giveBack(item);
    if (result.ok || !result.retryable) {
      item.outcome = "acked";
      remove(lane.underWay, item);
      if (result.ok) lane.failures = 0;
      this.#finish(item, result);
    } else {
      item.outcome = "failed";
      item.failure = result.reason;
      this.#onFailedAttempt(result.reason);
      if (result !== DISCONNECTED) lane.depth = 1;
      lane.heldUntilMs = Number.POSITIVE_INFINITY;
    }
    if (lane.heldUntilMs > 0) this.#hold(lane);
    this.#share(lane.stream);
    this.#pump(lane);
    if (lane.queue.length === 0 && lane.underWay.length === 0) this.#lanes.delete(item.lane);
  }

  /** Once nothing of a failed lane is under way, its failed items go back to the head of the queue, in order. */
  #hold(lane: Lane): void {
    if (lane.underWay.some((item) => item.outcome === "waiting")) return;
    lane.queue.unshift(...lane.underWay.splice(0));
    const backoffMs = stepMs(BACKOFF_MS, lane.failures++);
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
      this.#settle(lane, item, DISCONNECTED);
    }
    for (const stream of this.#streams.values()) stream.line.clear(); // the return asks every lane
  }

  #resume(): void {
    this.#findDepth();
    for (const lane of this.#lanes.values()) {
      lane.depth = Math.min(lane.depth, this.#depth);
      if (lane.underWay.length === 0) lane.heldUntilMs = 0;
      this.#pump(lane);
    }
  }
}

function remove(items: Item[], item: Item): void {
  const at = items.indexOf(item);
  if (at >= 0) items.splice(at, 1);
}
