import { setTimeout as delay } from "node:timers/promises";
import type { ContactRecord } from "@bimip/nats";
import { AwarenessStatus, Visibility } from "@bimip/protocol";
import type { Logger } from "@bimip/runtime";
import { customBytes, hiddenBytes, presenceBytes, stateBytes, type Told } from "./awareness-bytes.js";
import type { ContactLists } from "../directory/contact-lists.js";
import { fromOtherSide, isAccepted, maySee } from "../contacts/who-may-see.js";
import type { Change, Directory } from "../directory/directory.js";
import type { Fanout } from "./fanout.js";
import type { AwarenessMetrics } from "../metrics.js";
import { byPrecision, coarsened, type Position } from "../location/precision.js";
import { sameCustom, samePresence, sameVisible, type Visible } from "../directory/visible.js";

/** The stanza that made a change: what of it is told but kept nowhere. */
export interface Origin {
  readonly id: string;
  readonly device: string;
  readonly position: Position | undefined;
  /** Visibility that the stanza asked for; 0 = none. The position is for those who may see the user under that, too. */
  readonly visibility: number;
}

/** Something of a user is to be told. */
interface Pending {
  /** What those who may see the user know. */
  readonly before: Visible;
  /** Or perhaps not: all of it is told. */
  all: boolean;
  /** And perhaps to more than may see the user now, or could before: a replica that starts does not know what was before. */
  readonly unsure: boolean;
  /** The one device that made all of the changes, and is not told; "" = several did, or none. */
  notDevice: string;
  /** Of the first change. */
  readonly revision: number;
  readonly sinceMs: number;
  running: boolean;
  /** While it waits for its time. */
  timer: NodeJS.Timeout | undefined;
}

export interface TellerOptions {
  readonly directory: Directory;
  readonly lists: ContactLists;
  readonly fanout: Fanout;
  readonly metrics: AwarenessMetrics;
  readonly logger: Logger;
  /** The feed's position: what is told is true then. */
  readonly position: () => number;
  /** One user's changes reach so many devices a second at most; beyond, changes wait and the newest is told. */
  readonly maxUpdatesPerS: number;
}

const RETRY_MS = 250;

/**
 * Tells those who may see a user what became of them. Looks at how things stand when it tells, so that whatever came in
 * between, or twice, or in another order, the last word is the truth.
 */
export class Teller {
  readonly #o: TellerOptions;
  readonly #pending = new Map<string, Pending>();
  readonly #origins = new Map<string, Origin>();
  /** Stanzas of a user that are being worked on: what they change in several steps is told once, when all are done. */
  readonly #working = new Map<string, number>();
  /** Users who were told of to many a moment ago: not again before (performance.now). */
  readonly #notBefore = new Map<string, number>();
  #stopped = false;

  constructor(options: TellerOptions) {
    this.#o = options;
  }

