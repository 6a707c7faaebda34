import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import type { Link } from "./connect.js";
import { logStream } from "./names.js";
import { partitionOf } from "./partition.js";

/** A log recreated while NATS stayed connected is noticed within this time. */
const MAX_AGE_MS = 1_000;

interface Known {
  readonly epoch: number;
  readonly atMs: number;
}

/**
 * When the logs were made, in epoch milliseconds: indexes of a log that was recreated since mean nothing. One question
 * per partition and second, however many users are asked for.
 */
export class LogEpochs {
  readonly #jsm: JetStreamManager;
  readonly #partitions: number;
  readonly #known = new Map<number, Known>();
  readonly #asking = new Map<number, Promise<number>>();
  /** Grows with each `forget`: an answer to what was asked before it is not kept. */
  #generation = 0;

  private constructor(jsm: JetStreamManager, partitions: number) {
    this.#jsm = jsm;
    this.#partitions = partitions;
  }

  /** @param partitions as in the meta bucket */
  static async create(link: Link, partitions: number): Promise<LogEpochs> {
    const epochs = new LogEpochs(await jetstreamManager(link.nc, { checkAPI: false }), partitions);
    link.onChange(() => epochs.forget());
    return epochs;
  }

  /** Epoch of the user's log; at most a second old. */
  async of(eid: string): Promise<number> {
    const known = this.#known.get(partitionOf(eid, this.#partitions));
    return known !== undefined && performance.now() - known.atMs < MAX_AGE_MS ? known.epoch : this.ask(eid);
  }

  /** Epoch of the user's log, asked anew: for when something does not fit. */
  async ask(eid: string): Promise<number> {
    const partition = partitionOf(eid, this.#partitions);
    const asking = this.#asking.get(partition) ?? this.#ask(partition);
    this.#asking.set(partition, asking);
    try {
      return await asking;
    } finally {
      if (this.#asking.get(partition) === asking) this.#asking.delete(partition);
    }
  }

  /** Everything is asked anew: NATS was away, or a log could not be read. */
  forget(): void {
    this.#generation++;
    this.#known.clear();
    this.#asking.clear();
  }

  async #ask(partition: number): Promise<number> {
    const atMs = performance.now();
    const generation = this.#generation;
    const { created } = await this.#jsm.streams.info(logStream(partition));
    const epoch = Date.parse(created);
    if (generation === this.#generation) this.#known.set(partition, { epoch, atMs });
    return epoch;
  }
}
