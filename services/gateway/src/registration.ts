import { setTimeout as delay } from "node:timers/promises";
import type { SessionEventRes, SessionEventSchema } from "@bimip/protocol";
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
  #count = 0;
  #stopped = false;

  /** The next session's: of two of a device on this gateway the one with the higher number is the newer one. */
  nextNumber(): number {
    return ++this.#count;
  }

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
  readonly #number: number;
  readonly #startedAtMs = Date.now();
  /** performance.now */
  readonly #startedSteadyMs = performance.now();
  #told = false;
  /** Epoch milliseconds; 0 = it has not. */
  #endedAtMs = 0;

  constructor(gateway: Pick<Gateway, "link" | "node" | "process" | "registrations">, session: Registered) {
    this.#gateway = gateway;
    this.#session = session;
    this.#number = gateway.registrations.nextNumber();
    void gateway.registrations.enqueue(session.eid, session.device, () => this.#open());
  }

  /** What HoldRequest says of the session. */
  get held(): MessageInitShape<typeof SessionEventSchema> {
    const { eid, device, id: sessionId, address } = this.#session;
    return { eid, device, sessionId, address, timestamp: BigInt(this.#startedAtMs), ...this.#order };
  }

  /** By what the registry knows which of two sessions is the newer one. */
  get #order(): { readonly number: bigint; readonly ageMs: bigint } {
    const ageMs = Math.floor(performance.now() - this.#startedSteadyMs);
    return { number: BigInt(this.#number), ageMs: BigInt(ageMs) };
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
    const epoch = await this.#tellUntil(() => this.#tellOpen());
    if (epoch !== undefined) this.#session.onEpoch(epoch);
  }

  async #close(): Promise<void> {
    if (this.#told) await this.#tellUntil(async () => (await this.#tell(false)).epoch);
  }

  /** The session's epoch; undefined: given up. */
  async #tellUntil(tell: () => Promise<bigint | undefined>): Promise<number | undefined> {
    for (let failures = 0; ; failures++) {
      try {
        const epoch = await tell();
        return epoch === undefined ? undefined : Number(epoch);
      } catch {
        if (this.#gateway.registrations.stopped) return undefined;
        await delay(jitteredStepMs(RETRY_MS, failures));
      }
    }
  }

  /** Where another gateway holds a session of the device, it is told twice: that it is to take over, it says knowing of the other. */
  async #tellOpen(): Promise<bigint | undefined> {
    let over = 0n;
    while (this.#endedAtMs === 0) {
      const { epoch, contested } = await this.#tell(true, over);
      if (contested === 0n) return epoch;
      over = contested;
    }
    return undefined;
  }

  async #tell(open: boolean, over = 0n): Promise<SessionEventRes> {
    const { link, node, process: gateway } = this.#gateway;
    // A question that is asked while NATS is away is lost, and waited for in vain.
    if (!link.up) throw new Error("NATS is away");
    if (open) this.#told = true;
    const { eid, device, id: sessionId, address } = this.#session;
    // Both keep their time over the tries: it is the session's.
    const timestamp = BigInt(open ? this.#startedAtMs : this.#endedAtMs);
    const since = BigInt(this.#startedAtMs);
    const event = { eid, device, node, gateway, sessionId, address, open, timestamp, since, over, ...this.#order };
    return call(link.nc, PROCEDURES.sessionEvent, event, TIMEOUT_MS);
  }
}
