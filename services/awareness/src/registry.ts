import type { KV, KvEntry } from "@nats-io/kv";
import type { SessionEvent } from "@bimip/protocol";
import { type SessionRecord, sessionKey } from "@bimip/nats";

/** A device's newest session, and the revision that fences older ones. */
export interface Registered {
  readonly epoch: number;
  readonly changed: boolean;
}

const MAX_TRIES = 20;
/**
 * Openings arrive in their order, but for one that a frozen replica held or that is told again because its answer was lost:
 * its gateway's time tells. Clocks of gateways must agree within this; a device that moves from one to another faster than
 * they differ would be taken for late.
 */
const LATE_MS = 250;

/**
 * Which session of a device is the newest, in the sessions bucket. Every write is a compare-and-set, so two replicas,
 * repeated events and late ones do no harm: an old disconnect never overwrites a newer connect.
 */
export class Registry {
  readonly #sessions: KV;

  constructor(sessions: KV) {
    this.#sessions = sessions;
  }

  /**
   * Records an opened session; its epoch is the entry's revision. A repeat of the same event changes nothing. One that
   * comes late, after a newer session was recorded, changes nothing either and has epoch 0.
   */
  async open(event: SessionEvent): Promise<Registered> {
    let late = false;
    const registered = await this.#change(event, (current) => {
      if (current === undefined || !current.online) return true;
      if (current.sessionId === event.sessionId) return undefined;
      late = current.at - Number(event.timestamp) > LATE_MS;
      return late ? undefined : true;
    });
    return late ? { epoch: 0, changed: false } : registered;
  }

  /** Records an ended session, unless a newer one took the device over. */
  async close(event: SessionEvent): Promise<Registered> {
    return this.#change(event, (current) =>
      current?.sessionId === event.sessionId && current.online ? true : undefined,
    );
  }

  async #change(
    event: SessionEvent,
    wanted: (current: SessionRecord | undefined) => true | undefined,
  ): Promise<Registered> {
    const key = sessionKey(event.eid, event.device);
    const { eid, device, node, sessionId, open } = event;
    const record: SessionRecord = { eid, device, node, sessionId, online: open, at: Number(event.timestamp) };
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const entry = await this.#sessions.get(key);
      const current = readRecord(entry);
      if (wanted(current) === undefined) return { epoch: entry?.revision ?? 0, changed: false };
      try {
        const text = JSON.stringify(record);
        const epoch =
          entry === null
            ? await this.#sessions.create(key, text)
            : await this.#sessions.update(key, text, entry.revision);
        return { epoch, changed: true };
      } catch {
        // somebody else wrote in between: look again
      }
    }
    throw new Error(`session of a device could not be recorded in ${MAX_TRIES} tries`);
  }
}

function readRecord(entry: KvEntry | null): SessionRecord | undefined {
  return entry === null || entry.operation !== "PUT" ? undefined : entry.json<SessionRecord>();
}
