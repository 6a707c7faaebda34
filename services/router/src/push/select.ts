import { decodeFrame, type Identity, LIMITS, stanzaToJson, withIndexes } from "@bimip/protocol";
import { PUSHED_KINDS, type Push } from "./provider.js";
import type { PushState } from "./user-state.js";

/** What is pushed of a stored entry, and for which device alone it is, if so. */
export interface Candidate extends Pick<Push, "kind" | "from" | "type" | "text"> {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly device: string | undefined;
}

/** The entry as something to be pushed to `eid`; undefined when it is none: of another kind, sent by the user, or broken. */
export function candidateFrom(eid: string, index: number, bytes: Uint8Array): Candidate | undefined {
  const stanza = decode(bytes);
  if (stanza?.kind !== "message" && stanza?.kind !== "pushNotification") return undefined;
  const { from, to, type, payload } = stanza.value;
  if (from === undefined || from.eid === eid) return undefined;
  const kind = PUSHED_KINDS[stanza.kind];
  return { index, bytes, kind, from: from.eid, type, text: payload?.data["text"], device: deviceOf(to) };
}

/**
 * Whether nothing is to be pushed of it any more. What any device acknowledged the user has seen; but what is for one device
 * alone only that device can acknowledge, and one that never connected gets no push.
 */
export function isSettled({ index, device }: Candidate, { acked, pushed, cursors }: PushState): boolean {
  if (index <= pushed) return true;
  if (device === undefined) return index <= acked;
  const cursor = cursors.get(device);
  return cursor === undefined || index <= cursor;
}

/** The stanza as receivers of the webhook get it, with its index. */
export function stanzaOf({ bytes, index }: Candidate): object {
  return stanzaToJson(withIndexes(bytes, index, 0));
}

function decode(bytes: Uint8Array) {
  try {
    return decodeFrame(bytes, { maxStanzaBytes: LIMITS.frameBytes }).stanza;
  } catch {
    return undefined;
  }
}

function deviceOf(to: Identity | undefined): string | undefined {
  const device = to?.connectionResourceId;
  return device === undefined || device === "" ? undefined : device;
}
