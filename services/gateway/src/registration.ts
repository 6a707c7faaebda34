import { setTimeout as delay } from "node:timers/promises";
import { call, type Link, PROCEDURES, sessionKey, stepMs } from "@bimip/nats";

export interface RegistrationOptions {
  readonly link: Link;
  readonly eid: string;
  readonly device: string;
  readonly node: string;
  readonly sessionId: string;
  readonly address: string;
  readonly registrations: Registrations;
  /** Called once, with the session's epoch; 0 = a newer session of the device is registered already. */
  readonly onEpoch: (epoch: number) => void;
}

const TIMEOUT_MS = 2_000;
const RETRY_MS = [100, 250, 500, 1_000, 2_000] as const;

/** What is told of one device goes one after the other, so that a newer session's opening is never overtaken. */
export class Registrations {
  readonly #tails = new Map<string, Promise<void>>();

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
  readonly #o: RegistrationOptions;
  readonly #startedAtMs = Date.now();
  #told = false;
  #ended = false;

  constructor(options: RegistrationOptions) {
    this.#o = options;
    void options.registrations.enqueue(options.eid, options.device, () => this.#open());
  }

  /** Tells the registry that the session ended; resolves when it knows, or after a few tries. */
  end(): Promise<void> {
    this.#ended = true;
    return this.#o.registrations.enqueue(this.#o.eid, this.#o.device, () => this.#close());
  }

  async #open(): Promise<void> {
    for (let attempt = 0; !this.#ended; attempt++) {
      try {
        this.#told = true;
        this.#o.onEpoch(await this.#tell(true));
        return;
      } catch {
        await delay(stepMs(RETRY_MS, attempt));
      }
    }
  }

  async #close(): Promise<void> {
    if (!this.#told) return;
    for (const retryMs of RETRY_MS) {
      try {
        await this.#tell(false);
        return;
      } catch {
        await delay(retryMs);
      }
    }
  }

  async #tell(open: boolean): Promise<number> {
    const { link, eid, device, node, sessionId, address } = this.#o;
    // An opening keeps its time over the tries: the registry knows a late one by it.
    const timestamp = BigInt(open ? this.#startedAtMs : Date.now());
    const event = { eid, device, node, sessionId, address, open, timestamp };
    const answer = await call(link.nc, PROCEDURES.sessionEvent, event, TIMEOUT_MS);
    return Number(answer.epoch);
  }
}
