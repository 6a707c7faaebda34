import type { Link, LogReader } from "@bimip/nats";
import { SUBJECTS } from "@bimip/nats";
import type { Session } from "./session.js";
import type { Users } from "./users.js";

export interface PositionCheckOptions {
  readonly link: Link;
  readonly users: Users;
  readonly reader: Pick<LogReader, "heads">;
  /** In this time every user is checked once. */
  readonly roundS: number;
  readonly partitionOf: (eid: string) => number;
  /** A session was found behind its log, or beyond its end. */
  readonly onBehind: () => void;
  readonly onError: (error: unknown) => void;
}

/** Where a log ended and a session stood when they were compared. */
interface Suspicion {
  readonly head: number;
  readonly position: number;
}

const TICK_MS = 500;
/** A new leader's replicas may lag: what they show at once is looked at again after so long. */
const AFTER_ELECTION_MS = 3_000;

/**
 * Republish is at most once, and a lost last copy has no successor that would show it. So
 * positions are compared with the log: all users in rotation, a partition's users when its leader changes.
 *
 * An entry may simply be on its way: a session counts as behind when it still is a tick later.
 */
export class PositionCheck {
  readonly #o: PositionCheckOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #elections: { unsubscribe(): void };
  readonly #afterElection = new Set<NodeJS.Timeout>();
  #round: string[] = [];
  #perTick = 0;
  #nextRoundMs = 0;
  #suspects = new Map<Session, Suspicion>();
  #checking = false;

  constructor(options: PositionCheckOptions) {
    this.#o = options;
    this.#timer = setInterval(() => void this.#tick(), TICK_MS);
    this.#timer.unref();
    this.#elections = options.link.nc.subscribe(SUBJECTS.leaderElected, {
      callback: (error, message) => {
        const partition = error === null ? partitionOfStream(message.subject) : undefined;
        if (partition !== undefined) this.#onElection(partition);
      },
    });
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const timer of this.#afterElection) clearTimeout(timer);
    this.#elections.unsubscribe();
  }

  #onElection(partition: number): void {
    const moved = (): void => {
      const eids = this.#o.users.eids().filter((eid) => this.#o.partitionOf(eid) === partition);
      this.#round.unshift(...eids);
      this.#perTick = Math.max(this.#perTick, eids.length);
    };
    moved();
    const timer = setTimeout(() => {
      this.#afterElection.delete(timer);
      moved();
    }, AFTER_ELECTION_MS);
    this.#afterElection.add(timer);
  }

  async #tick(): Promise<void> {
    if (this.#checking || !this.#o.link.up) return;
    this.#checking = true;
    try {
      this.#judge();
      if (this.#round.length === 0 && performance.now() >= this.#nextRoundMs) {
        this.#nextRoundMs = performance.now() + this.#o.roundS * 1_000;
        this.#round = this.#o.users.eids();
        this.#perTick = Math.ceil((this.#round.length * TICK_MS) / (this.#o.roundS * 1_000));
      }
      const eids = this.#round.splice(0, this.#perTick);
      if (eids.length > 0) this.#compare(await this.#o.reader.heads(eids));
    } catch (error) {
      this.#o.onError(error);
    } finally {
      this.#checking = false;
    }
  }

  #compare(heads: ReadonlyMap<string, number>): void {
    for (const [eid, head] of heads) {
      for (const session of this.#o.users.sessionsOf(eid)) {
        const { position } = session.delivery;
        if (position !== head) this.#suspects.set(session, { head, position });
      }
    }
  }

  #judge(): void {
    for (const [session, { head, position }] of this.#suspects) {
      const { delivery } = session;
      // Ahead of a replica that lags, or of a log that went back; whoever gets on meanwhile is fine.
      const isSuspicious = head > delivery.position || (head < position && position === delivery.position);
      if (isSuspicious && delivery.onHead(head)) this.#o.onBehind();
    }
    this.#suspects = new Map();
  }
}

/** Of the log stream that an advisory names; undefined: it is another stream. */
function partitionOfStream(subject: string): number | undefined {
  const digits = /\.LOG_(\d+)$/.exec(subject)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
