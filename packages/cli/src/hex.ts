/** The bytes of hex text: pairs of digits, perhaps with 0x before and blanks, commas or colons between; else undefined. */
export function hexToBytes(text: string): Uint8Array | undefined {
  const digits = text.replaceAll(/0x/gi, "").replaceAll(/[\s,:]/g, "");
  if (digits === "" || digits.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(digits)) return undefined;
  return new Uint8Array(Buffer.from(digits, "hex"));
}
