import { HEADERS } from "@bimip/nats";
import { tokenToName } from "@bimip/protocol";
import type { Dice } from "./dice.js";
import type { NatsLink } from "./nats-link.js";
import type { Stream } from "./stream.js";
import { Process, type World } from "./world.js";

const NO_RESPONDERS = 503;
const END_OF_BATCH = 204;
const NOT_FOUND = 404;
const DIRECT_GET = "$JS.API.DIRECT.GET.";
const NOTHING = new Uint8Array(0);

/** A message as the server hands it on. */
export interface Routed {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly reply: string;
  readonly headers: Headers | undefined;
}

/** The part of the client library's header map that our code reads. */
export class Headers {
  readonly code: number;
  readonly #values: Readonly<Record<string, number | string>>;
  constructor(code: number, values: Readonly<Record<string, number | string>> = {}) {
    this.code = code;
    this.#values = values;
  }
  get(name: string): string {
    return String(this.#values[name] ?? "");
  }
}

interface DirectQuery {
  readonly next_by_subj: string;
  readonly batch: number;
  readonly seq?: number;
  readonly start_time?: string;
}

interface Subscription {
  readonly session: ServerSession;
  readonly sid: number;
  readonly queue: string;
}

/** What goes wrong at the moment, as shares of 1 and milliseconds; faults set and take back. */
export interface NatsTrouble {
  copyLoss: number;
  ackLoss: number;
  ackDuplicate: number;
  /** Of a batch read from a log, answers that a route between two servers drops. */
  answerLoss: number;
  /** PubAcks and copies come up to so much later. */
  lateMs: number;
  /** Batches are read up to so much later. */
  readMs: number;
  /** Reads from replicas show the log as it was up to so long ago. */
  staleMs: number;
}

/** One connection as the server sees it. */
export class ServerSession {
  readonly link: NatsLink;
  /** The server still sends to it. */
  alive = true;
  /** What arrives later is not processed any more. */
  acceptUntilMs = Number.POSITIVE_INFINITY;
  /** Nothing arrives on either side before: a server that stands still. */
  stallUntilMs = 0;
  toServerAtMs = 0;
  toClientAtMs = 0;
  readonly subscriptions = new Map<number, { subject: string; entry: Subscription }>();
  constructor(link: NatsLink) {
    this.link = link;
  }
}

/**
 * A NATS cluster as its clients see it: core messages at most once and in order per connection, queue groups, "no
 * responders", connections that break or stall, and streams (see Stream).
 */
export class Nats {
  readonly world: World;
  readonly dice: Dice;
  readonly server = new Process("nats");
  readonly streams = new Map<string, Stream>();
  readonly trouble: NatsTrouble = {
    copyLoss: 0,
    ackLoss: 0,
    ackDuplicate: 0,
    answerLoss: 0,
    readMs: 0,
    lateMs: 0,
    staleMs: 0,
  };
  readonly links = new Set<NatsLink>();
  /** False: nobody can connect. */
  up = true;
  readonly #subscriptions = new Map<string, Set<Subscription>>();

  constructor(world: World) {
    this.world = world;
    this.dice = world.dice.fork();
  }

  /** One way over the network. */
  latencyMs(): number {
    return this.dice.chance(0.02) ? this.dice.between(1, 20) : this.dice.between(0.05, 0.6);
  }

  subscribe(session: ServerSession, sid: number, subject: string, queue: string): void {
    const entry: Subscription = { session, sid, queue };
    const known = session.subscriptions.get(sid);
    if (known !== undefined) return;
    session.subscriptions.set(sid, { subject, entry });
    const all = this.#subscriptions.get(subject);
    if (all === undefined) this.#subscriptions.set(subject, new Set([entry]));
    else all.add(entry);
  }

  unsubscribe(session: ServerSession, sid: number): void {
    const known = session.subscriptions.get(sid);
    if (known === undefined) return;
    session.subscriptions.delete(sid);
    this.#subscriptions.get(known.subject)?.delete(known.entry);
  }

  /** The server forgets a connection. */
  drop(session: ServerSession): void {
    session.alive = false;
    for (const sid of session.subscriptions.keys()) this.unsubscribe(session, sid);
  }

  /** NATS as a whole goes away for a while; what is stored stays. */
  outage(ms: number): void {
    this.up = false;
    this.world.count("outages");
    for (const link of this.links) link.cut(false);
    for (const stream of this.streams.values()) stream.crash();
    this.world.schedule(this.server, ms, "NATS returns", () => {
      this.up = true;
      this.world.note(() => "NATS is back");
    });
  }

