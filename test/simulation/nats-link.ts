import { HEADERS, type Link } from "@bimip/nats";
import { type Nats, type Routed, ServerSession } from "./nats.js";
import type { Process } from "./world.js";

const encoder = new TextEncoder();
/** A dead connection is found by two unanswered pings, 5 s apart. */
const NOTICE_MS = { from: 10_000, to: 15_000 } as const;
const RECONNECT_MS = { from: 250, to: 500 } as const;

interface Pending {
  readonly resolve: (message: never) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

interface LocalSubscription {
  readonly subject: string;
  readonly queue: string;
  readonly callback: (error: Error | null, message: unknown) => void;
}

type Command = { readonly run: (session: ServerSession) => void; readonly lost?: () => void };

/**
 * A process's connection to NATS with what of the client library our code uses, and its behaviour when the connection
 * is lost: subscriptions come back, what was published meanwhile is lost without a word, requests time out.
 */
export class NatsLink implements Link {
  readonly process: Process;
  session: ServerSession | undefined;
  /** Virtual milliseconds. */
  upSinceMs = 0;
  /** The newest copy that came on each log's live subject. */
  readonly heard = new Map<string, number>();
  readonly #nats: Nats;
  readonly #inbox: string;
  readonly #listeners = new Set<(up: boolean) => void>();
  readonly #subscriptions = new Map<number, LocalSubscription>();
  readonly #requests = new Map<string, Pending>();
  #buffer: Command[] = [];
  #up = true;
  #closed = false;
  #sid = 0;
  #token = 0;

  constructor(nats: Nats, process: Process) {
    this.#nats = nats;
    this.process = process;
    this.#inbox = `_INBOX.${process.name}.${nats.links.size}`;
    nats.links.add(this);
    this.session = new ServerSession(this);
    this.#subscribe(`${this.#inbox}.*`, { callback: (_error, message) => this.#onAnswer(message as Routed) });
  }

  get up(): boolean {
    return this.#up && !this.#closed;
  }

  get nc(): Link["nc"] {
    return this as unknown as Link["nc"];
  }

  /** Requests and subscriptions that are still there; the inbox is not counted. */
  get leftOver(): string[] {
    const subjects = [...this.#subscriptions.values()].map(({ subject }) => subject);
    return [...subjects.filter((subject) => !subject.startsWith("_INBOX")), ...this.#requests.keys()];
  }

  onChange(listener: (up: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  isClosed(): boolean {
    return this.#closed;
  }

  publish(
    subject: string,
    payload: Uint8Array | string,
    options: { reply?: string; headers?: { encode(): Uint8Array } } = {},
  ): void {
    const data = typeof payload === "string" ? encoder.encode(payload) : payload;
    const header = options.headers === undefined ? "" : Buffer.from(options.headers.encode()).toString("latin1");
    const msgId = /^Nats-Msg-Id: (.*)\r$/m.exec(header)?.[1] ?? "";
    this.#send({ run: () => this.#nats.publish(subject, data, options.reply, msgId) }, subject);
  }

  subscribe(
    subject: string,
    options: { callback: LocalSubscription["callback"]; queue?: string },
  ): { unsubscribe(): void } {
    return this.#subscribe(subject, options);
  }

  async request(subject: string, data: Uint8Array, options: { timeout: number }): Promise<never> {
    return this.#pending(options.timeout, (reply) => this.publish(subject, data, { reply }));
  }

  /** A question to the server itself; `answer` undefined = it does not answer. */
  async ask<T>(timeoutMs: number, answer: () => T | undefined): Promise<T> {
    return this.#pending<T>(timeoutMs, (reply) => {
      this.#send(
        {
          run: (session) => {
            const value = answer();
            if (value === undefined) return;
            this.#nats.toClient(session, "answer", () =>
              this.#settle(reply, (pending) => pending.resolve(value as never)),
            );
          },
        },
        "question",
      );
    });
  }

