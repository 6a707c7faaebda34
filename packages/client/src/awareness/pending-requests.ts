import type { AwarenessContact } from "@bimip/protocol";
import type { ContactNews } from "./contact-book.js";

interface Pending {
  stanza: AwarenessContact;
  /** The application was told. */
  told: boolean;
  /** Under these names it came: the server repeats it on each connection. */
  readonly names: Set<string>;
}

/** A request repeated under ever new names would fill the memory. */
const MAX_NAMES = 16;

/** Requests of others that wait for an answer: each is told once, when somebody listens. */
export class PendingRequests {
  readonly #pending = new Map<string, Pending>();
  readonly #listens: () => boolean;
  readonly #tell: (eid: string, stanza: AwarenessContact) => void;

  constructor(listens: () => boolean, tell: (eid: string, stanza: AwarenessContact) => void) {
    this.#listens = listens;
    this.#tell = tell;
  }

  /** The tracking_id that the request came with; "" = none waits that is known. */
  trackingIdOf(eid: string): string {
    return this.#pending.get(eid)?.stanza.trackingId ?? "";
  }

  /** @param waits the other's request has no answer yet, by what is known with this news */
  take({ eid, action, byMe, stanza }: ContactNews, waits: boolean): void {
    if (!waits) return void this.#pending.delete(eid);
    if (byMe || action !== "request") return;
    const name = nameOf(stanza);
    const known = this.#pending.get(eid);
    if (known?.names.has(name) === true) return;
    const names = (known?.names.size ?? 0) < MAX_NAMES ? (known?.names ?? new Set<string>()) : new Set<string>();
    names.add(name);
    this.#pending.set(eid, { stanza, told: false, names });
    this.heard();
  }

  /** What does not wait any more is forgotten. */
  keep(waits: (eid: string) => boolean): void {
    for (const eid of this.#pending.keys()) if (!waits(eid)) this.#pending.delete(eid);
  }

  /** Somebody listens, perhaps. */
  heard(): void {
    if (!this.#listens()) return;
    for (const [eid, pending] of this.#pending) {
      if (pending.told) continue;
      pending.told = true;
      this.#tell(eid, pending.stanza);
    }
  }
}

function nameOf({ trackingId, timestamp, relationship }: AwarenessContact): string {
  return JSON.stringify([trackingId || String(timestamp), relationship]);
}
