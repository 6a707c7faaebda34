import type { WebSocket } from "ws";
import type { Stored } from "./fake-log.js";

/** One authenticated connection at the fake. */
export interface FakeSession {
  readonly eid: string;
  readonly device: string;
  readonly resume: string | null;
  readonly socket: WebSocket;
  token: string;
  live: boolean;
  /** Index that the device was told last: previous_id of the next entry. */
  told: number;
}

/** Its device's, among all. */
export function nameOf({ eid, device }: FakeSession): string {
  return `${eid}/${device}`;
}

/** It was sent by that device. */
export function isOwn({ value }: Stored, session: FakeSession): boolean {
  return value.from?.eid === session.eid && value.from.connectionResourceId === session.device;
}