  /** A message from a client, or from the server itself. */
  publish(subject: string, data: Uint8Array, reply = "", msgId = "", headers?: Headers): void {
    const stream = this.streams.get(subject.slice(0, subject.lastIndexOf(".")));
    if (stream !== undefined) return stream.ingest(subject, data, reply, msgId);
    if (subject.startsWith(DIRECT_GET)) return this.#directGet(subject.slice(DIRECT_GET.length), data, reply);
    if (!this.route({ subject, data, reply, headers }) && reply !== "") {
      this.route({ subject: reply, data: NOTHING, reply: "", headers: new Headers(NO_RESPONDERS) });
    }
  }

  /** Hands a message to all who listen, to one of each queue group; false: nobody does. Wildcards stand for whole tokens. */
  route(message: Routed): boolean {
    const { subject } = message;
    const exact = this.#subscriptions.get(subject);
    const wild = this.#subscriptions.get(`${subject.slice(0, subject.lastIndexOf("."))}.*`);
    let heard = false;
    const groups = new Map<string, Subscription[]>();
    for (const subscriptions of [exact, wild]) {
      if (subscriptions === undefined) continue;
      for (const subscription of subscriptions) {
        heard = true;
        if (subscription.queue === "") this.#deliver(subscription, message);
        else groups.set(subscription.queue, [...(groups.get(subscription.queue) ?? []), subscription]);
      }
    }
    for (const members of groups.values()) this.#deliver(this.dice.pick(members), message);
    return heard;
  }

  /** A batch of one log's entries, each a message of its own, then the end; from a replica that may lag. */
  #directGet(name: string, data: Uint8Array, reply: string): void {
    const stream = [...this.streams.values()].find((candidate) => candidate.name === name);
    if (stream === undefined) return;
    const { readMs } = this.trouble;
    const waitMs = readMs > 0 ? this.dice.between(0, readMs) : 0;
    this.world.schedule(this.server, waitMs, "read", () => this.#answerBatch(stream, data, reply));
  }

  #answerBatch(stream: Stream, data: Uint8Array, reply: string): void {
    if (!this.up || this.dice.chance(0.002)) return;
    const query = JSON.parse(Buffer.from(data).toString()) as DirectQuery;
    const eid = tokenToName(query.next_by_subj.slice(query.next_by_subj.lastIndexOf(".") + 1));
    const { batch, seq: from, start_time: since = "" } = query;
    // It is bounded in bytes as well.
    const most = this.dice.chance(0.2) ? this.dice.int(1, batch) : batch;
    const found =
      from !== undefined
        ? stream.page(eid, from - 1, most, this.staleMs())
        : stream.since(eid, Date.parse(since) - this.world.epochAt(0), most);
    // Each answer names the one before it, so that a hole shows (ADR-31).
    let last = 0;
    for (const { seq, bytes, msgId } of found) {
      const headers = new Headers(0, {
        [HEADERS.sequence]: seq,
        [HEADERS.lastSequence]: last,
        [HEADERS.messageId]: msgId,
      });
      last = seq;
      if (this.dice.chance(this.trouble.answerLoss)) this.world.count("answers lost");
      else this.route({ subject: reply, data: bytes, reply: "", headers });
    }
    const code = found.length === 0 ? NOT_FOUND : END_OF_BATCH;
    const headers = new Headers(code, { [HEADERS.lastSequence]: last });
    this.route({ subject: reply, data: NOTHING, reply: "", headers });
  }

  /** How far behind the replica is that answers now. */
  staleMs(): number {
    return this.dice.chance(0.3) ? this.dice.between(0, this.trouble.staleMs) : 0;
  }

  #deliver({ session, sid }: Subscription, message: Routed): void {
    this.toClient(session, `message on ${message.subject}`, () => session.link.onMessage(sid, message));
  }

  /** Something travels to a client, in order. */
  toClient(session: ServerSession, kind: string, run: () => void): void {
    if (!session.alive) return;
    const { nowMs } = this.world;
    session.toClientAtMs = Math.max(session.toClientAtMs, nowMs + this.latencyMs(), session.stallUntilMs);
    this.world.schedule(session.link.process, session.toClientAtMs - nowMs, kind, () => {
      if (session.alive && session.link.session === session) run();
    });
  }

  /** Something travels to the server, in order. */
  toServer(session: ServerSession, kind: string, run: () => void): void {
    const { nowMs } = this.world;
    session.toServerAtMs = Math.max(session.toServerAtMs, nowMs + this.latencyMs(), session.stallUntilMs);
    this.world.schedule(this.server, session.toServerAtMs - nowMs, kind, () => {
      if (this.world.nowMs <= session.acceptUntilMs) run();
    });
  }
}
