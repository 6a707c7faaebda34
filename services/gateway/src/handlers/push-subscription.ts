import { BimipError, ErrorCode } from "@bimip/protocol";
import { isAllowedEndpoint } from "@bimip/runtime";

const MAX_BYTES = 4_096;
/** An uncompressed point on P-256, and the authentication secret: RFC 8291, 3.1 and 3.2. */
const KEY_BYTES = { p256dh: 65, auth: 16 } as const;
const BASE64URL = /^[A-Za-z0-9_-]+={0,2}$/;

/**
 * Reads a browser's PushSubscription (`data` of Query PUSH_SUBSCRIBE, JSON) and returns just what sending needs of it, as JSON.
 * Throws a BimipError 422 naming the field.
 *
 * @param hosts push services that are allowed, as in BIMIP_WEBPUSH_HOSTS
 */
export function readPushSubscription(data: Uint8Array, hosts: readonly string[]): string {
  if (data.length > MAX_BYTES) throw wrong("", `has ${data.length} bytes, at most ${MAX_BYTES} are allowed`);
  const { endpoint, keys } = asObject("", parse(data));
  const { p256dh, auth } = asObject("keys", keys);
  return JSON.stringify({
    endpoint: readEndpoint(endpoint, hosts),
    keys: { p256dh: readKey("p256dh", p256dh), auth: readKey("auth", auth) },
  });
}

function parse(data: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch (cause) {
    throw wrong("", "is not JSON", cause);
  }
}

function asObject(path: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(path, "is not an object");
  return value as Readonly<Record<string, unknown>>;
}

function readEndpoint(value: unknown, hosts: readonly string[]): string {
  if (typeof value === "string" && isAllowedEndpoint(value, hosts)) return new URL(value).href;
  throw wrong("endpoint", "is not the https address of a push service that is allowed here");
}

function readKey(name: keyof typeof KEY_BYTES, value: unknown): string {
  const key = typeof value === "string" && BASE64URL.test(value) ? Buffer.from(value, "base64url") : undefined;
  if (key?.length === KEY_BYTES[name]) return key.toString("base64url");
  throw wrong(`keys.${name}`, `is not base64url of ${KEY_BYTES[name]} bytes`);
}

function wrong(path: string, text: string, cause?: unknown): BimipError {
  const field = path === "" ? "query.data" : `query.data.${path}`;
  return new BimipError(ErrorCode.FIELD_WRONG, `${field}: ${text}`, { field, cause });
}
