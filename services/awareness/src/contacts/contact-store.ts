import { setTimeout as delay } from "node:timers/promises";
import {
  type AtomicWrite,
  type CasBucket,
  type CasValue,
  contactKey,
  type ContactRecord,
  NO_REVISION,
} from "@bimip/nats";
import { changedRecord, type ContactDraft, emptyRecord, isRelation, isSame, mirrorOf } from "./contact-pair.js";

export interface ContactStoreOptions {
  /** BIMIP_AWARENESS. */
  readonly bucket: Pick<CasBucket, "read">;
  /** To the same bucket. */
  readonly write: AtomicWrite;
}

/** What is to become of a pair, and what the caller wants to know of it. */
export interface Decision<T> {
  /** Nothing is written where it is what the record holds already. */
  readonly draft: ContactDraft;
  readonly result: T;
  /** Adds to the record that is written what is told of it. */
  readonly complete?: (record: ContactRecord) => ContactRecord;
}

export interface Changed<T> {
  /** As it is now, for the one who changed it. */
  readonly record: ContactRecord;
  readonly result: T;
  /** false: it stood so already. */
  readonly written: boolean;
}

/** The two records of a pair. */
interface Pair {
  readonly record: ContactRecord;
  /** Each shows what the other does. */
  readonly mirrored: boolean;
  readonly revisions: { readonly mine: number; readonly theirs: number };
}

/** A day. */
const OVER_TTL_S = 86_400;
const MAX_TRIES = 20;
const RETRY_MS = 5;
/** Between two looks at what became of a write that was not answered; an election in NATS takes 4 to 9 s. */
const UNSURE_RETRY_MS = 500;

/**
 * What users have with each other, two by two: a record under each of the two, both written at once. Every write is a
 * compare-and-set of both, so any number of replicas may write at once.
 */
export class ContactStore {
  readonly #bucket: ContactStoreOptions["bucket"];
  readonly #write: AtomicWrite;

  constructor({ bucket, write }: ContactStoreOptions) {
    this.#bucket = bucket;
    this.#write = write;
  }

  /** What `eid` has with `peer`, as `eid` sees it. */
  async read(eid: string, peer: string): Promise<ContactRecord> {
    return (await this.#read(eid, peer)).record;
  }

  /**
   * Changes what `eid` has with `peer` and answers once that is stored. `decide` gets the record as `eid` sees it; it may run
   * several times. A write that was not answered is looked for: it was this change that did it, not one of before.
   *
   * @param by the replica that tells of it
   * @throws Error when the records cannot be read or written; they may have been written all the same
   */
  async change<T>(
    eid: string,
    peer: string,
    by: string,
    decide: (record: ContactRecord) => Decision<T>,
  ): Promise<Changed<T>> {
    /** By text: what is written perhaps, as there was no answer. */
    const unsure = new Map<string, Changed<T>>();
    let cause: unknown;
    for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
      try {
        const { record, mirrored, revisions } = await this.#read(eid, peer);
        const done = unsure.get(JSON.stringify(record));
        if (done !== undefined) return done;
        const { draft, result, complete = (same) => same } = decide(record);
        if (mirrored && isSame(record, draft)) return { record, result, written: false };
        const next = complete(changedRecord(record, draft, { atMs: Date.now(), by }));
        const changed = { record: next, result, written: true };
        unsure.set(JSON.stringify(next), changed);
        if (await this.#writeBoth(next, revisions)) return changed;
        unsure.delete(JSON.stringify(next));
      } catch (error) {
        if (unsure.size === 0) throw error;
        cause = error;
      }
      // Another replica writes the same pair, or the bucket does not answer.
      await delay(unsure.size > 0 ? UNSURE_RETRY_MS : Math.random() * RETRY_MS * attempt);
    }
    throw new Error(`what two users have with each other could not be written in ${MAX_TRIES} tries`, { cause });
  }

  /** Answers with false, and wrote neither, when somebody else wrote in between. */
  async #writeBoth(record: ContactRecord, revisions: Pair["revisions"]): Promise<boolean> {
    const { eid, peer } = record;
    // What is over is kept for repeats of what ended it.
    const ttl = isRelation(record) || record.blockedBy ? {} : { ttlS: OVER_TTL_S };
    const written = await this.#write([
      { key: contactKey(eid, peer), bytes: encode(record), revision: revisions.mine, ...ttl },
      { key: contactKey(peer, eid), bytes: encode(mirrorOf(record)), revision: revisions.theirs, ...ttl },
    ]);
    return written !== undefined;
  }

  /** The two may be read on either side of a write: then the newer one is right, and a write upon them fails. */
  async #read(eid: string, peer: string): Promise<Pair> {
    const [mine, theirs] = await Promise.all([
      this.#bucket.read(contactKey(eid, peer)),
      this.#bucket.read(contactKey(peer, eid)),
    ]);
    const own = decode(mine);
    const other = decode(theirs);
    const revisions = { mine: mine?.revision ?? NO_REVISION, theirs: theirs?.revision ?? NO_REVISION };
    const seen = other === undefined ? undefined : mirrorOf(other);
    const record = (revisions.mine > revisions.theirs ? own : seen) ?? emptyRecord(eid, peer);
    return { record, mirrored: JSON.stringify(own) === JSON.stringify(seen), revisions };
  }
}

function encode(record: ContactRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

function decode(value: CasValue | undefined): ContactRecord | undefined {
  return value === undefined ? undefined : (JSON.parse(Buffer.from(value.bytes).toString()) as ContactRecord);
}
