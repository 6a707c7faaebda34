// The attacking process: a process of its own, and a nice one, so that it takes no time from those who are measured.
import { setPriority } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { issueToken } from "@bimip/auth";
import { createRandom } from "../chaos/random.js";
import type { AttackOrder, AttackPlan, AttackReport } from "./attack-plan.js";
import { Attacker } from "./attacker.js";
import { Cutter } from "./cutter.js";
import { Receiver } from "./receiver.js";
import { Strangers } from "./strangers.js";
import { Tally } from "./tally.js";

const NICE = 15;
const CUTS_AT_ONCE = 4;

class Attack {
  readonly #plan: AttackPlan;
  readonly #tally = new Tally();
  readonly #attackers: Attacker[];
  readonly #cutter: Cutter;
  readonly #strangers: Strangers;
  readonly #eids: string[];
  /** Here as well: who measures latencies has nothing else to do. */
  readonly #receiver: Receiver;
  #paceStartedMs = 0;
  #paced = 0;

  private constructor(plan: AttackPlan, targetToken: string) {
    this.#plan = plan;
    const { target: eid, port: at } = plan;
    this.#receiver = new Receiver({ eid, port: at, token: targetToken, tally: this.#tally });
    const random = createRandom(plan.seed);
    this.#eids = Array.from({ length: plan.sessions }, (_, n) => `fuzz-${n}@fuzz`);
    this.#attackers = this.#eids.map((eid, n) => {
      const names = { eid, device: `d${n}`, others: [plan.target, plan.target, ...this.#eids.slice(0, 4)] };
      // Half of them keep a copy of what they send.
      const scope = n % 2 === 0 ? "push no-copy" : "push";
      const token = () => issueToken({ secret: plan.secret, eid, device: names.device, scope });
      return new Attacker({
        port: plan.port,
        names,
        random: random.fork(),
        tally: this.#tally,
        token,
        pace: (frames) => this.#pace(frames),
      });
    });
    const { port, secret } = plan;
    const token = (eid: string, device: string) => issueToken({ secret, eid, device });
    this.#cutter = new Cutter({ port, random: random.fork(), tally: this.#tally, token });
    this.#strangers = new Strangers({ port, random: random.fork(), tally: this.#tally, token });
  }

  static async start(plan: AttackPlan): Promise<Attack> {
    const { secret, target: eid } = plan;
    return new Attack(plan, await issueToken({ secret, eid, device: "strict" }));
  }

  async run(frames: number, cuts: boolean): Promise<AttackReport> {
    this.#paceStartedMs = performance.now();
    this.#paced = 0;
    const each = Math.ceil(frames / this.#attackers.length);
    const work = [...this.#attackers.map((attacker) => attacker.run(each)), ...(cuts ? [this.#cut()] : [])];
    let failed = "";
    await Promise.all(work).catch((error: unknown) => {
      failed = String(error);
    });
    const isWrong = failed !== "" || this.#tally.problems.length > 0;
    const last = isWrong ? this.#attackers.map((one, n) => ({ eid: this.#eids[n] ?? "", frames: one.last })) : [];
    return { tally: this.#tally.data, came: this.#receiver.came, failed, last };
  }

  /** Breaks conversations off at every byte, or every n-th, and lets strangers knock in between. */
  async #cut(): Promise<void> {
    const lengths = await this.#cutter.lengths();
    const { cutEvery } = this.#plan;
    for (const [which, length] of lengths.entries()) {
      const withHeader = which === 0;
      await this.#cutter.drip(withHeader);
      const places = Array.from({ length: Math.floor(length / cutEvery) + 1 }, (_, n) => n * cutEvery);
      for (let at = 0; at < places.length; at += CUTS_AT_ONCE) {
        const some = places.slice(at, at + CUTS_AT_ONCE);
        await Promise.all([...some.map((place) => this.#cutter.cut(place, withHeader)), this.#strangers.knock()]);
      }
    }
  }

  async #pace(frames: number): Promise<void> {
    this.#paced += frames;
    const dueMs = this.#paceStartedMs + (this.#paced * 1_000) / this.#plan.framesPerSecond;
    const leftMs = dueMs - performance.now();
    if (leftMs > 0) await delay(leftMs);
  }
}

setPriority(NICE);
let attack: Promise<Attack> | undefined;
async function obey(order: AttackOrder): Promise<void> {
  if (order.type === "plan") attack = Attack.start(order.plan);
  else process.send?.(await (await attack)?.run(order.frames, order.cuts));
}
process.on("message", (order: AttackOrder) => void obey(order));
process.on("disconnect", () => process.exit(0));
