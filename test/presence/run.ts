import { AwarenessStatus, AwarenessType, ContactAction, ContactRelationship, Visibility } from "@bimip/protocol";
import type { Random } from "../chaos/random.js";
import type { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { LeakWatch } from "./leak-watch.js";
import { type Look, PresenceModel } from "./model.js";

/** What is needed of the system: a connected device, whose first snapshot is here. */
export type OpenDevice = (eid: string, device: string, gateway: number) => Promise<Device>;

export interface RunOptions {
  readonly open: OpenDevice;
  readonly random: Random;
  readonly gateways: number;
  /** The system's grace period. */
  readonly graceMs: number;
  readonly users: number;
}

const DEVICES = ["phone", "laptop"] as const;
const { ONLINE, OFFLINE, AWAY, BUSY, DND } = AwarenessStatus;
const STATUSES = [ONLINE, OFFLINE, AWAY, BUSY, DND] as const;
/** Chosen, like the actions below, so that much is visible, and relations last a while. */
const VISIBILITIES = [Visibility.PUBLIC, Visibility.CONTACTS, Visibility.CONTACTS, Visibility.PRIVATE] as const;
const { REQUEST, ACCEPT, DENY, REMOVE, BLOCK, UNBLOCK } = ContactAction;
const ACTIONS = [
  REQUEST,
  REQUEST,
  REQUEST,
  REQUEST,
  ACCEPT,
  ACCEPT,
  ACCEPT,
  ACCEPT,
  DENY,
  REMOVE,
  BLOCK,
  UNBLOCK,
  UNBLOCK,
];
const FIRST_ACTIVITY = 100;
const SETTLE_MS = 15_000;
const KEPT_STEPS = 150;
const QUIET_CHECKS = 3;

/** A connected device stays so for a round, or comes and goes in it. */
interface Slot {
  readonly eid: string;
  readonly name: string;
  device: Device | undefined;
}

/**
 * Does random things to a system and to the model, many at a time, and compares what each device was shown once nothing
 * changes any more. What two do at once and whose order would matter does not happen in one round.
 */
export class PresenceRun {
  steps = 0;
  /** Comparisons of a device's picture of a user, and how many of these were of somebody visible. */
  compared = 0;
  visible = 0;
  readonly #o: RunOptions;
  readonly #model = new PresenceModel();
  readonly #eids: readonly string[];
  readonly #slots: readonly Slot[];
  readonly #watch: LeakWatch;
  readonly #history: string[] = [];
  #ids = 0;

  constructor(options: RunOptions, name: string) {
    this.#o = options;
    this.#eids = Array.from({ length: options.users }, (_, at) => `${name}-${at}@x`);
    this.#slots = this.#eids.flatMap((eid) => DEVICES.map((device) => ({ eid, name: device, device: undefined })));
    this.#watch = new LeakWatch(this.#model, this.#eids);
  }

  /** What was done last, oldest first. */
  get history(): readonly string[] {
    return this.#history;
  }

  /** Everybody is connected once: whoever never was is nobody. Half of the pairs are contacts. */
  async begin(): Promise<void> {
    this.#watch.begin();
    await Promise.all(this.#slots.map((slot) => this.#connect(slot, this.#o.random)));
    for (const [eid, peer] of this.#somePairs()) {
      const [device, other] = [eid, peer].map((one) => this.#slots.find((slot) => slot.eid === one)?.device);
      if (device === undefined || other === undefined) continue;
      await this.#contact(device, peer, REQUEST, ContactRelationship.MUTUAL);
      await this.#contact(other, eid, ACCEPT, ContactRelationship.MUTUAL);
    }
    await this.#quiet();
  }

  /** @throws Error that says what was shown and should not have been */
  async round(): Promise<void> {
    this.#watch.begin();
    this.#note("round");
    const { random } = this.#o;
    const steady = new Set(this.#eids.map((eid) => this.#steadyOf(eid)));
    const work: Promise<void>[] = [];
    for (const eid of this.#eids) {
      // Type 2 is the user's: one device at a time may set or end it.
      const voice = random.pick(DEVICES);
      const hasNews = random.next() < 1 / 3;
      for (const slot of this.#slots.filter((one) => one.eid === eid)) {
        const mayEnd = !hasNews || slot.name === voice;
        work.push(
          this.#deviceRound(slot, { isSteady: steady.has(slot), hasNews: hasNews && slot.name === voice, mayEnd }),
        );
      }
    }
    for (const [eid, peer] of this.#somePairs()) work.push(this.#pairRound(eid, peer, steady));
    await Promise.all(work);
    await this.#quiet();
    await this.#checkDirected();
    await this.#checkSnapshot();
  }

  #steadyOf(eid: string): Slot | undefined {
    const connected = this.#slots.filter((slot) => slot.eid === eid && slot.device !== undefined);
    return connected.length === 0 ? undefined : this.#o.random.pick(connected);
  }

  /** Some of the pairs of users, each at most once. */
  #somePairs(): [string, string][] {
    const pairs = this.#eids.flatMap((eid, at) =>
      this.#eids.slice(at + 1).map((peer): [string, string] => [eid, peer]),
    );
    return this.#o.random.shuffle(pairs).slice(0, Math.ceil(pairs.length / 2));
  }

  /** What one device does in a round, in this order. */
  async #deviceRound(slot: Slot, o: { isSteady: boolean; hasNews: boolean; mayEnd: boolean }): Promise<void> {
    const random = this.#o.random.fork();
    const count = random.whole(0, 4);
    if (o.isSteady && random.next() < 1 / 4) await this.#setVisibility(slot, random.pick(VISIBILITIES));
    // Who leaves right after saying something cannot know whether it was heard: nobody does, after what is to last.
    let mayLeave = !o.isSteady;
    for (let n = 0; n < count; n++) {
      if (slot.device === undefined) {
        await this.#connect(slot, random);
        continue;
      }
      if (mayLeave && random.next() < 1 / 2) {
        if (random.next() < 1 / 4) await this.#connect(slot, random);
        else await this.#leave(slot, random.next() < 1 / 2);
        continue;
      }
      const statuses = o.mayEnd ? STATUSES : STATUSES.filter((status) => status !== ONLINE);
      const visibility = random.next() < 1 / 5 ? random.pick(VISIBILITIES) : 0;
      const status = random.pick(statuses);
      if (status === ONLINE) mayLeave = false;
      this.#say(slot, { type: AwarenessType.PRESENCE, status, ttl: ttlOf(random), visibility });
    }
    if (!o.hasNews || slot.device === undefined) return;
    const status = FIRST_ACTIVITY + (++this.#ids % 1_000);
    this.#say(slot, { type: AwarenessType.STATUS, status, ttl: ttlOf(random), visibility: 0 });
    if (random.next() < 1 / 4) this.#say(slot, { type: AwarenessType.PRESENCE, status: ONLINE, ttl: 0, visibility: 0 });
  }

  /** What two users do to their relation in a round, in this order. */
  async #pairRound(eid: string, peer: string, steady: ReadonlySet<Slot | undefined>): Promise<void> {
    const random = this.#o.random.fork();
    const actors = [...steady].filter((slot) => slot?.eid === eid || slot?.eid === peer);
    if (actors.length === 0) return;
    const count = random.whole(1, 4);
    for (let n = 0; n < count; n++) {
      const { device } = random.pick(actors) ?? {};
      if (device === undefined) continue;
      const relationship = random.pick([ContactRelationship.UNILATERAL, ContactRelationship.MUTUAL]);
      await this.#contact(device, device.eid === eid ? peer : eid, random.pick(ACTIONS), relationship);
    }
  }

  async #connect(slot: Slot, random: Random): Promise<void> {
    const gateway = random.whole(0, this.#o.gateways - 1);
    this.#note(`${slot.eid} ${slot.name} connects to ${gateway}`);
    const before = slot.device;
    slot.device = await this.#o.open(slot.eid, slot.name, gateway);
    this.#model.connect(slot.eid, slot.name);
    if (before !== undefined) await before.closing();
  }

  async #leave(slot: Slot, abruptly: boolean): Promise<void> {
    const { device } = slot;
    if (device === undefined) return;
    this.#note(`${slot.eid} ${slot.name} leaves${abruptly ? " abruptly" : ""}`);
    slot.device = undefined;
    if (abruptly) device.socket.terminate();
    await device.close();
    this.#model.disconnect(slot.eid, slot.name, Date.now() + this.#o.graceMs);
    this.#judgeLeaks(device);
  }

  #say(slot: Slot, said: Parameters<PresenceModel["say"]>[2]): void {
    this.#note(`${slot.eid} ${slot.name} says ${JSON.stringify(said)}`);
    slot.device?.awareness(said);
    this.#model.say(slot.eid, slot.name, said);
  }

  async #setVisibility({ eid, device }: Slot, visibility: Visibility): Promise<void> {
    this.#note(`${eid} is visible to ${visibility}`);
    await device?.visibilityDone(visibility);
    this.#model.setVisibility(eid, visibility);
    this.#watch.note();
  }

  async #contact(
    device: Device,
    peer: string,
    action: ContactAction,
    relationship: ContactRelationship,
  ): Promise<void> {
    const { eid } = device;
    this.#note(`${eid} to ${peer}: action ${action}, relationship ${relationship}`);
    const expected = this.#model.relations.take(eid, peer, action, relationship);
    // What follows from it may be told before its author is answered.
    this.#watch.note();
    const id = device.contact({ to: { eid: peer }, action, relationship });
    const answer = await eventually(
      () => `an answer to ${id} of ${eid}; ${this.#tail()}`,
      () =>
        device.of("error").find((error) => error.id === id) ??
        device.of("awarenessContact").find((contact) => contact.trackingId === id),
    );
    const got = answer.$typeName === "bimip.ErrorMessage" ? { code: answer.code } : { action: answer.action };
    if (JSON.stringify(got) !== JSON.stringify(expected))
      throw new Error(`${JSON.stringify(got)} instead of ${JSON.stringify(expected)}; ${this.#tail()}`);
  }

  /** Waits until nothing changes by itself, and all are shown how it is. */
  async #quiet(): Promise<void> {
    const { timersEndMs } = this.#model;
    await eventually("the timers' end", () => Date.now() > timersEndMs, SETTLE_MS);
    await eventually(
      () => `${this.#differences().join("; ")}; ${this.#tail()}`,
      () => this.#differences().length === 0,
      SETTLE_MS,
    );
    for (const { device } of this.#slots) if (device !== undefined) this.#judgeLeaks(device);
  }

  #judgeLeaks(device: Device): void {
    const leaks = this.#watch.leaks(device);
    if (leaks.length > 0) throw new Error(`${leaks.join("; ")}; ${this.#tail()}`);
  }

  #differences(): string[] {
    const differences: string[] = [];
    for (const { eid, name, device } of this.#slots) {
      if (device === undefined) continue;
      for (const seen of this.#eids) {
        if (seen === eid) continue;
        const looks = this.#model.looks(eid, seen);
        this.compared++;
        if (looks.some(({ visible, status }) => visible && status !== OFFLINE)) this.visible++;
        if (!looks.some((look) => isShown(device, seen, look)))
          differences.push(`${eid} ${name} sees ${seen} as ${describe(device, seen)}, not ${JSON.stringify(looks)}`);
      }
    }
    return differences;
  }

  /** While nothing changes: directed ones, and positions for all, are delivered or refused exactly as the model has it. */
  async #checkDirected(): Promise<void> {
    const { random } = this.#o;
    const speakers = this.#slots.filter(({ device }) => device !== undefined);
    for (let n = 0; n < QUIET_CHECKS && speakers.length > 0; n++) {
      const { eid, device } = random.pick(speakers);
      const to = random.pick(this.#eids.filter((one) => one !== eid));
      const looks = this.#model.looks(to, eid);
      if (device === undefined || new Set(looks.map(({ visible }) => visible)).size > 1) continue;
      this.#note(`${eid} says something to ${to} alone`);
      const id = device.awareness({ status: BUSY, to: { eid: to } });
      if (looks[0]?.visible !== true) {
        const { code } = await device.refusal(id);
        if (code !== 403) throw new Error(`${code} instead of 403 for ${id}; ${this.#tail()}`);
        continue;
      }
      const location = device.location({ latitude: 1, longitude: 1 });
      for (const slot of this.#slots.filter((one) => one.eid === to)) {
        await slot.device?.untilAwareness((one) => one.id === id);
        await slot.device?.until("locationStream", (one) => one.id === location);
      }
    }
  }

  /** While nothing changes: a new connection's snapshot holds exactly those whom its user may see. */
  async #checkSnapshot(): Promise<void> {
    const slot = this.#o.random.pick(this.#slots);
    await this.#connect(slot, this.#o.random);
    const { device, eid } = slot;
    for (const seen of this.#eids) {
      const looks = this.#model.looks(eid, seen);
      if (seen === eid || looks.some(({ visible }) => visible !== looks[0]?.visible)) continue;
      const isThere = device?.picture.of(seen) !== undefined;
      if (isThere !== looks[0]?.visible)
        throw new Error(`${seen} ${isThere ? "is" : "is not"} in the snapshot of ${eid}; ${this.#tail()}`);
    }
    await this.#quiet();
  }

  #note(step: string): void {
    this.steps++;
    this.#history.push(step);
    if (this.#history.length > KEPT_STEPS) this.#history.shift();
  }

  #tail(): string {
    return `the last steps:\n${this.#history.join("\n")}`;
  }
}

const ttlOf = (random: Random): number => (random.next() < 1 / 12 ? 1 : 0);

function isShown(device: Device, seen: string, { visible, status, activity }: Look): boolean {
  const shown = device.presenceOf(seen) ?? OFFLINE;
  if (shown !== status) return false;
  return !visible || status === OFFLINE || device.picture.activityOf(seen) === activity;
}

function describe(device: Device, seen: string): string {
  return `${device.presenceOf(seen)}, activity ${device.picture.activityOf(seen)}`;
}
