import { AuthError } from "./auth-error.js";
import { type JsonObject, isJsonObject } from "./json-object.js";
import { hasRepeatedName } from "./repeated-name.js";

// Far above any real token; keeps a first frame of 64 KiB from being parsed for a stranger.
const maxTokenLength = 16_384;

const compactForm = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)$/;
const loneSurrogate = /\p{Surrogate}/u;
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A token in compact form, taken apart; nothing of it is verified. */
export interface TokenParts {
  readonly header: JsonObject;
  readonly payload: JsonObject;
  /** What was signed: all before the last dot. */
  readonly signed: string;
  readonly signature: Uint8Array;
}

/**
 * Any text in the parts is well formed: relayed to others, a lone surrogate or invalid UTF-8 would choke strict clients.
 * Nothing in them can be read in two ways: one spelling of the base64url, no name twice in an object.
 *
 * @throws AuthError naming the part at fault
 */
export function tokenParts(token: string): TokenParts {
  if (token.length > maxTokenLength) throw new AuthError("token", `is longer than ${maxTokenLength} characters`);
  const match = compactForm.exec(token);
  if (match === null) throw new AuthError("token", "is not a signed JWT");
  const [, header = "", payload = "", signature = ""] = match;
  return {
    header: readPart("header", header),
    payload: readPart("payload", payload),
    signed: token.slice(0, token.length - signature.length - 1),
    signature: readBase64("signature", signature),
  };
}

/** Bits that no byte takes are 0: otherwise one token would have several texts. */
function readBase64(part: string, base64: string): Buffer {
  const bytes = Buffer.from(base64, "base64url");
  if (bytes.toString("base64url") !== base64) throw new AuthError("token", `its ${part} is not base64url`);
  return bytes;
}

function readPart(part: string, base64: string): JsonObject {
  const bytes = readBase64(part, base64);
  let text: string;
  let value: unknown;
  try {
    text = strictUtf8.decode(bytes);
    // Valid UTF-8 holds no surrogate; an escape may.
    value = text.includes("\\u") ? JSON.parse(text, refuseLoneSurrogates) : JSON.parse(text);
  } catch (error) {
    if (error instanceof AuthError) throw error;
    throw new AuthError("token", `its ${part} is not JSON in UTF-8`, error);
  }
  if (!isJsonObject(value)) throw new AuthError("token", `its ${part} is not a JSON object`);
  if (hasRepeatedName(text, value)) throw new AuthError("token", `its ${part} says something twice`);
  return value;
}

function refuseLoneSurrogates(key: string, value: unknown): unknown {
  if (loneSurrogate.test(key)) throw new AuthError("token", "a name in it holds a lone surrogate");
  if (typeof value === "string" && loneSurrogate.test(value)) {
    throw new AuthError(/^[a-z_]{1,32}$/.test(key) ? key : "token", "holds a lone surrogate");
  }
  return value;
}
