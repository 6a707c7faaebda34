import { createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import { publicJwk } from "./jwk.js";
import { isJsonObject } from "./json-object.js";
import { KeyError } from "./key-error.js";
import { algorithmOf } from "./key-material.js";
import { checkPublic, type KeyReading, readKeySet } from "./key-set.js";
import type { VerificationKey } from "./verification-key.js";

const pemBlock = /-----BEGIN ([A-Z0-9 ]+)-----[^-]+-----END \1-----/g;
const publicLabels = ["PUBLIC KEY", "RSA PUBLIC KEY"];

/**
 * The keys of a key file: PEM (public keys, or one certificate, whose key counts while the certificate is valid), a JWK, or
 * a JWKS. Keys of a PEM have no name.
 *
 * @throws KeyError where nothing in it can be used, or it holds a private key
 */
export function readKeyText(text: string, nowMs = Date.now()): KeyReading {
  const trimmed = text.trim();
  if (!trimmed.startsWith("{")) return { keys: readPem(trimmed, nowMs), skipped: [] };
  const json = parseJson(trimmed);
  if (isJsonObject(json) && Object.hasOwn(json, "keys")) return readKeySet(json, { secrets: true });
  checkPublic(json, { secrets: true });
  return { keys: [publicJwk(json)], skipped: [] };
}

/** What JSON.parse says of a text repeats some of it, and this one may hold a secret. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new KeyError("is not JSON");
  }
}

function readPem(text: string, nowMs: number): VerificationKey[] {
  const blocks = [...text.matchAll(pemBlock)].map(([block, label = ""]) => ({ block, label }));
  if (blocks.length === 0) throw new KeyError("holds neither a PEM nor a JWK nor a JWKS");
  // Of a chain only the first would be the one that signs tokens; which is first, people get wrong.
  if (blocks.length > 1 && blocks.some(({ label }) => label === "CERTIFICATE")) {
    throw new KeyError("holds more beside a certificate; only the one whose key signs tokens belongs here");
  }
  return blocks.map(({ block, label }) => readBlock(block, label, nowMs));
}

function readBlock(block: string, label: string, nowMs: number): VerificationKey {
  if (label.endsWith("PRIVATE KEY")) {
    throw new KeyError("holds a private key; only the public part belongs here");
  }
  if (label === "CERTIFICATE") return readCertificate(block, nowMs);
  if (!publicLabels.includes(label)) throw new KeyError(`holds a PEM of another kind: ${label}`);
  return nameless(readable(() => createPublicKey(block)));
}

function readCertificate(block: string, nowMs: number): VerificationKey {
  const certificate = readable(() => new X509Certificate(block));
  const fromMs = Date.parse(certificate.validFrom);
  const untilMs = Date.parse(certificate.validTo);
  if (nowMs >= untilMs) throw new KeyError(`holds a certificate that has expired on ${certificate.validTo}`);
  return { ...nameless(certificate.publicKey), fromMs, untilMs };
}

function nameless(key: KeyObject): VerificationKey {
  return { kid: undefined, algorithm: algorithmOf(key), key };
}

function readable<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new KeyError("holds a PEM that cannot be read", { cause });
  }
}
