import type { CasBucket, CasValue, LogEntry, LogEpochs, LogReader } from "@bimip/nats";
import { logStream, partitionOf, SUBJECTS } from "@bimip/nats";
import { batchGet } from "../../packages/nats/src/batch-get.js";
import type { Nats } from "./nats.js";
import type { NatsLink } from "./nats-link.js";
import type { Stream } from "./stream.js";

/** The client library's own limit for questions to JetStream. */
const API_TIMEOUT_MS = 5_000;
const PAGE_BYTES = 512 * 1024;
export const PAGES_READ = "pages read";

/** Reads logs as packages/nats does: heads from the leader, pages, by the same code, from a replica that may lag. */
export function createReader(nats: Nats, link: NatsLink, partitions: number): LogReader {
  const streamOf = (eid: string): Stream => nats.streams.get(`bimip.log.${partitionOf(eid, partitions)}`) as Stream;
  const fromLeader = <T>(eid: string, read: (stream: Stream) => T): Promise<T> =>
    link.ask(API_TIMEOUT_MS, () => {
      const stream = streamOf(eid);
      return stream.hasLeader ? read(stream) : undefined;
    });
  const fromReplica = <T>(timeoutMs: number, read: (staleMs: number) => T): Promise<T> =>
    link.ask(timeoutMs, () => {
      return nats.up && !nats.dice.chance(0.002) ? read(nats.staleMs()) : undefined;
    });
  return {
    head: (eid) => fromLeader(eid, (stream) => stream.head(eid)),
    first: (eid) => fromLeader(eid, (stream) => stream.first(eid)),
    page: async (eid, after, limit) => {
      nats.world.count(PAGES_READ);
      const entries: LogEntry[] = [];
      const partition = partitionOf(eid, partitions);
      const log = { stream: logStream(partition), subject: SUBJECTS.log(partition, eid) };
      const query = { ...log, from: { after }, limit, maxBytes: PAGE_BYTES };
      await batchGet(link, query, (index, { data }) => entries.push({ index, bytes: data }));
      return entries;
    },
    entry: (eid, index) =>
      fromLeader(eid, (stream) => {
        const stored = stream.entry(eid, index);
        return stored === undefined
          ? ABSENT
          : { index, bytes: stored.bytes, storedAtMs: nats.world.epochAt(stored.atMs) };
      }).then((found) => (found === ABSENT ? undefined : found)) as ReturnType<LogReader["entry"]>,
    heads: (eids) =>
      fromReplica(API_TIMEOUT_MS, (staleMs) => {
        const heads = eids.map(
          (eid) => [eid, streamOf(eid).page(eid, 0, Number.MAX_SAFE_INTEGER, staleMs).at(-1)?.seq ?? 0] as const,
        );
        return new Map(heads.filter(([, head]) => head > 0));
      }),
  };
}

const ABSENT = Symbol("absent");

/** When logs were made, as LogEpochs of packages/nats says it. */
export function createEpochs(nats: Nats, link: NatsLink, partitions: number): LogEpochs {
  const ask = (eid: string): Promise<number> =>
    link.ask(API_TIMEOUT_MS, () => {
      const stream = nats.streams.get(`bimip.log.${partitionOf(eid, partitions)}`);
      return stream?.hasLeader === true ? stream.epochMs : undefined;
    });
  return { of: ask, ask, forget: () => undefined } as unknown as LogEpochs;
}

/** What a bucket holds; outlives the processes that use it. */
export class Bucket {
  readonly #values = new Map<string, CasValue>();
  readonly #onWritten: (key: string, bytes: Uint8Array) => void;
  #revision = 0;

  constructor(onWritten: (key: string, bytes: Uint8Array) => void = () => undefined) {
    this.#onWritten = onWritten;
  }

  /** The bucket through a process's connection; a write whose answer is lost was done all the same. */
  through(nats: Nats, link: NatsLink): CasBucket {
    const ask = <T>(answer: () => T): Promise<T> =>
      link
        .ask(API_TIMEOUT_MS, () => (nats.up ? answer() : undefined))
        .then((value) => {
          if (value === LOST) throw new Error("timeout");
          return value;
        });
    return {
      read: async (key: string) => {
        const value = await ask(() => this.#values.get(key) ?? ABSENT);
        return value === ABSENT ? undefined : value;
      },
      write: (key: string, bytes: Uint8Array, revision: number) =>
        ask(() => {
          if ((this.#values.get(key)?.revision ?? 0) !== revision) return ABSENT;
          const written = ++this.#revision;
          this.#values.set(key, { bytes, revision: written });
          this.#onWritten(key, bytes);
          return nats.dice.chance(nats.trouble.ackLoss) ? LOST : written;
        }).then((written) => (written === ABSENT ? undefined : written)),
      remove: (key: string) => ask(() => this.#values.delete(key)).then(() => undefined),
    } as unknown as CasBucket;
  }
}

const LOST = Symbol("lost");
