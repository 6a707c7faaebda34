import { type BimipClient, createClient, type IncomingMessage } from "@bimip/client";
import { encodeStanza, SignalSchema, SignalStatus, SignalType } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { type Connection, type Listener, socketsOf, type Wire } from "./sockets.js";
import { Disk, storeOn } from "./store.js";
import { isDue, type Truth, type TruthEntry } from "./truth.js";
import { WireCheck } from "./wire-check.js";
import { Process, type World } from "./world.js";

/** What a device needs to know of the simulation that it lives in. */
export interface Surroundings {
  readonly world: World;
  readonly truth: Truth;
  readonly gateways: () => readonly Listener[];
  readonly starts: (eid: string, device: string, asked: number, sinceMs: number) => Iterable<number>;
  readonly fail: (rule: string, details: string) => void;
}

export interface DeviceOptions {
  readonly eid: string;
  readonly name: string;
  readonly wire: Wire;
  /** Its outbox and position survive its process. */
  readonly keeps: boolean;
  readonly pingIntervalMs: number;
  /** Milliseconds that the application takes for a message, at most; 0: it answers within the call. */
  readonly handlerMs: number;
}

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
  /** Highest index behind which it asked to go on: it says that it has what lies before. */
  maxResumed = 0;
  /** Indexes that some gateway handed to its socket. */
  readonly handed = new Set<number>();
  /** Indexes that its application ever got. */
  readonly got = new Set<number>();
  /** Where the device's very first replay began; undefined: it never had one. */
  base: number | undefined;
  readonly #s: Surroundings;
  readonly #o: DeviceOptions;
  readonly #disk = new Disk();
  #client: BimipClient | undefined;
  #connection: Connection | undefined;
  #wireCheck: WireCheck | undefined;
  #lastIndex = 0;
  #counter = 0;
  #resumes = 0;
  #claimed = 0;
  #names = new Set<string>();
  #order = new Map<string, number>();
  #starts = 0;
  /** Its process was killed and nothing of it kept. */
  #forgetful = false;
  /** Messages of others that its application took and that no receipt was seen for. */
  #untold: TruthEntry[] = [];
  /** Names of all messages that its application ever got. */
  readonly #ever = new Set<string>();
  /** Entries of its log up to here need not be looked at again. */
  #checked = 0;

  constructor(surroundings: Surroundings, options: DeviceOptions) {
    this.#s = surroundings;
    this.#o = options;
    this.eid = options.eid;
    this.name = options.name;
    this.keeps = options.keeps;
    this.process = new Process(`${this.eid}/${this.name}`);
  }

  get online(): boolean {
    return this.#client?.state === "online" && this.#wireCheck?.open === true;
  }

  /** Has all that it is due. */
  get complete(): boolean {
    if (!this.online || this.unanswered > 0 || this.#wireCheck?.complete !== true) return false;
    return this.missing() === undefined && this.untold() === undefined;
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
      this.#lastIndex = 0;
      this.#names = new Set();
      this.#order = new Map();
      client.on("message", (message) => this.#onMessage(message));
      client.on("signal", ({ id, from, status }) => {
        const name = `receipt ${from?.eid} ${id} ${status}`;
        if (this.#names.has(name)) this.#fail("the application hears each receipt once", name);
        this.#names.add(name);
      });
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
    if (!this.keeps) this.#forgetful = true;
  }

  get running(): boolean {
    return this.process.alive && this.#client !== undefined;
  }

  /** The last entry that its application got, in this life. */
  get lastIndex(): number {
    return this.#lastIndex;
  }

  get connection(): Connection | undefined {
    return this.#connection;
  }

  send(to: string): void {
    if (!this.running) return;
    const number = ++this.#counter;
    this.unanswered++;
    this.#inside(0, () => {
      const { process } = this;
      this.#client?.send({ to, id: `${this.eid}/${this.name}-${number}`, text: String(number) }).then(
        (sent) => {
          if (process !== this.process) return;
          this.unanswered--;
          this.acknowledged++;
          const entry = this.#s.truth.find(to, sent.index);
          if (entry?.id !== sent.id) this.#fail("SENT means stored", `${sent.id} to ${to} at ${sent.index}`);
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
      this.#connection?.device.send(encodeStanza("signal", create(SignalSchema, claim)));
    });
  }

  async close(): Promise<void> {
    await this.#client?.close();
  }

  /** Runs within the device's process. */
  #inside(delayMs: number, run: () => void): void {
    this.#s.world.schedule(this.process, delayMs, "device", run);
  }

  /** The first entry that its application should have got. */
  missing(): TruthEntry | undefined {
    const log = this.#s.truth.log(this.eid);
    for (; this.#checked < log.length; this.#checked++) {
      const entry = log[this.#checked] as TruthEntry;
      const { kind, name, seq, stored } = entry;
      if (kind !== "message" || stored.gone || seq <= (this.base ?? 0)) continue;
      // What was on its way when it claimed to have it may be lost: its own doing.
      if (seq <= this.#claimed && this.handed.has(seq)) continue;
      if (isDue(entry, this.name, false) && !this.got.has(seq) && !this.#ever.has(name)) return entry;
    }
    return undefined;
  }

  /** The first message that its application took, and whose author knows of no receipt. */
  untold(): TruthEntry | undefined {
    if (this.#forgetful) return undefined;
    const { truth } = this.#s;
    this.#untold = this.#untold.filter((entry) => !entry.stored.gone && !truth.isTold(entry));
    return this.#untold[0];
  }

  /** To be called when nothing happens any more. */
  settled(): void {
    this.#wireCheck?.settled();
  }

  #opened(connection: Connection, url: URL): WireCheck {
    const { world, truth, starts, fail } = this.#s;
    this.#connection = connection;
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
          if (after <= truth.head(this.eid)) this.maxResumed = Math.max(this.maxResumed, after);
        },
        onAcknowledged: (index) => {
          this.maxAcknowledged = Math.max(this.maxAcknowledged, index);
        },
      },
      url.searchParams.get("resume") === "manual",
    );
    return this.#wireCheck;
  }

  #onMessage(message: IncomingMessage): Promise<void> | undefined {
    const { index, id, from } = message;
    const entry = this.#s.truth.find(this.eid, index);
    if (entry?.id !== id || entry.from.eid !== from.eid)
      this.#fail("the application gets what is stored", `${id} at ${index}`);
    if (index <= this.#lastIndex)
      this.#fail("the application gets the log in order", `${index} after ${this.#lastIndex}`);
    this.#lastIndex = index;
    const { name } = entry ?? { name: "" };
    if (this.#names.has(name))
      this.#fail("the application sees each message once", `${id} from ${from.eid} at ${index}`);
    this.#names.add(name);
    const sender = `${from.eid}/${from.device ?? ""} ${message.to.eid}`;
    const number = Number(message.text);
    const before = this.#order.get(sender) ?? 0;
    if (number <= before) this.#fail("order per sender and recipient", `${number} after ${before} from ${sender}`);
    this.#order.set(sender, number);
    this.got.add(index);
    this.#ever.add(name);
    if (entry?.toEid === this.eid && from.eid !== this.eid) this.#untold.push(entry);
    if (this.#o.handlerMs === 0) return undefined;
    const ms = this.#s.world.dice.between(0, this.#o.handlerMs);
    return new Promise((resolve) => {
      this.#inside(ms, resolve);
    });
  }

  #fail(rule: string, details: string): void {
    this.#s.fail(rule, `${this.eid}/${this.name}: ${details}`);
  }
}
