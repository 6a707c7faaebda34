import { decodeFrame, LIMITS, type Signal } from "@bimip/protocol";
import type { StoredOutgoing } from "./client-store.js";
import type { OutboxItem } from "./outbox-entry.js";

/** A receipt as it was stored. */
export type StoredReceipt = StoredOutgoing & { readonly signal: Signal };

/** What a store held, by what it is; each in its order. */
export function sortStored(entries: readonly StoredOutgoing[]): { receipts: StoredReceipt[]; items: OutboxItem[] } {
  const receipts: StoredReceipt[] = [];
  const items: OutboxItem[] = [];
  for (const entry of entries) {
    const { kind, value } = decodeFrame(entry.frame, { maxStanzaBytes: LIMITS.frameBytes }).stanza;
    if (kind === "signal") receipts.push({ ...entry, signal: value });
    else if (kind === "message" || kind === "pushNotification") {
      items.push({ kind, id: value.id, eid: value.to?.eid ?? "", frame: entry.frame });
    }
  }
  return { receipts, items };
}
