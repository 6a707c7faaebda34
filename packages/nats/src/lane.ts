/** One entry to be appended to a log. */
export interface Append {
  readonly subject: string;
  readonly payload: Uint8Array;
  /** Dedupe id (`entryId`): a repeat within the stream's window is answered with the first index. */
  readonly entryId: string;
  /** Appends of one lane go to one log, and are stored in the order of the calls. */
  readonly lane: string;
}

/** How an append ended. `reason` is for the log, not for clients. */
export type AppendResult =
  | { readonly ok: true; readonly sequence: number; readonly duplicate: boolean }
  | { readonly ok: false; readonly retryable: boolean; readonly reason: string };

export type AppendCallback = (result: AppendResult) => void;

/** An append in its lane. */
export interface Item extends Append {
  readonly done: AppendCallback;
  readonly expiresAtMs: number;
  sentAtMs: number;
  outcome: "waiting" | "acked" | "failed";
  /** Why the last attempt failed. */
  failure: string;
}

/** Appends that are stored in their order. */
export class Lane {
  readonly stream: StreamShare;
  readonly queue: Item[] = [];
  readonly underWay: Item[] = [];
  /** How many may be under way at once. */
  depth: number;
  failures = 0;
  heldUntilMs = 0;

  constructor(stream: StreamShare, depth: number) {
    this.stream = stream;
    this.depth = depth;
  }

  /** Whether another one could go, if its stream has room. */
  get ready(): boolean {
    return this.queue.length > 0 && this.underWay.length < this.depth && this.heldUntilMs === 0;
  }
}

/**
 * nats-server keeps 10,000 messages or 128 MB that wait to be stored in a stream; what comes on top it refuses ("too
 * many requests"), to take what comes next: the middle of a lane would be lost. So each publisher keeps to a share that
 * eight of them can have at once. 1,000 under way is many times what a stream needs to be busy.
 */
const MAX_UNDER_WAY = 1_000;
const MAX_BYTES_UNDER_WAY = 16 * 1024 * 1024;

/** What one publisher has under way to one stream. */
export class StreamShare {
  /** Lanes that could go on but for the stream's room, in order. */
  readonly line = new Set<Lane>();
  #underWay = 0;
  #bytes = 0;

  get hasRoom(): boolean {
    return this.#underWay < MAX_UNDER_WAY && this.#bytes < MAX_BYTES_UNDER_WAY;
  }

  take({ payload }: Item): void {
    this.#underWay++;
    this.#bytes += payload.length;
  }

  giveBack({ payload }: Item): void {
    this.#underWay--;
    this.#bytes -= payload.length;
  }
}
