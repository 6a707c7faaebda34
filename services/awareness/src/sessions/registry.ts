import { type DevicePresence, type SessionRecord, sessionKey } from "@bimip/nats";
import { AwarenessStatus, type SessionEvent } from "@bimip/protocol";
import { type Changed, changeRecord, type RecordBucket } from "../directory/cas-change.js";
import type { Revised } from "../directory/directory.js";
import { isContested, isHeard, isOlder, numbersWith } from "./newer.js";

export interface RegistryOptions {
  /** BIMIP_AWARENESS. */
  readonly bucket: RecordBucket;
  /** What is known from memory of a device's session. */
  readonly known: (eid: string, device: string) => Revised<SessionRecord> | undefined;
  /** This replica's name: who writes tells. */
  readonly replica: string;
  /** Epoch milliseconds; default the clock's. */
  readonly now?: () => number;
}

/** A device speaks before its session is known here, or after it ended: its gateway asks again. */
export class NotRegistered extends Error {
  constructor() {
    super("the session is not registered");
  }
}

/** What became of an opening. */
export interface Opened {
  /** The revision that fences older sessions; 0 = not registered. */
  readonly epoch: number;
  /**
   * Not 0: another session of the device is open at another gateway, and the opening is to be told anew with this as `over`.
   * Both 0: a newer session of the device is registered, or this one ended already.
   */
  readonly contested: number;
  /** It took the device over from an open session at another gateway, which has to end it. */
  readonly tookOver: boolean;
}

/** How a session stands that a gateway says it holds. */
export interface Held {
  /** A newer session of the device took over, or it ended already. */
  readonly stale: boolean;
  /** Not 0: it was not known any more, and is registered again. */
  readonly epoch: number;
}

const REFUSED: Opened = { epoch: 0, contested: 0, tookOver: false };

/**
 * Which session of a device is the newest, and what it said of its presence. Every write is a compare-and-set, so replicas,
 * repeated events and late ones do no harm: an old disconnect never overwrites a newer connect.
 *
 * The newest session is the one that was registered last. A session is registered once: who was replaced, or ended, never comes
 * back. So at any time one session is the newest, and each other one is told so, or finds out when its gateway says what it holds.
 */
export class Registry {
  readonly #o: RegistryOptions;
  readonly #now: () => number;

  constructor(options: RegistryOptions) {
    this.#o = options;
    this.#now = options.now ?? (() => Date.now());
  }

