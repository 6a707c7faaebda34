import { setTimeout as delay } from "node:timers/promises";
import { call, type Link, PROCEDURES, jitteredStepMs } from "@bimip/nats";
import type { Session } from "../session.js";
import type { Users } from "../users.js";

export interface HoldsOptions {
  readonly link: Link;
  readonly users: Users;
  readonly node: string;
  /** This gateway's process. */
  readonly gateway: string;
  /** The registry did not take it; what is urgent is told again. */
  readonly onError: (error: unknown) => void;
}

const SESSIONS_PER_REQUEST = 256;
const REQUESTS_AT_ONCE = 4;
const TIMEOUT_MS = 2_000;
const RETRY_MS = [100, 250, 500, 1_000, 2_000] as const;
const TICK_MS = 1_000;
const DOUBT_MS = 2_000;
/** In this time every session is told once. */
const ROUND_MS = 30_000;

/**
 * Tells the registry which sessions are open: all of them when it may have taken them for ended, else each in its turn. What
 * it lost or got wrong comes right by that; and sessions that live on beside a newer one of their device, since its claim got
 * lost, end.
 */
export class Holds {
  readonly #o: HoldsOptions;
  readonly #timer: NodeJS.Timeout;
  #urgent: Session[] = [];
  #tellers = 0;
  #round: Session[] = [];
  #perTick = 0;
  #nextRoundMs = performance.now() + ROUND_MS;
  #ticking = false;
  #doubt: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: HoldsOptions) {
    this.#o = options;
    this.#timer = setInterval(() => void this.#tick(), TICK_MS);
    this.#timer.unref();
  }

  /**
   * Tells of all sessions, each until it is answered or has ended. Until then none of them confirms anything to its device: a newer
   * session of the device may be open, whose claim was not heard here. For 2 s at most, since messages go on without a registry.
   */
  all(): void {
    this.#urgent = [...this.#o.users.sessions()];
    const doubted = [...this.#urgent];
    for (const { fence } of doubted) fence.doubt();
    clearTimeout(this.#doubt);
    this.#doubt = setTimeout(() => {
      for (const { fence } of doubted) fence.trust();
    }, DOUBT_MS);
    this.#doubt.unref();
    const needed = Math.min(Math.ceil(this.#urgent.length / SESSIONS_PER_REQUEST), REQUESTS_AT_ONCE);
    while (this.#tellers < needed) {
      this.#tellers++;
      void this.#tellUrgent();
    }
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    clearTimeout(this.#doubt);
  }

  async #tellUrgent(): Promise<void> {
    for (let batch = this.#batch(); batch.length > 0; batch = this.#batch()) {
      for (let failures = 0; !this.#stopped; failures++) {
        try {
          await this.#tell(batch);
          break;
        } catch (error) {
          if (failures === 0) this.#o.onError(error);
          await delay(jitteredStepMs(RETRY_MS, failures));
        }
      }
    }
    this.#tellers--;
  }

  #batch(): Session[] {
    return this.#stopped ? [] : this.#urgent.splice(-SESSIONS_PER_REQUEST);
  }

  async #tick(): Promise<void> {
    if (this.#ticking || this.#tellers > 0 || !this.#o.link.up) return;
    this.#ticking = true;
    try {
      if (this.#round.length === 0 && performance.now() >= this.#nextRoundMs) {
        this.#nextRoundMs = performance.now() + ROUND_MS;
        this.#round = [...this.#o.users.sessions()];
        this.#perTick = Math.ceil((this.#round.length * TICK_MS) / ROUND_MS);
      }
      const sessions = this.#round.splice(-Math.max(this.#perTick, 1));
      while (sessions.length > 0) await this.#tell(sessions.splice(-SESSIONS_PER_REQUEST));
    } catch (error) {
      this.#o.onError(error);
    } finally {
      this.#ticking = false;
    }
  }

  /** Of those that are registered and have not ended; rejects when nobody answers. */
  async #tell(batch: readonly Session[]): Promise<void> {
    const { link, node, gateway } = this.#o;
    const sessions = batch.flatMap((session) => session.held ?? []);
    if (sessions.length > 0) {
      if (!link.up) throw new Error("NATS is away");
      const { stale } = await call(link.nc, PROCEDURES.hold, { node, gateway, sessions }, TIMEOUT_MS);
      if (stale.length > 0) for (const session of batch) if (stale.includes(session.id)) session.replace();
    }
    for (const { fence } of batch) fence.trust();
  }
}
