import { concat, parseWire, type WireField, writeWire } from "../fuzz/wire-tree.js";

/** UTF-8 of a text, with lone surrogates as the three bytes that no UTF-8 has: what a careless client would send. */
export function carelessUtf8(text: string): Uint8Array {
  return concat(
    Array.from(text, (character) => {
      const unit = character.codePointAt(0) ?? 0;
      if (unit < 0xd800 || unit > 0xdfff) return Buffer.from(character);
      return Uint8Array.of(0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f));
    }),
  );
}

/** The same frame with another text in place of one that stands in it. @throws Error when it does not */
export function withText(frame: Uint8Array, placeholder: string, text: string): Uint8Array {
  const tree = parseWire(frame);
  const wanted = Buffer.from(placeholder);
  let found = 0;
  const visit = (fields: readonly WireField[]): void => {
    for (const field of fields) {
      if (field.type === 2 && Buffer.from(field.bytes).equals(wanted)) {
        found++;
        field.bytes = carelessUtf8(text);
        field.children = undefined;
      } else if (field.children !== undefined) visit(field.children);
    }
  };
  if (tree !== undefined) visit(tree);
  if (tree === undefined || found === 0) throw new Error(`${placeholder} does not stand in the frame`);
  return writeWire(tree);
}