  /** Records an opened session. A repeat of the same event changes nothing; nor does one that comes late. */
  async open(event: SessionEvent): Promise<Opened> {
    let verdict = "open" as "open" | "refused" | "contested";
    let tookOver = false;
    const { revision, changed } = await this.#change(event.eid, event.device, (current, at) => {
      verdict = "open";
      if (current?.sessionId === event.sessionId) {
        if (current.state === "online") return undefined;
        if (current.ended === "closed") verdict = "refused";
      } else if (current !== undefined) {
        if (isOlder(current, event, this.#now())) {
          verdict = "refused";
          return this.#withHeard(current, event);
        }
        if (isContested(current, at, event)) verdict = "contested";
        tookOver = current.state === "online" && current.gateway !== event.gateway;
      }
      return verdict === "open" ? this.#online(event, current) : undefined;
    });
    if (verdict === "refused") return REFUSED;
    if (verdict === "contested") return { epoch: 0, contested: revision, tookOver: false };
    return { epoch: revision, contested: 0, tookOver: changed && tookOver };
  }

  /** A gateway says that it holds this session: it is registered again if it was swept, or the bucket was lost. */
  async hold(event: SessionEvent): Promise<Held> {
    let stale = false;
    const { revision, changed } = await this.#change(event.eid, event.device, (current) => {
      stale = false;
      if (current?.sessionId === event.sessionId) {
        if (current.state === "online") return undefined;
        stale = current.ended === "closed";
      } else if (current !== undefined && isOlder(current, event, this.#now())) {
        stale = true;
        return this.#withHeard(current, event);
      }
      return stale ? undefined : this.#online(event, current);
    });
    return { stale, epoch: changed && !stale ? revision : 0 };
  }

  /** Records an ended session, unless a newer one took the device over. */
  async close(event: SessionEvent): Promise<number> {
    const { eid, device, node, gateway, sessionId } = event;
    const { replica: by } = this.#o;
    // A gateway whose clock is ahead would keep the device there for as long.
    const atMs = Math.min(Number(event.timestamp), Date.now());
    const sinceMs = Number(event.since);
    const { revision } = await this.#change(eid, device, (current) => {
      if (current?.sessionId === sessionId) {
        if (current.ended === "closed") return undefined;
        if (current.state !== "online") return { ...current, ended: "closed", by };
        return { ...current, state: "leaving", ended: "closed", atMs, by };
      }
      if (sinceMs === 0 || (current !== undefined && isHeard(current, event))) return undefined;
      // Its opening was never recorded, and may be yet: a replica was frozen with it. Then it finds that it is over.
      const numbers = numbersWith(current, event);
      if (current !== undefined && (current.state !== "gone" || current.sinceMs >= sinceMs)) {
        return event.number > 0n ? { ...current, numbers, by } : undefined;
      }
      const presence = onlineSince(sinceMs);
      const ended = { state: "gone", ended: "closed", sinceMs, atMs, presence, by } as const;
      return { eid, device, node, gateway, sessionId, address: event.address, numbers, ...ended };
    });
    return revision;
  }

  /** Records that a session is gone with its gateway. False if it is not there any more. */
  async sweep({ eid, device, sessionId }: SessionRecord): Promise<boolean> {
    const { changed } = await this.#change(eid, device, (current) => {
      if (current?.sessionId !== sessionId || current.state !== "online") return undefined;
      return { ...current, state: "leaving", ended: "swept", atMs: Date.now(), by: this.#o.replica };
    });
    return changed;
  }

  /** The grace period is over, and the device did not come back. */
  async settle({ eid, device, sessionId }: SessionRecord): Promise<void> {
    await this.#change(eid, device, (current) => {
      if (current?.sessionId !== sessionId || current.state !== "leaving") return undefined;
      return { ...current, state: "gone", by: this.#o.replica };
    });
  }

  /**
   * What a device says of its user's presence.
   *
   * @throws NotRegistered
   */
  async speak(
    eid: string,
    device: string,
    sessionId: string,
    presence: DevicePresence,
  ): Promise<Changed<SessionRecord>> {
    return this.#change(eid, device, (current) => {
      if (current?.sessionId !== sessionId || current.state !== "online") throw new NotRegistered();
      const { status, details, visibility, untilMs } = current.presence;
      const isSame =
        status === presence.status &&
        details === presence.details &&
        visibility === presence.visibility &&
        untilMs === 0 &&
        presence.untilMs === 0;
      return isSame ? undefined : { ...current, presence, by: this.#o.replica };
    });
  }

  /** What a device said holds no longer: back to ONLINE. */
  async expire({ eid, device, sessionId }: SessionRecord): Promise<void> {
    await this.#change(eid, device, (current) => {
      if (current?.sessionId !== sessionId) return undefined;
      const { untilMs } = current.presence;
      if (untilMs === 0 || untilMs > Date.now()) return undefined;
      return { ...current, presence: onlineSince(untilMs), by: this.#o.replica };
    });
  }

  /** Whoever is told that it is older is told so whenever it asks, also once the newer one has ended. Undefined: it is known. */
  #withHeard(current: SessionRecord, event: SessionEvent): SessionRecord | undefined {
    if (event.number === 0n || isHeard(current, event)) return undefined;
    return { ...current, numbers: numbersWith(current, event), by: this.#o.replica };
  }

  /** @param current of the device so far: its own one, swept, keeps what the device had said */
  #online(event: SessionEvent, current: SessionRecord | undefined): SessionRecord {
    const { eid, device, node, gateway, sessionId, address } = event;
    const sinceMs = Number(event.timestamp);
    const numbers = numbersWith(current, event);
    const presence = current?.sessionId === sessionId ? current.presence : onlineSince(sinceMs);
    const { replica: by } = this.#o;
    const times = { state: "online", ended: "", sinceMs, atMs: sinceMs, registeredMs: this.#now() } as const;
    return { eid, device, node, gateway, sessionId, address, numbers, ...times, presence, by };
  }

  #change(
    eid: string,
    device: string,
    next: (current: SessionRecord | undefined, revision: number) => SessionRecord | undefined,
  ): Promise<Changed<SessionRecord>> {
    return changeRecord(this.#o.bucket, sessionKey(eid, device), this.#o.known(eid, device), next);
  }
}

function onlineSince(atMs: number): DevicePresence {
  return { status: AwarenessStatus.ONLINE, details: "", visibility: 0, atMs, untilMs: 0 };
}
