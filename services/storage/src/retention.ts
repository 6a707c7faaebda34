import { setTimeout as delay } from "node:timers/promises";
import { createTurns, type LogCount, type LogReader } from "@bimip/nats";
import type { Logger } from "@bimip/runtime";
import { LogSizes } from "./log-sizes.js";
import { pagesAfter } from "./log-walk.js";
import type { StorageMetrics } from "./metrics.js";
import { purgeTold, type TrimParts, trim } from "./trim.js";

export interface RetentionOptions extends TrimParts {
  readonly reader: LogReader;
  readonly metrics: StorageMetrics;
  readonly logger: Logger;
  readonly partitions: number;
  /** Entries kept per user; 0 = no limit. */
  readonly maxMessages: number;
  /** Bytes kept per user; 0 = no limit. */
  readonly maxBytes: number;
  readonly sweepMs: number;
}

/** How full one log is, and what is over. */
interface Use {
  /** Of the limit that it is nearest to; above 1 = over it. */
  readonly ratio: number;
  readonly excessEntries: number;
  readonly excessBytes: number;
}

const NEAR = 0.8;
/** Users looked at and trimmed at once. */
const MAX_CONCURRENT_USERS = 4;

/**
 * Keeps every user's log within the limits: the oldest entries go, and the user's devices are told. Nobody's entries go before
 * the metrics counted that user: what is over is trimmed by the sweep after the one that found the user near a limit. Any
 * replica may sweep, also several at once: each finds what is over at that moment, and a repeat trims nothing more.
 */
export class Retention {
  readonly #o: RetentionOptions;
  readonly #sizes: LogSizes;
  /** Users near a limit or over it, as the last finished sweep counted them. */
  #counted: ReadonlySet<string> = new Set();

  constructor(options: RetentionOptions) {
    this.#o = options;
    this.#sizes = new LogSizes(options.reader);
  }

  /** Sweeps until `signal` aborts; at once done where no limit is set. */
  async run(signal: AbortSignal): Promise<void> {
    const { maxMessages, maxBytes, sweepMs, link, logger } = this.#o;
    if (maxMessages === 0 && maxBytes === 0) return;
    while (!signal.aborted) {
      try {
        if (link.up) await this.sweep(signal);
      } catch (error) {
        if (!signal.aborted) logger.warn({ err: error }, "retention sweep not finished, trying again");
      }
      await delay(sweepMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** Looks at every log once. */
  async sweep(signal: AbortSignal): Promise<void> {
    const { admin, partitions, metrics, logger } = this.#o;
    const inTurn = createTurns(MAX_CONCURRENT_USERS);
    const failures: unknown[] = [];
    let highest = 0;
    const near = new Set<string>();
    for (let partition = 0; partition < partitions; partition++) {
      for await (const logs of admin.counts(partition)) {
        const works = logs
          .filter((log) => this.#mayBeNear(log))
          .map(({ eid }) =>
            inTurn(async () => {
              const ratio = await this.#keepWithin(eid, signal);
              highest = Math.max(highest, ratio);
              if (ratio > NEAR) near.add(eid);
            }),
          );
        for (const result of await Promise.allSettled(works)) {
          if (result.status === "rejected") failures.push(result.reason);
        }
        signal.throwIfAborted();
        for (const { entries } of logs) highest = Math.max(highest, this.#ratioOfEntries(entries));
      }
    }
    this.#sizes.endSweep();
    metrics.quotaUsedRatioMax.set(highest);
    metrics.quotaNearUsers.set(near.size);
    this.#counted = near;
    if (failures.length > 0) logger.warn({ err: failures[0], users: failures.length }, "logs not looked at");
  }

  #ratioOfEntries(entries: number): number {
    return this.#o.maxMessages === 0 ? 0 : entries / this.#o.maxMessages;
  }

  /** Most users are far from a limit, whatever the size of their entries: their logs are not read. */
  #mayBeNear({ entries }: LogCount): boolean {
    return this.#ratioOfEntries(entries) > NEAR || this.#mayBeNearBytes(entries);
  }

  #mayBeNearBytes(entries: number): boolean {
    const { maxBytes, link } = this.#o;
    const largestEntry = link.nc.info?.max_payload ?? Number.POSITIVE_INFINITY;
    return maxBytes > 0 && entries * largestEntry > NEAR * maxBytes;
  }

  /** Trims what is over the limits, if the user was counted before; answers with how full the log was. */
  async #keepWithin(eid: string, signal: AbortSignal): Promise<number> {
    signal.throwIfAborted();
    const { link, store, reader, admin, metrics, logger } = this.#o;
    const { epoch, trimmedTo } = await store.read(eid);
    let firstId = await reader.first(eid);
    if (firstId > 0 && firstId <= trimmedTo) {
      // Another replica is about to remove these, or ended before it did, or before it told of them.
      metrics.trimmedEntries.inc(await purgeTold({ link, admin }, eid, trimmedTo));
      firstId = await reader.first(eid);
    }
    const use = await this.#useOf(eid);
    const upTo = use.ratio > 1 && this.#counted.has(eid) ? await this.#lastToGo(eid, firstId, use) : 0;
    if (upTo > 0) {
      const trimmed = await trim(this.#o, { eid, upTo, epoch, trimmedBefore: trimmedTo });
      if (trimmed !== undefined) {
        metrics.trimmedEntries.inc(trimmed.entries);
        logger.info({ eid, ...trimmed }, "log trimmed to its limit");
      }
    }
    return use.ratio;
  }

  async #useOf(eid: string): Promise<Use> {
    const { admin, maxMessages, maxBytes } = this.#o;
    const entries = await admin.entriesOf(eid);
    const bytes = this.#mayBeNearBytes(entries) ? await this.#sizes.bytesOf(eid) : 0;
    return {
      ratio: Math.max(this.#ratioOfEntries(entries), maxBytes === 0 ? 0 : bytes / maxBytes),
      excessEntries: maxMessages === 0 ? 0 : entries - maxMessages,
      excessBytes: maxBytes === 0 ? 0 : bytes - maxBytes,
    };
  }

  /** Index of the newest entry that has to go; 0 when the oldest is no longer the one that was counted from. */
  async #lastToGo(eid: string, firstId: number, { excessEntries, excessBytes }: Use): Promise<number> {
    const { reader } = this.#o;
    let entries = 0;
    let bytes = 0;
    let last = 0;
    for await (const page of pagesAfter(reader, eid, 0, await reader.head(eid))) {
      for (const entry of page) {
        if (entries === 0 && entry.index !== firstId) return 0;
        if (entries >= excessEntries && bytes >= excessBytes) return last;
        entries++;
        bytes += entry.bytes.length;
        last = entry.index;
      }
    }
    return last;
  }
}
