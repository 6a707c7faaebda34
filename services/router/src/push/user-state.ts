import { RequestError, TimeoutError } from "@nats-io/nats-core";
import type { KV } from "@nats-io/kv";
import { call, type NatsConnection, PROCEDURES, SUBJECTS, sessionKey } from "@bimip/nats";
import type { StoredSubscription } from "./web-push.js";

const ASK_TIMEOUT_MS = 3_000;
const PROBE_TIMEOUT_MS = 500;

/** What storage knows of a user's pushes. */
export interface PushState {
  /** Entries up to here were acknowledged by a device, or pushed, or given up. */
  readonly settled: number;
  readonly epoch: number;
  readonly subscriptions: readonly StoredSubscription[];
}

/** What the other services know of users. Each question rejects when it is not answered. */
export class UserStates {
  readonly #nc: NatsConnection;
  readonly #sessions: KV;

  constructor(nc: NatsConnection, sessions: KV) {
    this.#nc = nc;
    this.#sessions = sessions;
  }

  /**
   * Whether a device of the user is online. Gateways answer with the number of devices; no answer means no, also when
   * somebody else listens, such as an operator's `nats sub`.
   */
  async isOnline(eid: string): Promise<boolean> {
    try {
      const answer = await this.#nc.request(SUBJECTS.probe(eid), undefined, { timeout: PROBE_TIMEOUT_MS });
      return answer.string() !== "0";
    } catch (error) {
      if (error instanceof TimeoutError || (error instanceof RequestError && error.isNoResponders())) return false;
      throw error;
    }
  }

  async pushState(eid: string): Promise<PushState> {
    const state = await call(this.#nc, PROCEDURES.pushState, { eid }, ASK_TIMEOUT_MS);
    const { acked, pushed, epoch, subscriptions } = state;
    return { settled: Number(acked > pushed ? acked : pushed), epoch: Number(epoch), subscriptions };
  }

  /** Writes down that entries up to `index` need no push any more. */
  async settle(eid: string, index: number, epoch: number): Promise<void> {
    const user = { eid, pushed: BigInt(index), epoch: BigInt(epoch) };
    await call(this.#nc, PROCEDURES.progress, { users: [user] }, ASK_TIMEOUT_MS);
  }

  /** Unread messages, at most 999. */
  async unread(eid: string): Promise<number> {
    return (await call(this.#nc, PROCEDURES.unread, { eid }, ASK_TIMEOUT_MS)).total;
  }

  async removeSubscription(eid: string, device: string): Promise<void> {
    await call(this.#nc, PROCEDURES.subscription, { eid, device, subscription: "" }, ASK_TIMEOUT_MS);
  }

  /** Whether this device ever connected. */
  async wasSeen(eid: string, device: string): Promise<boolean> {
    return (await this.#sessions.get(sessionKey(eid, device))) !== null;
  }
}
