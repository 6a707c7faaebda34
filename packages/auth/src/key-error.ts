/** Keys that cannot be used. The text says where they stand and why; it holds nothing of them. */
export class KeyError extends Error {
  override readonly name = "KeyError";
}
