import type { Stanza } from "@bimip/protocol";

/** A stored stanza. */
export type Stored = Extract<Stanza, { kind: "message" | "pushNotification" | "signal" | "event" }>;

export interface Entry {
  readonly index: number;
  readonly stanza: Stored;
}

/** The stanza with its own index and the one before, as it is handed over. */
export function withIndexes({ index, stanza }: Entry, previous: number): Stored {
  const previousId = BigInt(previous);
  switch (stanza.kind) {
    case "message":
      return { kind: "message", value: { ...stanza.value, monotonicId: BigInt(index), previousId } };
    case "pushNotification":
      return { kind: "pushNotification", value: { ...stanza.value, monotonicId: BigInt(index), previousId } };
    case "signal":
      return { kind: "signal", value: { ...stanza.value, logId: BigInt(index), previousId } };
    case "event":
    default:
      return { kind: "event", value: { ...stanza.value, logId: BigInt(index), previousId } };
  }
}

/** Messages and pushes, in the conversation with `partner` where one is named. */
export function isConversation({ stanza }: Entry, partner: string): boolean {
  if (stanza.kind !== "message" && stanza.kind !== "pushNotification") return false;
  return partner === "" || stanza.value.from?.eid === partner || stanza.value.to?.eid === partner;
}
