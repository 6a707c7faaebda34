import { call, type Link, PROCEDURES } from "@bimip/nats";

export interface RegistrationOptions {
  readonly link: Link;
  readonly eid: string;
  readonly device: string;
  readonly node: string;
  readonly sessionId: string;
  readonly address: string;
  /** Called once, with the session's epoch. */
  readonly onEpoch: (epoch: number) => void;
}

const TIMEOUT_MS = 2_000;
const RETRY_MS = [100, 250, 500, 1_000, 2_000] as const;

/**
 * Keeps a session in the registry from its opening to its end. Off the message path: while nobody answers it tries
 * again, and traffic flows.
 */
export class Registration {
  readonly #o: RegistrationOptions;
  #ended = false;
  #opened: Promise<void>;

  constructor(options: RegistrationOptions) {
    this.#o = options;
    this.#opened = this.#open();
  }

  /** Tells the registry that the session ended; resolves when it knows, or after a few tries. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#opened;
    for (const retryMs of RETRY_MS) {
      try {
        await this.#tell(false);
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }

  async #open(): Promise<void> {
    for (let attempt = 0; !this.#ended; attempt++) {
      try {
        const epoch = await this.#tell(true);
        this.#o.onEpoch(epoch);
        return;
      } catch {
        const retryMs = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)];
        await new Promise((resolve) => setTimeout(resolve, retryMs));
      }
    }
  }

  async #tell(open: boolean): Promise<number> {
    const { link, eid, device, node, sessionId, address } = this.#o;
    const event = { eid, device, node, sessionId, address, open, timestamp: BigInt(Date.now()) };
    const answer = await call(link.nc, PROCEDURES.sessionEvent, event, TIMEOUT_MS);
    return Number(answer.epoch);
  }
}
