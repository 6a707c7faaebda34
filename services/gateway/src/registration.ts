import { setTimeout as delay } from "node:timers/promises";
import type { SessionEventSchema } from "@bimip/protocol";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { call, PROCEDURES, sessionKey, jitteredStepMs } from "@bimip/nats";
import type { Gateway } from "./gateway.js";

/** Whose registration it is. */
export interface Registered {
  readonly id: string;
  readonly eid: string;
  readonly device: string;
  readonly address: string;
  /** Called once, with the session's epoch; 0 = a newer session of the device is registered already. */
  onEpoch(epoch: number): void;
}

const TIMEOUT_MS = 2_000;
const RETRY_MS = [100, 250, 500, 1_000, 2_000] as const;

/** What is told of one device goes one after the other, so that a newer session's opening is never overtaken. */
export class Registrations {
  readonly #tails = new Map<string, Promise<void>>();
  #stopped = false;

  /** Nothing is tried again any more. */
  get stopped(): boolean {
    return this.#stopped;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** @param work never rejects */
  enqueue(eid: string, device: string, work: () => Promise<void>): Promise<void> {
    const key = sessionKey(eid, device);
    const tail = (this.#tails.get(key) ?? Promise.resolve()).then(work);
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return tail;
  }
}

/**
 * Keeps a session in the registry from its opening to its end. Off the message path: while nobody answers it tries
 * again, and traffic flows.
 */
export class Registration {
  readonly #gateway: Pick<Gateway, "link" | "node" | "process" | "registrations">;
  readonly #session: Registered;
  readonly #startedAtMs = Date.now();
  #told = false;
  /** Epoch milliseconds; 0 = it has not. */
  #endedAtMs = 0;

  constructor(gateway: Pick<Gateway, "link" | "node" | "process" | "registrations">, session: Registered) {
    this.#gateway = gateway;
    this.#session = session;
    void gateway.registrations.enqueue(session.eid, session.device, () => this.#open());
  }

  /** What HoldRequest says of the session. */
  get held(): MessageInitShape<typeof SessionEventSchema> {
    const { eid, device, id: sessionId, address } = this.#session;
    return { eid, device, sessionId, address, timestamp: BigInt(this.#startedAtMs) };
  }

  /**
   * Tells the registry that the session ended. Resolves when it knows, however long that takes: else the device would seem to
   * be there; or when the gateway stops.
   */
  end(): Promise<void> {
    this.#endedAtMs = Date.now();
    const { eid, device } = this.#session;
    return this.#gateway.registrations.enqueue(eid, device, () => this.#close());
  }

  async #open(): Promise<void> {
    const epoch = await this.#tellUntil(true, () => this.#endedAtMs > 0);
    if (epoch !== undefined) this.#session.onEpoch(epoch);
  }

  async #close(): Promise<void> {
    if (this.#told) await this.#tellUntil(false, () => false);
  }

  /** The session's epoch; undefined: given up. */
  async #tellUntil(open: boolean, isOver: () => boolean): Promise<number | undefined> {
    for (let failures = 0; !isOver(); failures++) {
      try {
        // A question that is asked while NATS is away is lost, and waited for in vain.
        if (!this.#gateway.link.up) throw new Error("NATS is away");
        if (open) this.#told = true;
        return await this.#tell(open);
      } catch {
        if (this.#gateway.registrations.stopped) return undefined;
        await delay(jitteredStepMs(RETRY_MS, failures));
      }
    }
    return undefined;
  }

  async #tell(open: boolean): Promise<number> {
    const { link, node, process: gateway } = this.#gateway;
    const { eid, device, id: sessionId, address } = this.#session;
    // Both keep their time over the tries: the registry knows a late one by it.
    const timestamp = BigInt(open ? this.#startedAtMs : this.#endedAtMs);
    const event = { eid, device, node, gateway, sessionId, address, open, timestamp, since: BigInt(this.#startedAtMs) };
    const answer = await call(link.nc, PROCEDURES.sessionEvent, event, TIMEOUT_MS);
    return Number(answer.epoch);
  }
}
