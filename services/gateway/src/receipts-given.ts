import { dropOldest } from "@bimip/runtime";
import type { ReceiptsResponse } from "@bimip/protocol";

/** Who gives receipts; `logEpoch` names the log that the indexes belong to. */
export interface Giver {
  readonly eid: string;
  readonly logEpoch: number;
}

export interface ReceiptsGivenOptions {
  /** JetStream recognises a repeated receipt for so long. */
  readonly dedupeWindowMs: number;
  /** Asks storage. */
  readonly ask: (eid: string) => Promise<ReceiptsResponse>;
}

interface Ledger {
  readonly epoch: number;
  /** By status: indexes of the messages. */
  readonly byStatus: ReadonlyMap<number, Float64Array>;
}

interface Asked {
  readonly ledger: Promise<Ledger>;
  readonly atMs: number;
}

/** Of the dedupe window: for a message stored since then JetStream surely knows all receipts given so far. */
const KNOWN_PART = 1 / 2;
/** Of the dedupe window: an answer is used for so long. What is given meanwhile JetStream knows. */
const KEEP_PART = 1 / 8;
const MAX_USERS = 200;

/** Which receipts were given already, where JetStream may have forgotten them: storage's ledger, kept for a moment. */
export class ReceiptsGiven {
  readonly #o: ReceiptsGivenOptions;
  readonly #asked = new Map<string, Asked>();

  constructor(options: ReceiptsGivenOptions) {
    this.#o = options;
  }

  /**
   * Whether this user gave the receipt `status` for the message `index` of the own log before. For a message stored not
   * long ago the answer is always no: JetStream drops a repeat. Rejects with an Error when storage does not answer.
   */
  async has(giver: Giver, status: number, index: number, storedAtMs: number): Promise<boolean> {
    if (Date.now() - storedAtMs < this.#o.dedupeWindowMs * KNOWN_PART) return false;
    const { epoch, byStatus } = await this.#ledger(giver.eid);
    return epoch === giver.logEpoch && byStatus.get(status)?.includes(index) === true;
  }

  #ledger(eid: string): Promise<Ledger> {
    const asked = this.#asked.get(eid);
    if (asked !== undefined && Date.now() - asked.atMs < this.#o.dedupeWindowMs * KEEP_PART) return asked.ledger;
    const asking = { ledger: this.#o.ask(eid).then(readLedger), atMs: Date.now() };
    this.#asked.delete(eid); // the newest goes last
    this.#asked.set(eid, asking);
    if (this.#asked.size > MAX_USERS) dropOldest(this.#asked);
    asking.ledger.catch(() => {
      if (this.#asked.get(eid) === asking) this.#asked.delete(eid);
    });
    return asking.ledger;
  }
}

function readLedger({ epoch, receipts }: ReceiptsResponse): Ledger {
  const byStatus = new Map<number, Float64Array>();
  for (const { status, indexes } of receipts) byStatus.set(status, Float64Array.from(indexes, Number));
  return { epoch: Number(epoch), byStatus };
}
