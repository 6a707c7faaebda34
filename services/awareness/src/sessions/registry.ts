import { type DevicePresence, type SessionRecord, sessionKey } from "@bimip/nats";
import { AwarenessStatus, type SessionEvent } from "@bimip/protocol";
import { type Changed, changeRecord, type RecordBucket } from "../directory/cas-change.js";
import type { Revised } from "../directory/directory.js";

export interface RegistryOptions {
  /** BIMIP_AWARENESS. */
  readonly bucket: RecordBucket;
  /** What is known from memory of a device's session. */
  readonly known: (eid: string, device: string) => Revised<SessionRecord> | undefined;
  /** This replica's name: who writes tells. */
  readonly replica: string;
}

/** A device speaks before its session is known here, or after it ended: its gateway asks again. */
export class NotRegistered extends Error {
  constructor() {
    super("the session is not registered");
  }
}

/** A device's newest session, and the revision that fences older ones. */
export interface Registered {
  /** 0 = it came late: a newer session of the device is registered, or it ended already. */
  readonly epoch: number;
}

/**
 * Openings arrive in their order, but for one that a frozen replica held or that is told again because its answer was lost:
 * its gateway's time tells. Clocks of gateways must agree within this; a device that moves from one to another faster than
 * they differ would be taken for late.
 */
const LATE_MS = 250;

/**
 * Which session of a device is the newest, and what it said of its presence. Every write is a compare-and-set, so replicas,
 * repeated events and late ones do no harm: an old disconnect never overwrites a newer connect.
 */
export class Registry {
  readonly #o: RegistryOptions;

  constructor(options: RegistryOptions) {
    this.#o = options;
  }

  /** Records an opened session. A repeat of the same event changes nothing; nor does one that comes late. */
  async open(event: SessionEvent): Promise<Registered> {
    const { eid, device, node, gateway, sessionId } = event;
    const sinceMs = Number(event.timestamp);
    let isLate = false;
    const { revision } = await this.#change(eid, device, (current) => {
      const isSame = current?.sessionId === sessionId;
      isLate = current !== undefined && (isSame ? current.ended === "closed" : current.sinceMs - sinceMs > LATE_MS);
      if (isLate || (isSame && current.state === "online")) return undefined;
      const presence = isSame ? current.presence : onlineSince(sinceMs);
      const { replica: by } = this.#o;
      return {
        eid,
        device,
        node,
        gateway,
        sessionId,
        state: "online",
        ended: "",
        sinceMs,
        atMs: sinceMs,
        presence,
        by,
      };
    });
    return { epoch: isLate ? 0 : revision };
  }

  /** Records an ended session, unless a newer one took the device over. */
  async close(event: SessionEvent): Promise<Registered> {
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
      // Its opening was never recorded, and may be yet: a replica was frozen with it. Then it finds that it is over.
      const isNewest = current === undefined || (current.state === "gone" && current.sinceMs < sinceMs);
      if (!isNewest || sinceMs === 0) return undefined;
      const presence = onlineSince(sinceMs);
      return { eid, device, node, gateway, sessionId, state: "gone", ended: "closed", sinceMs, atMs, presence, by };
    });
    return { epoch: revision };
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

  #change(
    eid: string,
    device: string,
    next: (current: SessionRecord | undefined) => SessionRecord | undefined,
  ): Promise<Changed<SessionRecord>> {
    return changeRecord(this.#o.bucket, sessionKey(eid, device), this.#o.known(eid, device), next);
  }
}

function onlineSince(atMs: number): DevicePresence {
  return { status: AwarenessStatus.ONLINE, details: "", visibility: 0, atMs, untilMs: 0 };
}
