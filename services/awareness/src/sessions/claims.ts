import { SUBJECTS } from "@bimip/nats";
import { SessionClaimSchema, type SessionEvent } from "@bimip/protocol";
import { create, toBinary } from "@bufbuild/protobuf";
import type { NatsConnection } from "@nats-io/nats-core";

/** A claim that matters is published again after so long. */
const AGAIN_MS = 1_000;

/**
 * Tells the gateways that hold a user which session of a device is the newest. At most once: what gets lost is made up for when a
 * gateway says what it holds.
 */
export class Claims {
  readonly #nc: Pick<NatsConnection, "publish" | "isClosed">;
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(nc: Pick<NatsConnection, "publish" | "isClosed">) {
    this.#nc = nc;
  }

  /**
   * @param tookOver an older session may be open at another gateway. Then the claim comes twice: in a cluster of nats-servers one may
   * not have heard yet, at the first time, that this gateway listens for the user
   */
  tell({ eid, device, sessionId }: SessionEvent, epoch: number, tookOver: boolean): void {
    const claim = create(SessionClaimSchema, { device, sessionId, epoch: BigInt(epoch) });
    const bytes = toBinary(SessionClaimSchema, claim);
    this.#nc.publish(SUBJECTS.claim(eid), bytes);
    if (!tookOver) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#nc.isClosed()) this.#nc.publish(SUBJECTS.claim(eid), bytes);
    }, AGAIN_MS);
    this.#timers.add(timer);
  }

  stop(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}
