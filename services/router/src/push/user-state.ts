import { RequestError, TimeoutError } from "@nats-io/nats-core";
import { call, type NatsConnection, PROCEDURES, SUBJECTS } from "@bimip/nats";
import type { StoredSubscription } from "./web-push.js";

const ASK_TIMEOUT_MS = 3_000;
const PROBE_TIMEOUT_MS = 500;
/** A push without its badge is better than one that comes late. */
const BADGE_TIMEOUT_MS = 1_000;

/** What storage knows of a user's pushes. */
export interface PushState {
  /** Entries up to here were acknowledged by a device. */
  readonly acked: number;
  /** Entries up to here are done with: pushed, given up, or not to be pushed. */
  readonly pushed: number;
  readonly epoch: number;
  readonly subscriptions: readonly StoredSubscription[];
  /** Up to where each device that ever connected acknowledged. */
  readonly cursors: ReadonlyMap<string, number>;
}

/** What the other services know of users. Each question rejects when it is not answered. */
export class UserStates {
  readonly #nc: NatsConnection;

  constructor(nc: NatsConnection) {
    this.#nc = nc;
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
    const { acked, pushed, epoch, subscriptions, devices } = state;
    const cursors = new Map(devices.map(({ device, cursor }) => [device, Number(cursor)]));
    return { acked: Number(acked), pushed: Number(pushed), epoch: Number(epoch), subscriptions, cursors };
  }

  /** Writes down that entries up to `index` need no push any more. */
  async settle(eid: string, index: number, epoch: number): Promise<void> {
    const user = { eid, pushed: BigInt(index), epoch: BigInt(epoch) };
    await call(this.#nc, PROCEDURES.progress, { users: [user] }, ASK_TIMEOUT_MS);
  }

  /** Unread messages, at most 999; undefined when they are not counted soon. Never rejects. */
  async badge(eid: string): Promise<number | undefined> {
    try {
      return (await call(this.#nc, PROCEDURES.unread, { eid }, BADGE_TIMEOUT_MS)).total;
    } catch {
      return undefined;
    }
  }

  /** Drops a device's subscription, unless it has another one by now. */
  async removeSubscription(eid: string, { device, subscription }: StoredSubscription): Promise<void> {
    const request = { eid, device, subscription: "", expected: subscription };
    await call(this.#nc, PROCEDURES.subscription, request, ASK_TIMEOUT_MS);
  }
}
