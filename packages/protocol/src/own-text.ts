const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The same text in memory of its own. V8 lets a slice of a longer text keep all of that, so whoever keeps an id out of a
 * message's headers, or a device out of a request, would keep the whole block, which may hold a token. For texts without
 * lone surrogates.
 */
export function ownText(text: string): string {
  return decoder.decode(encoder.encode(text));
}
