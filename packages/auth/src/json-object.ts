/** A JSON object as it stood in a token or a key. Its members are read with `Object.hasOwn`: never Object.prototype's. */
export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
