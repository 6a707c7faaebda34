import { setTimeout as delay } from "node:timers/promises";
import { answer, GATEWAY_SUBJECT_KINDS, type Link, jitteredStepMs, SUBJECTS } from "@bimip/nats";
import type { Logger } from "@bimip/runtime";
import type { Msg } from "@nats-io/nats-core";
import type { GatewayMetrics } from "../metrics.js";
import type { Users } from "../users.js";
import { Fanouts } from "./fanouts.js";
import { Holds } from "./holds.js";
import { Snapshots } from "./snapshots.js";

export interface GatewayAwarenessOptions {
  readonly link: Link;
  readonly users: Users;
  readonly node: string;
  /** This gateway's process. */
  readonly gateway: string;
  /** Revision of the last thing that awareness keeps; rejects when NATS does not answer. */
  readonly head: () => Promise<number>;
  readonly metrics: GatewayMetrics;
  readonly logger: Logger;
}

/** All gateways come back at once. */
const RETURN_JITTER_MS = 500;
const RETRY_MS = [100, 250, 500, 1_000] as const;

/** The gateway's side of awareness: hears what is told to its users, and says which sessions it holds. */
export class GatewayAwareness {
  readonly metrics: GatewayMetrics;
  readonly fanouts: Fanouts;
  readonly snapshots: Snapshots;
  readonly #o: GatewayAwarenessOptions;
  readonly #holds: Holds;
  readonly #subscription: { unsubscribe(): void };
  /** The last return of NATS, or loss of what awareness keeps, while its consequences are under way. */
  #return: symbol | undefined;

  constructor(options: GatewayAwarenessOptions) {
    const { link, users, node, gateway, metrics, logger } = options;
    this.#o = options;
    this.metrics = metrics;
    this.fanouts = new Fanouts(users, metrics, () => this.#renewAll(this.fanouts.highest));
    this.snapshots = new Snapshots({
      link,
      onError: (error) => logger.warn({ err: error }, "snapshot not read, trying again"),
    });
    this.#holds = new Holds({
      link,
      users,
      node,
      gateway,
      onError: (error) => logger.warn({ err: error }, "the registry was not told which sessions are open"),
    });
    this.#subscription = link.nc.subscribe(SUBJECTS.gateway(gateway), {
      callback: (error, message) => {
        if (error === null) this.#take(message);
      },
    });
  }

  /** NATS was away: changes were lost, and the sessions may have been taken for ended. */
  onReturn(): void {
    this.#holds.all();
    this.#renewAll(this.fanouts.highest);
  }

  /** Awareness lost what it kept: it stands at a lower revision than it did. */
  onAnew(): void {
    this.#restart();
    this.#renewAll(0);
  }

  stop(): void {
    this.#subscription.unsubscribe();
    this.#return = undefined;
    this.#holds.stop();
    this.snapshots.stop();
    this.fanouts.stop();
  }

  #take(message: Msg): void {
    const { subject } = message;
    switch (subject.slice(subject.lastIndexOf(".") + 1)) {
      case GATEWAY_SUBJECT_KINDS.fanout:
        return this.#fanOut(message.data);
      case GATEWAY_SUBJECT_KINDS.ping:
        answer(message, this.#o.node);
        return;
      case GATEWAY_SUBJECT_KINDS.swept:
        this.#o.logger.warn("this gateway was taken for dead");
        this.#holds.all();
    }
  }

  /** @param known revision at which awareness stood before */
  #renewAll(known: number): void {
    const mine = Symbol("return");
    this.#return = mine;
    void this.#askAndRenew(known, () => this.#return === mine);
  }

  /** A replica that lags would not know what was lost: so each new snapshot has to reach what is kept now. */
  async #askAndRenew(known: number, isCurrent: () => boolean): Promise<void> {
    await delay(Math.random() * RETURN_JITTER_MS);
    for (let failures = 0; isCurrent(); ) {
      try {
        const head = await this.#o.head();
        if (!isCurrent()) return;
        // What was taken for old until now stands behind that head, perhaps: it is asked for again.
        if (head < known) return this.onAnew();
        for (const session of this.#o.users.sessions()) session.awareness.missed(head);
        return;
      } catch {
        await delay(jitteredStepMs(RETRY_MS, failures++));
      }
    }
  }

  #restart(): void {
    this.#o.logger.warn("awareness began anew");
    this.fanouts.restart();
    for (const session of this.#o.users.sessions()) session.onAnew();
  }

  #fanOut(bytes: Uint8Array): void {
    try {
      this.fanouts.take(bytes);
    } catch (error) {
      // One that cannot be read must not end the process.
      this.#o.logger.error({ err: error }, "a fan-out could not be handed on");
    }
  }
}
