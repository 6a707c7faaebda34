import { setTimeout as delay } from "node:timers/promises";
import { dropOldest } from "@bimip/runtime";
import { isRelation } from "../contacts/contact-pair.js";
import { type ContactRecord, contactKeysOf, createTurns, type Link, scanBucket } from "@bimip/nats";

interface Loading {
  readonly list: Promise<ReadonlyMap<string, ContactRecord>>;
  /** What changed since the reading began. */
  readonly changes: { readonly record: ContactRecord; readonly revision: number }[];
}

export interface ContactListsOptions {
  readonly link: Link;
  readonly bucket: string;
  /** Relations kept in memory, of all users together. */
  readonly maxRelations: number;
}

const MAX_CONCURRENT_READS = 32;
/** Users whose last change is remembered, so that a replica of NATS that lags is not believed. */
const MAX_CHANGED = 100_000;
const LAG_MS = 20;
const MAX_LAGS = 100;

/**
 * What users have with others. Lists are read when they are needed and kept as long as there is room, the longest unused going
 * first; the feed keeps what is kept up to date, so a list is always as the awareness bucket is at the feed's position.
 */
export class ContactLists {
  readonly #o: ContactListsOptions;
  readonly #lists = new Map<string, Map<string, ContactRecord>>();
  readonly #loading = new Map<string, Loading>();
  /** Revision of the last change that the feed told, by user. */
  readonly #changed = new Map<string, number>();
  readonly #inTurn = createTurns(MAX_CONCURRENT_READS);
  #relations = 0;
  #generation = 0;

  constructor(options: ContactListsOptions) {
    this.#o = options;
  }

  /**
   * What `eid` has with others, by their EID. The map goes on changing with the feed: use it at once, or copy. Rejects when
   * NATS does not answer.
   */
  of(eid: string): Promise<ReadonlyMap<string, ContactRecord>> {
    const kept = this.#lists.get(eid);
    if (kept !== undefined) {
      this.#lists.delete(eid); // the last in order is the last that was used
      this.#lists.set(eid, kept);
      return Promise.resolve(kept);
    }
    const loading = this.#loading.get(eid);
    if (loading !== undefined) return loading.list;
    const changes: Loading["changes"] = [];
    const mine: Loading = { list: this.#load(eid, changes), changes };
    this.#loading.set(eid, mine);
    const done = (): void => {
      if (this.#loading.get(eid) === mine) this.#loading.delete(eid);
    };
    return mine.list.finally(done);
  }

  /** A change, told by the feed. */
  apply(record: ContactRecord, revision: number): void {
    const { eid } = record;
    this.#changed.delete(eid);
    this.#changed.set(eid, revision);
    if (this.#changed.size > MAX_CHANGED) dropOldest(this.#changed);
    this.#loading.get(eid)?.changes.push({ record, revision });
    const kept = this.#lists.get(eid);
    if (kept === undefined) return;
    this.#relations -= kept.size;
    if (isRelation(record)) kept.set(record.peer, record);
    else kept.delete(record.peer);
    this.#relations += kept.size;
  }

  clear(): void {
    this.#lists.clear();
    this.#loading.clear();
    this.#changed.clear();
    this.#relations = 0;
    this.#generation++;
  }

  async #load(eid: string, changes: Loading["changes"]): Promise<ReadonlyMap<string, ContactRecord>> {
    const generation = this.#generation;
    const revisions = new Map<string, number>();
    const list = new Map<string, ContactRecord>();
    const add = (record: ContactRecord, revision: number): void => {
      if (revision < (revisions.get(record.peer) ?? 0)) return;
      revisions.set(record.peer, revision);
      list.set(record.peer, record);
    };
    for (let lags = 0; ; lags++) {
      const atLeast = this.#changed.get(eid) ?? 0;
      let newest = 0;
      await this.#inTurn(() =>
        scanBucket(this.#o.link, this.#o.bucket, contactKeysOf(eid), (bytes, revision) => {
          newest = Math.max(newest, revision);
          add(JSON.parse(Buffer.from(bytes).toString()) as ContactRecord, revision);
        }),
      );
      if (newest >= atLeast) break;
      if (lags >= MAX_LAGS) throw new Error("reading contacts: every replica that was asked lags");
      await delay(LAG_MS);
    }
    for (const { record, revision } of changes) add(record, revision);
    for (const record of list.values()) if (!isRelation(record)) list.delete(record.peer);
    if (generation !== this.#generation) throw new Error("reading contacts: the bucket was made anew");
    this.#lists.set(eid, list);
    this.#relations += list.size + 1; // an empty list takes room, too
    this.#makeRoom(eid);
    return list;
  }

  #makeRoom(keep: string): void {
    for (const [eid, list] of this.#lists) {
      if (this.#relations <= this.#o.maxRelations) return;
      if (eid === keep) continue;
      this.#lists.delete(eid);
      this.#relations -= list.size + 1;
    }
  }
}
