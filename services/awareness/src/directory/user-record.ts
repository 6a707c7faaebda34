import { Visibility } from "@bimip/protocol";

/** What a user said last by Awareness of type 2. */
export interface CustomStatus {
  /** 6 or more. */
  readonly status: number;
  readonly details: string;
  /** Visibility that narrows the user's setting while this holds; 0 = it does not. */
  readonly visibility: number;
  /** Epoch milliseconds. */
  readonly atMs: number;
  /** When it ends, epoch milliseconds; 0 = never. */
  readonly untilMs: number;
}

/** What the awareness bucket holds for a user; JSON. A user who never changed anything has none. */
export interface UserRecord {
  readonly eid: string;
  /** Visibility. */
  readonly visibility: number;
  readonly custom: CustomStatus | null;
  /** The device that changed something last; "" = none did, a status ended by itself. */
  readonly device: string;
  /** The replica of awareness that wrote this: it tells those who may see it. */
  readonly by: string;
}

/** The specification's default. */
export const DEFAULT_VISIBILITY: number = Visibility.CONTACTS;
