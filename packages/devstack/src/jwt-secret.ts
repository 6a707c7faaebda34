import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { readIfThere } from "./files.js";

const SECRET_BYTES = 32;

/**
 * The key that tokens are signed with, kept in a file only its owner may read: read, or made (32 random bytes as
 * base64url, 43 characters) when there is none.
 */
export async function keptJwtSecret(path: string): Promise<string> {
  const kept = (await readIfThere(path))?.trim();
  if (kept === undefined) {
    const secret = randomBytes(SECRET_BYTES).toString("base64url");
    await writeFile(path, `${secret}\n`, { mode: 0o600, flag: "wx" });
    return secret;
  }
  if (Buffer.byteLength(kept) < SECRET_BYTES) {
    throw new Error(`${path} holds a secret of less than ${SECRET_BYTES} bytes: delete it, and a new one is made`);
  }
  return kept;
}
