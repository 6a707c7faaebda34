import { AwarenessStatus, Visibility as VisibilityCode } from "@bimip/protocol";

/** The five words of presence. */
export type PresenceWord = "online" | "offline" | "away" | "busy" | "dnd";

/** A word; of a later protocol, for which there is none here, the number as it came. */
export type PresenceStatus = PresenceWord | number;

/** Who may see somebody: contacts and all followers, contacts and accepted followers (the default), nobody. */
export type Visibility = "public" | "contacts" | "private";

/** A status of one's own making: of the user, whatever the device; beside the presence. */
export interface CustomStatus {
  /** 6 or more; what it means is the applications' matter. */
  readonly status: number;
  readonly details: string;
  /** When it ends by itself; absent: it does not. */
  readonly until?: Date;
}

/** Degrees north and east, metres. */
export interface Place {
  readonly latitude: number;
  readonly longitude: number;
  readonly altitude?: number;
}

/** Where somebody was. */
export interface LastPlace extends Place {
  readonly at: Date;
}

/** What is known of somebody. Never changed: a change makes a new one. */
export interface Presence {
  readonly eid: string;
  /** As present as their most present device. */
  readonly status: PresenceStatus;
  /** Their words for it, "" = none. */
  readonly details: string;
  /** Since when, by the server's clock. */
  readonly since?: Date;
  /** When it falls back to online; absent: it does not. */
  readonly until?: Date;
  /** When they were online last; while offline, where the server knows. */
  readonly lastSeen?: Date;
  readonly custom?: CustomStatus;
  /** The last position they shared since they came online. */
  readonly location?: LastPlace;
}

/** A difference that somebody who watches would notice. */
export interface PresenceChange {
  readonly eid: string;
  /** Undefined: may not be seen any more, or never existed. */
  readonly presence: Presence | undefined;
  /** Undefined: was not known. */
  readonly before: Presence | undefined;
}

/** A position as it comes. */
export interface LocationChange extends LastPlace {
  readonly eid: string;
  readonly device?: string;
}

export const STATUS_CODES: Readonly<Record<PresenceWord, AwarenessStatus>> = {
  online: AwarenessStatus.ONLINE,
  offline: AwarenessStatus.OFFLINE,
  away: AwarenessStatus.AWAY,
  busy: AwarenessStatus.BUSY,
  dnd: AwarenessStatus.DND,
};

export const VISIBILITY_CODES: Readonly<Record<Visibility, VisibilityCode>> = {
  public: VisibilityCode.PUBLIC,
  contacts: VisibilityCode.CONTACTS,
  private: VisibilityCode.PRIVATE,
};

const STATUS_WORDS = swapped(STATUS_CODES);
const VISIBILITY_WORDS = swapped(VISIBILITY_CODES);

export function statusOf(code: number): PresenceStatus {
  return STATUS_WORDS.get(code) ?? code;
}

/** Undefined for a code that is none. */
export function visibilityOf(code: number): Visibility | undefined {
  return VISIBILITY_WORDS.get(code);
}

function swapped<Word extends string>(codes: Readonly<Record<Word, number>>): ReadonlyMap<number, Word> {
  return new Map(Object.entries<number>(codes).map(([word, code]) => [code, word as Word]));
}
