import { setTimeout as delay } from "node:timers/promises";
import { BucketFeed, BUCKETS, createTurns, type Link, SUBJECTS } from "@bimip/nats";
import { errors } from "@nats-io/nats-core";
import type { Logger } from "@bimip/runtime";
import type { Directory } from "../directory/directory.js";
import type { AwarenessMetrics } from "../metrics.js";
import type { Registry } from "./registry.js";

export interface SweeperOptions {
  readonly link: Link;
  readonly directory: Directory;
  readonly registry: Registry;
  readonly metrics: AwarenessMetrics;
  readonly logger: Logger;
}

const LOOK_MS = 250;
/** Gateways renew their lease every 500 ms: one that did not for so long is asked. */
const SUSPECT_MS = 1_500;
/** A gateway that is there and does not answer has so long. */
const SILENT_MS = 5_000;
const PING_TIMEOUT_MS = 500;
/** A gateway that nobody listens for is asked again after so long: it may just be reconnecting. */
const SECOND_LOOK_MS = 250;
/** Nobody is suspected for so long after NATS came back, or after the start: gateways come back, too. */
const SETTLE_MS = 3_000;
const MAX_CONCURRENT_WRITES = 32;

/**
 * Ends the sessions of gateways that died. A lease that is not renewed makes one suspect; it is dead when it does not answer
 * directly either: an election of NATS holds up renewals, and kills nobody.
 */
export class Sweeper {
  readonly #o: SweeperOptions;
  /** When a lease was last seen renewed, or its gateway first without one (performance.now). */
  readonly #renewed = new Map<string, number>();
  readonly #looking = new Set<string>();
  readonly #inTurn = createTurns(MAX_CONCURRENT_WRITES);
  #leases: BucketFeed | undefined;
  #timer: NodeJS.Timeout | undefined;
  #settledAtMs = 0;
  #stopped = false;

  constructor(options: SweeperOptions) {
    this.#o = options;
  }

  async start(): Promise<void> {
    const { link, logger } = this.#o;
    this.#settle();
    link.onChange((up) => {
      if (up) this.#settle();
    });
    this.#leases = await BucketFeed.open({
      link,
      bucket: BUCKETS.gateways,
      initialKeys: [">"],
      onEntry: ({ key, bytes }) => {
        if (bytes.length > 0) this.#renewed.set(key, performance.now());
      },
      onReset: () => this.#settle(),
      onError: (error) => logger.warn({ err: error }, "leases of gateways not followed, trying again"),
    });
    if (this.#stopped) return this.#leases.stop();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
    this.#leases?.stop();
  }

  #settle(): void {
    this.#settledAtMs = performance.now() + SETTLE_MS;
  }

  #look(): void {
    const now = performance.now();
    if (!this.#o.link.up || now < this.#settledAtMs) return;
    for (const gateway of this.#o.directory.gateways()) {
      const renewedAt = this.#renewed.get(gateway);
      if (renewedAt === undefined) this.#renewed.set(gateway, now);
      else if (now - renewedAt > SUSPECT_MS && !this.#looking.has(gateway)) void this.#suspect(gateway);
    }
    for (const [gateway, renewedAt] of this.#renewed) if (now - renewedAt > 60_000) this.#renewed.delete(gateway);
  }

  async #suspect(gateway: string): Promise<void> {
    this.#looking.add(gateway);
    try {
      if (await this.#isDead(gateway)) await this.#sweep(gateway);
    } catch (error) {
      this.#o.logger.warn({ err: error, gateway }, "sessions of a dead gateway not swept, trying again");
    } finally {
      this.#looking.delete(gateway);
    }
  }

  async #isDead(gateway: string): Promise<boolean> {
    const first = await this.#ping(gateway);
    if (first === "lives") return false;
    await delay(SECOND_LOOK_MS);
    const second = await this.#ping(gateway);
    if (second === "lives" || !this.#o.link.up || performance.now() < this.#settledAtMs) return false;
    const silentMs = performance.now() - (this.#renewed.get(gateway) ?? 0);
    return silentMs > (first === "gone" && second === "gone" ? SUSPECT_MS : SILENT_MS);
  }

  /** gone: nobody listens. */
  async #ping(gateway: string): Promise<"lives" | "silent" | "gone"> {
    try {
      await this.#o.link.nc.request(SUBJECTS.gatewayPing(gateway), "", { timeout: PING_TIMEOUT_MS });
      return "lives";
    } catch (error) {
      return error instanceof errors.RequestError && error.isNoResponders() ? "gone" : "silent";
    }
  }

  async #sweep(gateway: string): Promise<void> {
    const { directory, registry, metrics, logger, link } = this.#o;
    const sessions = directory.sessionsOn(gateway);
    logger.warn({ gateway, sessions: sessions.length }, "a gateway is dead, its sessions end");
    // Replicas begin at different places, and find what the other did in the feed.
    const start = Math.floor(Math.random() * sessions.length);
    const order = [...sessions.slice(start), ...sessions.slice(0, start)];
    await Promise.all(
      order.map((session) =>
        this.#inTurn(async () => {
          const current = directory.session(session.eid, session.device)?.record;
          if (current?.sessionId !== session.sessionId || current.state !== "online") return;
          if (await registry.sweep(session)) metrics.swept.inc();
        }),
      ),
    );
    link.nc.publish(SUBJECTS.swept(gateway)); // should it live after all, it says so
  }
}