  /** Everything that was to be told by this revision is. */
  get toldUpTo(): number {
    let upTo = this.#o.position();
    for (const { revision } of this.#pending.values()) upTo = Math.min(upTo, revision - 1);
    return upTo;
  }

  /** What the stanza that is about to change something adds when that is told. */
  expect(eid: string, origin: Origin): void {
    this.#origins.set(eid, origin);
    this.#working.set(eid, (this.#working.get(eid) ?? 0) + 1);
  }

  /** What `expect` announced is done. If it made no change a position is told nevertheless. */
  conclude(eid: string, origin: Origin): void {
    const isTold = this.#origins.get(eid) !== origin || this.#pending.has(eid);
    if (!isTold && origin.position === undefined) this.#origins.delete(eid);
    else if (!isTold) this.#schedule(eid, this.#o.directory.visible(eid), origin.device, false);
    this.#worked(eid);
  }

  /** What `expect` announced failed. */
  forget(eid: string, origin: Origin): void {
    if (this.#origins.get(eid) === origin) this.#origins.delete(eid);
    this.#worked(eid);
  }

  /**
   * False: nobody would notice.
   *
   * @param device that made the change; "" = none did
   */
  changed({ eid, before, after }: Change, device: string): boolean {
    if (sameVisible(before, after) && !this.#pending.has(eid)) return false;
    this.#schedule(eid, before, device, false);
    return true;
  }

  /** Another replica changed something, and tells it: what this one knows of what is known may not hold. */
  interfered({ eid, before, after }: Change): void {
    const pending = this.#pending.get(eid);
    if (pending !== undefined && !sameVisible(before, after)) pending.all = true;
  }

  stop(): void {
    this.#stopped = true;
    this.clear();
  }

  /** Nothing that was told, or is to be told, holds any more. */
  clear(): void {
    for (const { timer } of this.#pending.values()) clearTimeout(timer);
    this.#pending.clear();
    this.#origins.clear();
    this.#notBefore.clear();
  }

  /** A change that may not have been told, or not have arrived. */
  retell({ eid, before, after }: Change): void {
    this.#o.metrics.retold.inc();
    this.#schedule(eid, before, "", true, sameVisible(before, after));
  }

  /**
   * What stands between two users changed: `eid` of the record learns of `peer` what it may see now, or that it may not any
   * more.
   */
  contactChanged(record: ContactRecord): void {
    const { eid, peer, before } = record;
    const { directory, fanout, position } = this.#o;
    const visible = directory.visible(peer);
    const sees = maySee(record, visible.visibility);
    const about = { eid: peer, revision: position() };
    if (!sees) {
      // Whoever hid at the same moment: nobody else tells `eid`, since the two have nothing any more.
      if (!maySee(before, directory.widest(peer, record.beforeAtMs))) return;
      const known = maySee(before, visible.visibility) ? visible : undefined;
      fanout.send([eid], about, { case: "awareness", value: hiddenBytes(peer, known) });
      return;
    }
    const gained = !maySee(before, visible.visibility) || (isAccepted(record.own) && !isAccepted(before.own));
    if (!gained) return;
    for (const value of stateBytes(peer, visible))
      fanout.send([eid], { ...about, asBody: true }, { case: "awareness", value });
  }

  #schedule(eid: string, before: Visible, device: string, all: boolean, unsure = false): void {
    let pending = this.#pending.get(eid);
    if (pending === undefined) {
      const revision = this.#o.position();
      const sinceMs = performance.now();
      pending = { before, all, unsure, notDevice: device, revision, sinceMs, running: false, timer: undefined };
      this.#pending.set(eid, pending);
    } else {
      if (pending.notDevice !== device) pending.notDevice = "";
      pending.all ||= all;
    }
    this.#start(eid, pending);
  }

  #worked(eid: string): void {
    const left = (this.#working.get(eid) ?? 1) - 1;
    if (left > 0) return void this.#working.set(eid, left);
    this.#working.delete(eid);
    const pending = this.#pending.get(eid);
    if (pending !== undefined) this.#start(eid, pending);
  }

  #start(eid: string, pending: Pending): void {
    if (pending.running || this.#working.has(eid)) return;
    // Who hides is hidden at once.
    const hides = this.#o.directory.visible(eid).visibility > pending.before.visibility;
    const waitMs = hides ? 0 : (this.#notBefore.get(eid) ?? 0) - performance.now();
    clearTimeout(pending.timer);
    pending.timer = undefined;
    if (waitMs > 0) pending.timer = setTimeout(() => this.#start(eid, pending), waitMs).unref();
    else void this.#run(eid, pending);
  }

  async #run(eid: string, pending: Pending): Promise<void> {
    pending.running = true;
    let list: ReadonlyMap<string, ContactRecord> | undefined;
    while (list === undefined) {
      try {
        list = await this.#o.lists.of(eid);
      } catch (error) {
        if (this.#stopped) return;
        this.#o.logger.warn({ err: error }, "presence not told, trying again");
        await delay(RETRY_MS);
      }
    }
    pending.running = false;
    if (this.#pending.get(eid) !== pending) return; // the bucket was made anew
    if (this.#working.has(eid)) return; // a stanza began to change it, and starts this again
    this.#pending.delete(eid);
    try {
      const count = this.#tell(eid, list, pending);
      this.#o.metrics.tellSeconds.observe((performance.now() - pending.sinceMs) / 1_000);
      this.#hold(eid, count);
    } catch (error) {
      this.#o.logger.error({ err: error }, "presence cannot be told");
    }
  }

  /** Bounded work for a user whom many see. */
  #hold(eid: string, count: number): void {
    const holdMs = (count * 1_000) / this.#o.maxUpdatesPerS;
    if (holdMs < 1) return;
    const untilMs = performance.now() + holdMs;
    this.#notBefore.set(eid, untilMs);
    const forget = (): void => {
      if (this.#notBefore.get(eid) === untilMs) this.#notBefore.delete(eid);
    };
    setTimeout(forget, holdMs).unref();
  }

  /** Answers with how many users were told. */
  #tell(eid: string, list: ReadonlyMap<string, ContactRecord>, pending: Pending): number {
    const { directory, position } = this.#o;
    const { before, all, unsure } = pending;
    const now = directory.visible(eid);
    const origin = this.#origins.get(eid);
    this.#origins.delete(eid);
    const news = newsOf(all ? undefined : before, now);
    // The device knows what it said; not what another one had said before and is seen only now.
    const isEcho = now.device === pending.notDevice || !news.presence;
    const about = { eid, revision: position(), notDevice: isEcho ? pending.notDevice : "" };
    const known = unsure ? Visibility.PUBLIC : before.visibility;
    const { gained, kept, lost } = split(list, known, now.visibility);
    let count = 0;
    if (lost.length > 0)
      count += this.#o.fanout.send(lost, about, { case: "awareness", value: hiddenBytes(eid, all ? undefined : now) });
    if (gained.length > 0) count += this.#send(gained, about, stateBytes(eid, now));
    kept.push(eid); // the user's own other devices
    const { id = "", position: exact, visibility = 0 } = origin ?? {};
    if (exact === undefined) return count + this.#send(kept, about, newsBytes(eid, now, news, { id }));
    const mayLocate = (peer: string): boolean => {
      const record = list.get(peer);
      return record === undefined || maySee(fromOtherSide(record), Math.max(now.visibility, visibility));
    };
    const others = kept.filter((peer) => !mayLocate(peer));
    count += this.#send(others, about, newsBytes(eid, now, news, { id }));
    for (const [precisionM, peers] of byPrecision(kept.filter(mayLocate), list)) {
      const position = precisionM < 0 ? undefined : coarsened(exact, precisionM);
      count += this.#send(peers, about, newsBytes(eid, now, news, { id, position }));
    }
    return count;
  }

  #send(
    to: readonly string[],
    about: { eid: string; revision: number; notDevice: string },
    all: readonly Uint8Array[],
  ): number {
    let count = 0;
    for (const value of all) count += this.#o.fanout.send(to, about, { case: "awareness", value });
    return count;
  }
}

/** Who sees the user now, or did before. */
function split(list: ReadonlyMap<string, ContactRecord>, before: number, now: number) {
  const gained: string[] = [];
  const kept: string[] = [];
  const lost: string[] = [];
  for (const record of list.values()) {
    const relation = fromOtherSide(record);
    const sees = maySee(relation, now);
    const saw = maySee(relation, before);
    if (sees && saw) kept.push(record.peer);
    else if (sees) gained.push(record.peer);
    else if (saw) lost.push(record.peer);
  }
  return { gained, kept, lost };
}

/** What is new to those who saw the user before. */
interface News {
  readonly presence: boolean;
  readonly custom: boolean;
}

function newsOf(before: Visible | undefined, now: Visible): News {
  if (before === undefined) return { presence: true, custom: true };
  const presence = !samePresence(before, now);
  // Nothing of type 2 is told of who is OFFLINE.
  const isBack = before.status === AwarenessStatus.OFFLINE && now.status !== AwarenessStatus.OFFLINE;
  const custom = !sameCustom(before, now) || (isBack && now.custom !== undefined);
  // What ended is told by the presence as it stands.
  return { presence: presence || (custom && now.custom === undefined), custom };
}

/** Nothing, a presence, a status of type 2, or both. A position that comes with no news is told with the presence as it stands. */
function newsBytes(eid: string, now: Visible, news: News, told: Told): Uint8Array[] {
  const { custom, status } = now;
  const isOffline = status === AwarenessStatus.OFFLINE;
  // To clients ONLINE ends a status of type 2: one that still holds is told again.
  const isTold = news.custom || (news.presence && status === AwarenessStatus.ONLINE);
  const second = custom === undefined || isOffline || !isTold ? undefined : customBytes(eid, now, custom, told);
  const isPresenceTold = news.presence || (second === undefined && told.position !== undefined);
  const first = isPresenceTold ? presenceBytes(eid, now, second === undefined ? told : {}) : undefined;
  // What ended while the user is not ONLINE: only that word ends it for clients.
  const ends = news.custom && custom === undefined && !isOffline && status !== AwarenessStatus.ONLINE;
  const end = ends
    ? presenceBytes(eid, { ...now, status: AwarenessStatus.ONLINE, details: "", untilMs: 0 })
    : undefined;
  return [end, first, second].filter((bytes) => bytes !== undefined);
}
