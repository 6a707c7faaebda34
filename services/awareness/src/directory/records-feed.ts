import { AWARENESS_KEY_KINDS, type ContactRecord, createTurns, type FeedEntry, type SessionRecord } from "@bimip/nats";
import type { Alarms } from "./alarms.js";
import type { ContactLists } from "./contact-lists.js";
import type { Change, Directory } from "./directory.js";
import type { Recent } from "../telling/recent.js";
import type { Registry } from "../sessions/registry.js";
import type { Teller } from "../telling/teller.js";
import type { Untold } from "../telling/untold.js";
import type { UserRecord } from "./user-record.js";
import type { Users } from "../presence/users.js";

export interface RecordsFeedOptions {
  /** This replica's name. */
  readonly replica: string;
  /** How long a device that went may come back unnoticed. */
  readonly graceMs: number;
  readonly directory: Directory;
  readonly lists: ContactLists;
  readonly teller: Teller;
  readonly untold: Untold;
  readonly recent: Recent;
  /** Tells all devices of a user what became of a contact; whoever wrote it told so itself, unless it fell silent. */
  readonly tellContact: (eid: string, contact: Uint8Array) => void;
  readonly alarms: Alarms;
  readonly registry: Registry;
  readonly users: Users;
  readonly onError: (error: unknown) => void;
}

/** What another replica is to do at a time is done by this one, should it not be, after so long; and as much again at random. */
const OTHERS_LATER_MS = 1_000;
const RETRY_MS = 1_000;
const MAX_CONCURRENT_WRITES = 64;

/** Takes what the feed of the awareness bucket tells: into memory, to those who may see it, and into alarms for what ends by itself. */
export class RecordsFeed {
  readonly #o: RecordsFeedOptions;
  /** When a gateway with many sessions died, many grace periods end at once. */
  readonly #inTurn = createTurns(MAX_CONCURRENT_WRITES);

  constructor(options: RecordsFeedOptions) {
    this.#o = options;
  }

  take(entry: FeedEntry): void {
    if (entry.bytes.length === 0) return;
    const value: unknown = JSON.parse(Buffer.from(entry.bytes).toString());
    const kind = entry.key.slice(0, entry.key.indexOf("."));
    if (kind === AWARENESS_KEY_KINDS.session) this.#session(entry, value as SessionRecord);
    else if (kind === AWARENESS_KEY_KINDS.user) this.#user(entry, value as UserRecord);
    else if (kind === AWARENESS_KEY_KINDS.contact) this.#contact(entry, value as ContactRecord);
  }

  /** The bucket was made anew. */
  reset(): void {
    this.#o.directory.clear();
    this.#o.lists.clear();
    this.#o.untold.clear();
    this.#o.recent.clear();
    this.#o.teller.clear();
    this.#o.alarms.clearAll();
  }

  #session(entry: FeedEntry, record: SessionRecord): void {
    const { directory } = this.#o;
    const { eid, device, presence } = record;
    const before = directory.session(eid, device)?.record.presence;
    const change = directory.applySession(entry.key, record, entry.revision);
    this.#armSession(entry.key, record);
    // A device that is back to ONLINE by itself hears of it; what it said itself it knows.
    const isExpired = before !== undefined && before.untilMs > 0 && presence.atMs === before.untilMs;
    this.#tell(entry, record.by, change, isExpired ? "" : device);
  }

  #user(entry: FeedEntry, record: UserRecord): void {
    const change = this.#o.directory.applyUser(record, entry.revision);
    const untilMs = record.custom?.untilMs ?? 0;
    if (untilMs === 0) this.#o.alarms.clear(entry.key);
    else this.#arm(entry.key, record.by, untilMs, () => this.#o.users.expireCustom(record.eid));
    this.#tell(entry, record.by, change, record.device);
  }

  #contact({ key, revision, initial }: FeedEntry, record: ContactRecord): void {
    const { lists, teller, untold, recent, replica } = this.#o;
    lists.apply(record, revision);
    if (initial) return;
    const again = (): void => {
      if (record.told !== "") this.#o.tellContact(record.eid, Buffer.from(record.told, "base64"));
      teller.contactChanged(record);
    };
    if (record.by !== replica) return untold.add(key, record.by, revision, again);
    teller.contactChanged(record);
    recent.add(key, again);
  }

  #tell({ key, revision, initial }: FeedEntry, by: string, change: Change, device: string): void {
    const { teller, untold, recent, replica } = this.#o;
    if (initial) return;
    const again = (): void => teller.retell(change);
    if (by !== replica) {
      teller.interfered(change);
      return untold.add(key, by, revision, again);
    }
    if (teller.changed(change, device)) recent.add(key, again);
  }

  #armSession(key: string, record: SessionRecord): void {
    const { alarms, registry, graceMs } = this.#o;
    const { state, atMs, by, presence } = record;
    if (state === "leaving") this.#arm(key, by, Math.min(atMs, Date.now()) + graceMs, () => registry.settle(record));
    else if (state === "online" && presence.untilMs > 0)
      this.#arm(key, by, presence.untilMs, () => registry.expire(record));
    else alarms.clear(key);
  }

  #arm(key: string, by: string, atMs: number, work: () => Promise<unknown>): void {
    const { alarms, replica, onError } = this.#o;
    const laterMs = by === replica ? 0 : OTHERS_LATER_MS * (1 + Math.random());
    const ring = (): void => {
      this.#inTurn(work).catch((error: unknown) => {
        onError(error);
        alarms.set(key, Date.now() + RETRY_MS, ring);
      });
    };
    alarms.set(key, atMs + laterMs, ring);
  }
}
