import { type BimipError, type Signal, SignalStatus, SignalType } from "@bimip/protocol";

/**
 * How far a message has come. Only `failed` has an error: what the server answered, or that the client ended before the
 * answer, which may mean that it is stored (the error's details say so). It is sent again only if the application does.
 */
export type OutgoingState = "queued" | "sent" | "delivered" | "read" | "played" | "failed";

/** A message (or push) of one's own and how far it has come. */
export interface Outgoing {
  readonly id: string;
  /** The recipient's EID. */
  readonly to: string;
  /** queued: kept, also in the store where there is one. sent: stored by the server. The rest: told by a receipt. */
  readonly state: OutgoingState;
  /** When it came into this state, Unix epoch milliseconds; of a receipt, the recipient's clock. */
  readonly at: number;
  /** Index in the recipient's log, once known. */
  readonly index?: number;
  readonly error?: BimipError;
}

const RANK: Readonly<Record<OutgoingState, number>> = {
  failed: 0,
  queued: 1,
  sent: 2,
  delivered: 3,
  read: 4,
  played: 5,
};

const STATE_OF_RECEIPT: ReadonlyMap<number, OutgoingState> = new Map([
  [SignalStatus.DELIVERED, "delivered"],
  // Whoever passes a message on has it.
  [SignalStatus.FORWARDED, "delivered"],
  [SignalStatus.READ, "read"],
  [SignalStatus.PLAYED, "played"],
]);

const KEPT = 10_000;

/**
 * The states of the last messages. A state never goes back, and is told once however many devices tell it. Not kept over
 * restarts: after one, a receipt that comes late is the first that is known.
 */
export class OutgoingStates {
  readonly #onChange: (outgoing: Outgoing) => void;
  /** Oldest change first. */
  readonly #byKey = new Map<string, Outgoing>();

  constructor(onChange: (outgoing: Outgoing) => void) {
    this.#onChange = onChange;
  }

  get(id: string, to: string): Outgoing | undefined {
    return this.#byKey.get(keyOf(id, to));
  }

  queued(id: string, to: string): void {
    this.#advance({ id, to, state: "queued", at: Date.now() });
  }

  sent(id: string, to: string, index: number): void {
    this.#advance({ id, to, state: "sent", at: Date.now(), index });
  }

  /** What is known to be stored cannot fail. */
  failed(id: string, to: string, error: BimipError): void {
    const before = this.get(id, to);
    if (before === undefined || RANK[before.state] <= RANK.queued) {
      this.#set({ id, to, state: "failed", at: Date.now(), error });
    }
  }

  /** A Signal in the own log: the recipient's word on a message of ours. */
  receipt(signal: Signal): void {
    const state = STATE_OF_RECEIPT.get(signal.status);
    const to = signal.from?.eid ?? "";
    if (state === undefined || signal.type === SignalType.ERROR || signal.id === "" || to === "") return;
    const at = Number(signal.timestamp) || Date.now();
    this.#advance({
      id: signal.id,
      to,
      state,
      at,
      ...(signal.monotonicId > 0n && { index: Number(signal.monotonicId) }),
    });
  }

  #advance(next: Outgoing): void {
    const before = this.get(next.id, next.to);
    if (before !== undefined && RANK[next.state] <= RANK[before.state]) return;
    const index = next.index ?? before?.index;
    this.#set({ ...next, ...(index !== undefined && { index }) });
  }

  #set(outgoing: Outgoing): void {
    const key = keyOf(outgoing.id, outgoing.to);
    this.#byKey.delete(key);
    this.#byKey.set(key, outgoing);
    if (this.#byKey.size > KEPT) {
      for (const oldest of this.#byKey.keys()) {
        this.#byKey.delete(oldest);
        break;
      }
    }
    this.#onChange(outgoing);
  }
}

function keyOf(id: string, to: string): string {
  return `${id}\0${to}`;
}
