/** What JetStream answers to a publish. */
export type PubAck =
  | { readonly ok: true; readonly sequence: number; readonly duplicate: boolean }
  | { readonly ok: false; readonly retryable: boolean; readonly reason: string };

const SEQ = '"seq":';

/** JetStream error codes after which the same publish can never succeed. Everything else is tried again. */
const HOPELESS = new Set([
  10054, // message size exceeds maximum allowed
  10109, // stream is sealed
  10107, // expected stream does not match
  10026, // bad request
]);

/**
 * Reads a PubAck (`{"stream":"LOG_0","seq":7,"duplicate":true}` or `{"error":{…}}`) without building the object in
 * the good case: at 2 PubAcks a message it is on the hot path.
 */
export function parsePubAck(data: Uint8Array): PubAck {
  const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("latin1");
  const at = text.indexOf(SEQ);
  if (at > 0 && !text.includes('"error"')) {
    const sequence = Number.parseInt(text.slice(at + SEQ.length), 10);
    if (sequence > 0) return { ok: true, sequence, duplicate: text.includes('"duplicate":true') };
  }
  return refused(text);
}

function refused(text: string): PubAck {
  try {
    const { error } = JSON.parse(text) as { error?: { code?: number; err_code?: number; description?: string } };
    const code = error?.err_code ?? 0;
    return { ok: false, retryable: !HOPELESS.has(code), reason: `${error?.description ?? "no reason"} (${code})` };
  } catch {
    return { ok: false, retryable: true, reason: "unreadable PubAck" };
  }
}
