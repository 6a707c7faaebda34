import type { AwarenessContact } from "@bimip/protocol";
import type { ContactNews } from "./contact-book.js";

interface Pending {
  stanza: AwarenessContact;
  /** The application was told. */
  told: boolean;
  /** It may have been answered elsewhere, without our being told. */
  doubtful: boolean;
  /** Under these names it came: the server repeats it on each connection. */
  readonly names: Set<string>;
}

/** A request repeated under ever new names would fill the memory. */
const MAX_NAMES = 16;

export interface PendingRequestsOptions {
  readonly listens: () => boolean;
  readonly tell: (eid: string, stanza: AwarenessContact) => void;
  /** Somebody listens to what is doubtful: is to call `keep` when it is known what waits. */
  readonly verify: () => void;
}

/** Requests of others that wait for an answer: each is told once, when somebody listens. */
export class PendingRequests {
  readonly #pending = new Map<string, Pending>();
  readonly #o: PendingRequestsOptions;

  constructor(options: PendingRequestsOptions) {
    this.#o = options;
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
    if (known?.names.has(name) === true) {
      known.doubtful = false;
      return this.heard();
    }
    const names = (known?.names.size ?? 0) < MAX_NAMES ? (known?.names ?? new Set<string>()) : new Set<string>();
    names.add(name);
    this.#pending.set(eid, { stanza, told: false, doubtful: false, names });
    this.heard();
  }

  /** What does not wait any more is forgotten. */
  keep(waits: (eid: string) => boolean): void {
    for (const [eid, pending] of this.#pending) {
      if (waits(eid)) pending.doubtful = false;
      else this.#pending.delete(eid);
    }
    this.heard();
  }

  /** Answers may have been missed. */
  doubt(): void {
    for (const pending of this.#pending.values()) pending.doubtful = true;
  }

  /** Somebody listens, perhaps. */
  heard(): void {
    if (!this.#o.listens()) return;
    let isDoubtful = false;
    for (const [eid, pending] of this.#pending) {
      if (pending.told) continue;
      if (pending.doubtful) {
        isDoubtful = true;
        continue;
      }
      pending.told = true;
      this.#o.tell(eid, pending.stanza);
    }
    if (isDoubtful) this.#o.verify();
  }
}

function nameOf({ trackingId, timestamp, relationship }: AwarenessContact): string {
  return JSON.stringify([trackingId || String(timestamp), relationship]);
}