  async flush(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#send(
        {
          run: (session) => this.#nats.toClient(session, "pong", resolve),
          lost: () => reject(new Error("connection disconnected")),
        },
        "ping",
      );
    });
  }

  async drain(): Promise<void> {
    if (this.session !== undefined) this.#nats.drop(this.session);
    this.#subscriptions.clear();
    this.#closed = true;
    this.#nats.links.delete(this);
    for (const reply of this.#requests.keys()) {
      this.#settle(reply, (pending) => pending.reject(new Error("connection closed")));
    }
  }

  /** The connection breaks. @param silent nobody says so: both sides have to find out */
  cut(silent: boolean): void {
    const { session } = this;
    if (session === undefined || !session.alive) return;
    const { nowMs } = this.#nats.world;
    session.acceptUntilMs = silent ? nowMs : nowMs + this.#nats.dice.between(0, 1);
    this.#nats.drop(session);
    const noticeMs = silent ? this.#nats.dice.between(NOTICE_MS.from, NOTICE_MS.to) : this.#nats.dice.between(0.1, 50);
    this.#nats.world.schedule(this.process, noticeMs, "NATS connection is gone", () => this.#lost(session));
  }

  /** The server stands still for a while; what it has received by then it still processes. */
  stall(ms: number): void {
    const { session } = this;
    if (session === undefined || !session.alive) return;
    session.stallUntilMs = Math.max(session.stallUntilMs, this.#nats.world.nowMs + ms);
    const noticeMs = this.#nats.dice.between(NOTICE_MS.from, NOTICE_MS.to);
    if (ms < noticeMs) return;
    this.#nats.world.schedule(this.process, noticeMs, "NATS connection given up", () => {
      this.#nats.drop(session);
      this.#lost(session);
    });
  }

  /** A killed process's connection: what it sent may have arrived. */
  kill(): void {
    this.#nats.links.delete(this);
    if (this.session === undefined) return;
    this.session.acceptUntilMs = this.#nats.world.nowMs + this.#nats.dice.between(0, 1);
    this.#nats.drop(this.session);
  }

  /** The server's word. */
  onMessage(sid: number, message: Routed): void {
    const sequence = Number(message.headers?.get(HEADERS.sequence) ?? 0);
    if (sequence > (this.heard.get(message.subject) ?? 0)) this.heard.set(message.subject, sequence);
    this.#subscriptions.get(sid)?.callback(null, {
      ...message,
      respond: (data: Uint8Array | string) => this.publish(message.reply, data),
    });
  }

  #subscribe(
    subject: string,
    options: { callback: LocalSubscription["callback"]; queue?: string },
  ): { unsubscribe(): void } {
    const sid = ++this.#sid;
    const queue = options.queue ?? "";
    this.#subscriptions.set(sid, { subject, queue, callback: options.callback });
    this.#send({ run: (session) => this.#nats.subscribe(session, sid, subject, queue) }, "subscribe");
    return {
      unsubscribe: () => {
        if (!this.#subscriptions.delete(sid)) return;
        this.#send({ run: (session) => this.#nats.unsubscribe(session, sid) }, "unsubscribe");
      },
    };
  }

  #send(command: Command, kind: string): void {
    const { session } = this;
    if (session === undefined) this.#buffer.push(command);
    else this.#nats.toServer(session, kind, () => command.run(session));
    if (command.lost !== undefined) this.#onLoss.push(command.lost);
  }

  /** A flush that was not answered when the connection went fails. */
  #onLoss: (() => void)[] = [];

  #pending<T>(timeoutMs: number, send: (reply: string) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const reply = `${this.#inbox}.${++this.#token}`;
      const timer = setTimeout(() => this.#settle(reply, (pending) => pending.reject(new Error("timeout"))), timeoutMs);
      this.#requests.set(reply, { resolve, reject, timer });
      send(reply);
    });
  }

  #settle(reply: string, end: (pending: Pending) => void): void {
    const pending = this.#requests.get(reply);
    if (pending === undefined) return;
    this.#requests.delete(reply);
    clearTimeout(pending.timer);
    end(pending);
  }

  #onAnswer(message: Routed): void {
    this.#settle(message.subject, (pending) => {
      if (message.headers?.code === 503) pending.reject(new Error("no responders"));
      else pending.resolve(message as never);
    });
  }

  #lost(session: ServerSession): void {
    if (this.session !== session || this.#closed) return;
    this.session = undefined;
    this.#nats.world.note(() => `${this.process.name}: NATS is away`);
    this.#change(false);
    this.#dialLater();
  }

  #dialLater(): void {
    const waitMs = this.#nats.dice.between(RECONNECT_MS.from, RECONNECT_MS.to);
    this.#nats.world.schedule(this.process, waitMs, "dial NATS", () => this.#dial());
  }

  /** Each attempt throws away what was written since the last one; what comes during a good one is sent. */
  #dial(): void {
    if (this.#closed) return;
    this.#buffer = [];
    for (const lost of this.#onLoss.splice(0)) lost();
    if (!this.#nats.up) return this.#dialLater();
    this.#nats.world.schedule(this.process, this.#nats.dice.between(0.5, 5), "connected to NATS", () => {
      if (this.#closed) return;
      if (!this.#nats.up) return this.#dialLater();
      const session = new ServerSession(this);
      this.session = session;
      for (const [sid, { subject, queue }] of this.#subscriptions) {
        this.#nats.toServer(session, "subscribe", () => this.#nats.subscribe(session, sid, subject, queue));
      }
      for (const command of this.#buffer.splice(0))
        this.#nats.toServer(session, "buffered", () => command.run(session));
      this.#nats.world.note(() => `${this.process.name}: NATS is back`);
      this.#change(true);
    });
  }

  #change(up: boolean): void {
    if (this.#up === up) return;
    this.#up = up;
    if (up) this.upSinceMs = this.#nats.world.nowMs;
    for (const listener of this.#listeners) listener(up);
  }
}
