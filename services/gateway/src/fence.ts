import type { SessionClaim } from "@bimip/protocol";

/** Whose place among the sessions of a device it is. */
export interface Fenced {
  readonly id: string;
  readonly awareness: {
    /** The session is registered. */
    begin(epoch: number): void;
    /** It is registered again, later than others that came and went meanwhile. */
    renew(epoch: number): void;
  };
  /** Ends it: a newer session of the device took over. */
  replace(): void;
}

/**
 * What a session knows of whether it is the newest one of its device. The registry numbers sessions in the order in which it registers
 * them, and tells the newest one's number; an older session ends when it hears it, by a claim or by what becomes of its own
 * registration.
 */
export class Fence {
  readonly #session: Fenced;
  /** 0 = not registered yet. */
  #epoch = 0;
  /** The highest that was heard of another session. */
  #newest = 0;
  /** What is to be confirmed once it is known that the session is the newest one still; undefined: that is not in doubt. */
  #unconfirmed: (() => void)[] | undefined;

  constructor(session: Fenced) {
    this.#session = session;
  }

  get registered(): boolean {
    return this.#epoch > 0;
  }

  /** The registry's answer; 0 = a newer session of the device is registered already. */
  onEpoch(epoch: number): void {
    if (epoch === 0) return this.#session.replace();
    this.#epoch = Math.max(this.#epoch, epoch);
    this.#yieldToNewer();
    this.#session.awareness.begin(epoch);
  }

  /** The registry's word on which session of this device is the newest. */
  onClaim({ sessionId, epoch }: Pick<SessionClaim, "sessionId" | "epoch">): void {
    if (sessionId === this.#session.id) return this.#onOwnClaim(Number(epoch));
    this.#newest = Math.max(this.#newest, Number(epoch));
    this.#yieldToNewer();
  }

  /** What the registry knew is lost: it numbers sessions from the beginning. */
  onAnew(): void {
    this.#epoch = Math.min(this.#epoch, 1);
    this.#newest = 0;
  }

  /** A claim may have got lost: the registry is being asked. */
  doubt(): void {
    this.#unconfirmed ??= [];
  }

  /** The registry knows of no newer session, or does not answer. */
  trust(): void {
    const unconfirmed = this.#unconfirmed;
    this.#unconfirmed = undefined;
    for (const confirm of unconfirmed ?? []) confirm();
  }

  /** Runs what tells the device that something was stored: not before it is known again that the session may still write. In order. */
  confirm(run: () => void): void {
    if (this.#unconfirmed === undefined) run();
    else this.#unconfirmed.push(run);
  }

  #onOwnClaim(epoch: number): void {
    if (this.#epoch === 0) return this.onEpoch(epoch); // the answer to its registration got lost, or comes behind it
    if (epoch <= this.#epoch) return;
    this.#epoch = epoch;
    this.#session.awareness.renew(epoch);
  }

  #yieldToNewer(): void {
    if (this.#epoch > 0 && this.#newest > this.#epoch) this.#session.replace();
  }
}
