import { encodeStanza, ErrorMessageSchema, SignalSchema, SignalStatus } from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Entry, type Stored, withIndexes } from "./fake-log.js";

/** An entry as it is handed to a device that was told `previous` last. */
export function entryFrame(entry: Entry, previous: number): Uint8Array {
  return encodeStored(withIndexes(entry, previous));
}

/** What is answered with an error: its code, or that and its words. */
export type Refusal = number | { readonly code: number; readonly details: string };

/** An ErrorMessage about the stanza of that id. */
export function errorFrame(refusal: Refusal, id: string): Uint8Array {
  const { code, details } = typeof refusal === "number" ? { code: refusal, details: `fate ${refusal}` } : refusal;
  return encodeStanza("error", create(ErrorMessageSchema, { code, details, id }));
}

/** What a gateway says of a log by RESUME; `init` over what it would say. */
export function resumeFrame(log: readonly Entry[], init: MessageInitShape<typeof SignalSchema>): Uint8Array {
  const signal = create(SignalSchema, {
    status: SignalStatus.RESUME,
    monotonicId: BigInt(log.at(-1)?.index ?? 0),
    firstId: BigInt(log[0]?.index ?? 0),
    ...init,
  });
  return encodeStanza("signal", signal);
}

function encodeStored({ kind, value }: Stored): Uint8Array {
  return encodeStanza(kind, value as never);
}
