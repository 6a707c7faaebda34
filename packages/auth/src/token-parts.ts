import { AuthError } from "./auth-error.js";

/** A JSON object as it stood in a token. */
export type JsonObject = Readonly<Record<string, unknown>>;

// Far above any real token; keeps a first frame of 64 KiB from being parsed for a stranger.
const maxTokenLength = 16_384;

const compactForm = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*$/;
const loneSurrogate = /\p{Surrogate}/u;
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Header and claims of a token in compact form, not verified. Any text in them is well formed: relayed to others, a
 * lone surrogate or invalid UTF-8 would choke strict clients.
 *
 * @throws AuthError naming the part at fault
 */
export function tokenParts(token: string): { readonly header: JsonObject; readonly payload: JsonObject } {
  if (token.length > maxTokenLength) throw new AuthError("token", `is longer than ${maxTokenLength} characters`);
  const match = compactForm.exec(token);
  if (match === null) throw new AuthError("token", "is not a signed JWT");
  return { header: readPart("header", match[1] ?? ""), payload: readPart("payload", match[2] ?? "") };
}

function readPart(part: string, base64: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(strictUtf8.decode(Buffer.from(base64, "base64url")), refuseLoneSurrogates);
  } catch (error) {
    if (error instanceof AuthError) throw error;
    throw new AuthError("token", `its ${part} is not JSON in UTF-8`, error);
  }
  if (!isJsonObject(value)) throw new AuthError("token", `its ${part} is not a JSON object`);
  return value;
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function refuseLoneSurrogates(key: string, value: unknown): unknown {
  if (loneSurrogate.test(key)) throw new AuthError("token", "a name in it holds a lone surrogate");
  if (typeof value === "string" && loneSurrogate.test(value)) {
    throw new AuthError(/^[a-z_]{1,32}$/.test(key) ? key : "token", "holds a lone surrogate");
  }
  return value;
}
