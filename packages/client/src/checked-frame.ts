import { encodeStanza, type Stanza, type StanzaKind, type StanzaValue, validateStanza } from "@bimip/protocol";

/** The frame of a stanza as a client may send it. Throws the BimipError 422 that names the field at fault. */
export function checkedFrame<K extends StanzaKind>(kind: K, value: StanzaValue<K>): Uint8Array {
  const problem = validateStanza({ kind, value } as unknown as Stanza);
  if (problem !== undefined) throw problem;
  return encodeStanza(kind, value);
}
