// One device, three gateways, two replicas of the registry, at random: clocks that differ, claims, questions and answers that get lost, come
// twice or late, devices that close, gateways that stand still and are swept. Once all is quiet one session is left.
// Registry and Fence are the real ones. Cannot show: how fast, and what Registration and Holds do with real timers.
import { type SessionRecord, sessionKey } from "@bimip/nats";
import { type SessionEvent, SessionEventSchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { createHoldHandler } from "../../services/awareness/src/sessions/hold-handler.js";
import { Registry } from "../../services/awareness/src/sessions/registry.js";
import { Fence } from "../../services/gateway/src/fence.js";
import { FakeBucket } from "../kit/fake-bucket.js";
import { Dice } from "../simulation/dice.js";

const KEY = sessionKey("a@x", "phone");
const STEPS = 120;
const SEEDS = 1_500;

interface Session {
  readonly id: string;
  readonly number: number;
  readonly startedMs: number;
  readonly fence: Fence;
  live: boolean;
  /** By its device. */
  closed: boolean;
  told: boolean;
}

interface Task {
  readonly session: Session;
  readonly open: boolean;
  over: number;
}

/** What is on its way: taken off, perhaps once more, perhaps never. */
interface OnItsWay {
  /** The gateway that has to be awake for it. */
  readonly to: Gateway | undefined;
  readonly arrive: () => Promise<void>;
}

class Gateway {
  readonly name: string;
  /** Of its clock. */
  readonly aheadMs: number;
  readonly tasks: Task[] = [];
  session: Session | undefined;
  frozen = false;
  count = 0;
  /** The question that is waited for. */
  asked: symbol | undefined;

  constructor(name: string, aheadMs: number) {
    this.name = name;
    this.aheadMs = aheadMs;
  }
}

class Model {
  readonly dice: Dice;
  bucket = new FakeBucket();
  nowMs = 1_000_000;
  readonly gateways: readonly Gateway[];
  readonly sessions: Session[] = [];
  readonly log: string[] = [];
  net: OnItsWay[] = [];
  quiet = false;
  readonly #skewMs: number;
  readonly #registries: readonly Registry[];

  constructor(seed: number, skewMs: number) {
    this.#skewMs = skewMs;
    this.dice = new Dice(seed);
    const skew = (): number => this.dice.int(-skewMs, skewMs);
    this.gateways = ["g0", "g1", "g2"].map((name) => new Gateway(name, skew()));
    const bucket = {
      read: (key: string) => this.bucket.read(key),
      write: (key: string, bytes: Uint8Array, revision: number) => this.bucket.write(key, bytes, revision),
    };
    this.#registries = [skew(), skew()].map(
      (aheadMs, at) =>
        new Registry({ bucket, known: () => undefined, replica: `r${at}`, now: () => this.nowMs + aheadMs }),
    );
  }

  get live(): Session[] {
    return this.sessions.filter(({ live }) => live);
  }

  record(): SessionRecord | undefined {
    return this.bucket.json(KEY) as SessionRecord | undefined;
  }

  open(gateway: Gateway): void {
    this.nowMs++;
    const id = `s${this.sessions.length}`;
    const older = gateway.session;
    const session: Session = {
      id,
      number: ++gateway.count,
      startedMs: this.nowMs,
      live: true,
      closed: false,
      told: false,
      fence: new Fence({
        id,
        awareness: { begin: () => undefined, renew: () => undefined },
        replace: () => this.end(gateway, session, "replaced"),
      }),
    };
    this.log.push(`${this.nowMs} ${id} opens at ${gateway.name} (${gateway.aheadMs})`);
    this.sessions.push(session);
    gateway.session = session;
    gateway.tasks.push({ session, open: true, over: 0 });
    if (older !== undefined) this.end(gateway, older, "replaced here");
  }

  end(gateway: Gateway, session: Session, why: string): void {
    if (!session.live) return;
    this.log.push(`${this.nowMs} ${session.id} ${why}`);
    session.live = false;
    if (gateway.session === session) gateway.session = undefined;
    gateway.tasks.push({ session, open: false, over: 0 });
  }

  close(gateway: Gateway): void {
    const { session } = gateway;
    if (session === undefined || gateway.frozen) return;
    session.closed = true;
    this.end(gateway, session, "is closed");
  }

  /** The first task of a gateway's line is told. */
  tell(gateway: Gateway): void {
    const task = gateway.tasks[0];
    if (task === undefined || gateway.frozen) return;
    const { session, open } = task;
    gateway.asked = undefined; // the last question was waited for in vain
    if (open ? !session.live : !session.told) return void gateway.tasks.shift();
    if (open) session.told = true;
    const event = this.#event(gateway, session, open, task.over);
    const mine = (gateway.asked = Symbol(session.id));
    const done = (work: () => void): void => {
      if (gateway.asked !== mine) return;
      gateway.asked = undefined;
      work();
    };
    this.#send(undefined, async () => {
      const registry = this.dice.pick(this.#registries);
      if (!open) {
        await registry.close(event);
        return this.#send(gateway, async () => done(() => void gateway.tasks.shift()));
      }
      const { epoch, contested, tookOver } = await registry.open(event);
      this.log.push(`${this.nowMs} ${session.id} told: ${epoch}, contested ${contested}`);
      if (epoch > 0) this.#claim(session, epoch, tookOver);
      this.#send(gateway, async () =>
        done(() => {
          task.over = contested;
          if (contested > 0) return;
          gateway.tasks.shift();
          session.fence.onEpoch(epoch);
        }),
      );
    });
  }

  hold(gateway: Gateway): void {
    const { session } = gateway;
    if (session === undefined || !session.fence.registered || gateway.frozen) return;
    const event = this.#event(gateway, session, true, 0);
    const answer = createHoldHandler({
      directory: {
        session: () => {
          const record = this.record();
          return record === undefined || record.state === "gone" ? undefined : { record, revision: 0 };
        },
      },
      hold: (held) => this.dice.pick(this.#registries).hold(held),
      caughtUp: async () => undefined,
      onReopened: (_event, epoch) => this.#claim(session, epoch, true),
      onStale: () => undefined,
    });
    this.#send(undefined, async () => {
      const { stale } = await answer({ node: "", gateway: gateway.name, sessions: [event] } as never);
      this.#send(gateway, async () => {
        if (stale.includes(session.id)) this.end(gateway, session, "is stale");
      });
    });
  }

  async sweep(gateway: Gateway): Promise<void> {
    const record = this.record();
    if (!gateway.frozen || record?.gateway !== gateway.name || record.state !== "online") return;
    this.log.push(`${this.nowMs} ${record.sessionId} is swept`);
    await this.dice.pick(this.#registries).sweep(record);
    this.#send(gateway, async () => this.hold(gateway));
  }

  async arrive(): Promise<void> {
    const ready = this.net.filter(({ to }) => to?.frozen !== true);
    if (ready.length === 0) return;
    const one = this.dice.pick(ready);
    this.net.splice(this.net.indexOf(one), 1);
    await one.arrive();
  }

  async step(): Promise<void> {
    const gateway = this.dice.pick(this.gateways);
    const what = this.dice.int(0, 99);
    if (what < 8 && !gateway.frozen) this.open(gateway);
    else if (what < 30) this.tell(gateway);
    else if (what < 70) await this.arrive();
    else if (what < 78) this.nowMs += this.dice.int(0, 400);
    else if (what < 80) this.nowMs += this.dice.int(0, 5_000);
    else if (what < 86) this.hold(gateway);
    else if (what < 90) gateway.frozen = !gateway.frozen;
    else if (what < 94) await this.sweep(gateway);
    // With clocks apart a newer session may have been taken for the older one: then none is left once the device closes the other.
    else if (what < 96 && this.#skewMs === 0) this.close(gateway);
  }

  /** Nothing gets lost any more, and every gateway says twice what it holds. */
  async settle(): Promise<void> {
    this.quiet = true;
    for (const gateway of this.gateways) gateway.frozen = false;
    for (let round = 0; round < 4; round++) {
      for (let tries = 0; this.gateways.some(({ tasks }) => tasks.length > 0) || this.net.length > 0; tries++) {
        if (tries > 500) throw new Error("it does not come to an end");
        while (this.net.length > 0) await this.arrive();
        for (const gateway of this.gateways) this.tell(gateway);
        this.nowMs += 100;
      }
      if (round > 0) for (const gateway of this.gateways) this.hold(gateway);
    }
  }

  #claim(session: Session, epoch: number, twice: boolean): void {
    for (let times = twice ? 2 : 1; times > 0; times--)
      for (const gateway of this.gateways)
        this.#send(gateway, async () => {
          this.log.push(`${this.nowMs} claim ${session.id} ${epoch} reaches ${gateway.name}`);
          gateway.session?.fence.onClaim({ sessionId: session.id, epoch: BigInt(epoch) });
        });
  }

  #send(to: Gateway | undefined, arrive: () => Promise<void>): void {
    const fate = this.quiet ? 99 : this.dice.int(0, 99);
    if (fate < 15) return;
    this.net.push({ to, arrive });
    if (fate < 25) this.net.push({ to, arrive });
  }

  #event({ name, aheadMs }: Gateway, { id, number, startedMs }: Session, open: boolean, over: number): SessionEvent {
    const since = BigInt(startedMs + aheadMs);
    return create(SessionEventSchema, {
      eid: "a@x",
      device: "phone",
      node: "",
      gateway: name,
      sessionId: id,
      open,
      timestamp: open ? since : BigInt(this.nowMs + aheadMs),
      since,
      number: BigInt(number),
      ageMs: BigInt(this.nowMs - startedMs),
      over: BigInt(over),
    });
  }
}

test.each([
  ["clocks that agree", 0],
  ["clocks that are seconds apart", 3_000],
])("%s: one session of the device is left at most, and one if it is not closed", async (_name, skewMs) => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const model = new Model(seed, skewMs);
    model.open(model.gateways[0] as Gateway);
    for (let step = 0; step < STEPS; step++) await model.step();
    await model.settle();
    const left = model.live.map(({ id }) => id);
    const text = `seed ${seed}\n${model.log.join("\n")}`;
    if (left.length !== 1) expect([left, model.sessions.at(-1)?.closed], text).toEqual([[], true]);
    if (left.length > 0) expect(model.record(), text).toMatchObject({ sessionId: left[0], state: "online" });
  }
});
