import { type BimipClient, createClient } from "@bimip/client";
import { encodeStanza, SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { Application } from "./application.js";
import type { DeviceOptions, Surroundings } from "./device-options.js";
import { type Connection, socketsOf } from "./sockets.js";
import { Disk, storeOn } from "./store.js";
import type { TruthEntry } from "./truth.js";
import { WireCheck } from "./wire-check.js";
import { Process } from "./world.js";

const STABLE_URL = "ws://gateways.example/v1/ws";

/** A device: the real SDK, an application that keeps what it got, and the rules that hold for both. */
export class Device {
  readonly eid: string;
  readonly name: string;
  readonly keeps: boolean;
  process: Process;
  /** Messages that `send` was called for and that were neither confirmed nor lost with the process. */
  unanswered = 0;
  acknowledged = 0;
  /** Highest index that the device acknowledged, or tried to. */
  maxAcknowledged = 0;
  /** The same, of its newest connection. */
  #acknowledgedLast = 0;
  /** Highest index behind which it asked to go on: it says that it has what lies before. */
  maxResumed = 0;
  /** Indexes that some gateway handed to its socket. */
  readonly handed = new Set<number>();
  /** Head of its log when it first connected; undefined: it never did. */
  headAtFirst: number | undefined;
  /** The lowest index that it asked to go on behind; what storage keeps for it is not meant. */
  minResumed = Number.POSITIVE_INFINITY;
  /** Where the device's very first replay began; undefined: it never had one. */
  base: number | undefined;
  readonly #s: Surroundings;
  readonly #o: DeviceOptions;
  readonly #disk = new Disk();
  #client: BimipClient | undefined;
  #connection: Connection | undefined;
  #wireCheck: WireCheck | undefined;
  readonly #application: Application;
  #counter = 0;
  #resumes = 0;
  #claimed = 0;
  #starts = 0;
  /** What its application sent and has no answer for: the outbox's key, and the name that it is stored by. */
  readonly #sending = new Map<string, { to: string; name: string }>();
  /** Of killed processes, what their outboxes held on disk: must be stored in the end. */
  #owed: { to: string; name: string }[] = [];

  constructor(surroundings: Surroundings, options: DeviceOptions) {
    this.#s = surroundings;
    this.#o = options;
    this.eid = options.eid;
    this.name = options.name;
    this.keeps = options.keeps;
    this.process = new Process(`${this.eid}/${this.name}`);
    const { world, truth } = surroundings;
    this.#application = new Application({
      eid: this.eid,
      device: this.name,
      truth,
      later: (ms, run) => this.#inside(ms, run),
      handlerMs: () => (options.handlerMs === 0 ? 0 : world.dice.between(0, options.handlerMs)),
      reads: () => world.dice.chance(0.2),
      fail: (rule, details) => this.#fail(rule, details),
    });
  }

  get online(): boolean {
    return this.#client?.state === "online" && this.#wireCheck?.open === true;
  }

  /** Has all that it is due. */
  get complete(): boolean {
    if (!this.online || this.unanswered > 0 || this.#wireCheck?.complete !== true) return false;
    return this.missing() === undefined && this.untold() === undefined && this.unsent() === undefined;
  }

  /** What it lacks, by rule. */
  get incomplete(): [rule: string, details: string] {
    const [missing, untold, unsent] = [this.missing(), this.untold(), this.unsent()];
    if (this.#client?.state === "closed") return ["the SDK comes back by itself", "it is closed"];
    if (!this.online) return ["every device comes online", String(this.#client?.state)];
    if (missing !== undefined) return ["everything arrives in time", `${missing.seq} ${missing.id} is missing`];
    if (this.unanswered > 0) return ["every message is answered", `${this.unanswered} are not`];
    if (unsent !== undefined) return ["what an outbox kept is stored", unsent];
    if (untold !== undefined) return ["every receipt arrives", `none for ${untold.seq} ${untold.id}`];
    if (this.#wireCheck?.complete !== true) return ["RESUME is answered", "it is not"];
    return ["acknowledgements are stored", `${this.cursorAtLeast} is not`];
  }

  start(): void {
    const { world } = this.#s;
    if (this.#starts++ > 0) this.process = new Process(`${this.eid}/${this.name}#${this.#starts}`);
    this.#inside(0, () => {
      const client = createClient({
        url: STABLE_URL,
        eid: this.eid,
        token: `${this.eid}/${this.name}`,
        pingIntervalMs: this.#o.pingIntervalMs,
        ...(this.keeps && { store: storeOn(this.#disk, world) }),
        socket: socketsOf({
          world,
          process: this.process,
          pick: () => {
            const listening = this.#s.gateways();
            return listening.length === 0 ? undefined : world.dice.pick(listening);
          },
          wire: () => this.#o.wire,
          tap: (connection, url) => this.#opened(connection, url),
        }),
      });
      this.#client = client;
      this.#application.begin(this.#disk.progress.index);
      client.on("message", (message) => this.#application.onMessage(message));
      client.on("signal", (signal) => this.#application.onSignal(signal));
      client.on("error", (error) => world.note(() => `${this.process.name}: ${error.code} ${error.details}`));
      client.on("state", (state) => world.note(() => `${this.process.name}: ${state}`));
      client.connect().catch((error: unknown) => world.note(() => `${this.process.name}: connect: ${String(error)}`));
    });
  }

  /** kill -9; what it had on its disk stays, if it has one. */
  kill(): void {
    this.process.alive = false;
    this.#connection?.deviceDied(this.#s.world.dice.chance(0.7) ? 5 : 60_000);
    this.unanswered = 0;
    this.#application.end(this.keeps);
    for (const [key, sending] of this.#sending) if (this.#disk.kept.has(key)) this.#owed.push(sending);
    this.#sending.clear();
  }

  get running(): boolean {
    return this.process.alive && this.#client !== undefined;
  }

  /** The last entry that its application got, in this life. */
  get lastIndex(): number {
    return this.#application.lastIndex;
  }

  /** Its application works on a message. */
  get busy(): boolean {
    return this.#application.busy > 0;
  }

  get connection(): Connection | undefined {
    return this.#connection;
  }

  /** Sends one message; `device`: for this one of the recipient's alone. */
  send(to: string, device?: string): void {
    this.#send(++this.#counter, to, device);
  }

  /** Sends messages of one id to two recipients. */
  sendBoth(to: string, other: string): void {
    const number = ++this.#counter;
    this.#send(number, to);
    this.#send(number, other);
  }

  #send(number: number, to: string, device?: string): void {
    if (!this.running) return;
    this.unanswered++;
    // Unique for the account alone: others use the same.
    const id = `${this.name}-${number}`;
    const key = `${id}\0${to}`;
    this.#sending.set(key, { to, name: `${this.eid} ${to} ${id}` });
    this.#inside(0, () => {
      const { process } = this;
      const address = device === undefined ? to : { eid: to, device };
      this.#client?.send({ to: address, id, text: String(number) }).then(
        (sent) => {
          if (process !== this.process) return;
          this.unanswered--;
          this.acknowledged++;
          this.#sending.delete(key);
          const entry = this.#s.truth.find(to, sent.index);
          if (entry?.id !== id || entry.from.eid !== this.eid) {
            this.#fail("SENT means stored", `${id} to ${to} at ${sent.index}`);
          }
        },
        (error: unknown) => {
          if (process !== this.process) return;
          this.unanswered--;
          this.#fail("no message is given up", `${number} to ${to}: ${String(error)}`);
        },
      );
    });
  }

  /** RESUME in the middle of a session. */
  resume(after: number): void {
    this.#inside(0, () => {
      if (!this.online) return;
      const id = `resume-${++this.#resumes}`;
      const request = { id, type: SignalType.REQUEST, status: SignalStatus.RESUME, monotonicId: BigInt(after) };
      this.#connection?.device.send(encodeStanza("signal", create(SignalSchema, request)));
    });
  }

  /** Claims to have what was perhaps never handed over. */
  overstate(index: number): void {
    this.#inside(0, () => {
      if (!this.online) return;
      this.#claimed = Math.max(this.#claimed, index);
      const claim = { type: SignalType.REQUEST, status: SignalStatus.DELIVERED, monotonicId: BigInt(index) };
      const before = this.#acknowledgedLast;
      this.#connection?.device.send(encodeStanza("signal", create(SignalSchema, claim)));
      this.#acknowledgedLast = before; // not the SDK's word
    });
  }

  async close(): Promise<void> {
    await this.#client?.close();
  }

  /** Runs within the device's process. */
  #inside(delayMs: number, run: () => void): void {
    this.#s.world.schedule(this.process, delayMs, "device", run);
  }

  /** The first entry that its application should have finished. */
  missing(): TruthEntry | undefined {
    // What was on its way when it claimed to have it may be lost: its own doing.
    return this.#application.missing(this.base ?? 0, (seq) => seq <= this.#claimed && this.handed.has(seq));
  }

  /** The first message that its application finished, and whose author knows of no receipt. */
  untold(): TruthEntry | undefined {
    return this.#application.untold();
  }

  /** The first message that an outbox kept over the end of its process, and that is not stored. */
  unsent(): string | undefined {
    this.#owed = this.#owed.filter(({ to, name }) => !this.#s.truth.isStored(to, name));
    return this.#owed[0]?.name;
  }

  /** What storage must know as its cursor in the end: what it acknowledged on a connection that still holds. */
  get cursorAtLeast(): number {
    if (!this.online || this.#connection?.sound !== true) return 0;
    return Math.min(this.#acknowledgedLast, Math.max(0, ...this.handed));
  }

  /** To be called when nothing happens any more. */
  settled(): void {
    this.#wireCheck?.settled();
  }

  #opened(connection: Connection, url: URL): WireCheck {
    const { world, truth, starts, fail } = this.#s;
    this.#connection = connection;
    this.#acknowledgedLast = 0;
    this.headAtFirst ??= truth.head(this.eid);
    this.#wireCheck = new WireCheck(
      {
        eid: this.eid,
        device: this.name,
        truth,
        nowMs: () => world.nowMs,
        note: (line) => world.note(() => `${this.process.name} ${line()}`),
        starts: (asked, sinceMs) => starts(this.eid, this.name, asked, sinceMs),
        fail,
        onHanded: (index) => this.handed.add(index),
        onResumed: (after) => {
          if (after !== 0) this.minResumed = Math.min(this.minResumed, Math.max(after, 0));
          if (after <= truth.head(this.eid)) this.maxResumed = Math.max(this.maxResumed, after);
        },
        onAcknowledged: (index) => {
          this.maxAcknowledged = Math.max(this.maxAcknowledged, index);
          this.#acknowledgedLast = Math.max(this.#acknowledgedLast, index);
        },
      },
      url.searchParams.get("resume") === "manual",
    );
    return this.#wireCheck;
  }

  #fail(rule: string, details: string): void {
    this.#s.fail(rule, `${this.eid}/${this.name}: ${details}`);
  }
}
