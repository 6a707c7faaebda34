import { hash } from "node:crypto";

/**
 * The dedupe id of a log entry: base64url(SHA-256) of the length-prefixed log owner, kind, sender, id and status.
 *
 * JetStream dedupes per stream, not per subject, so the owner must be in it: without, a sender's own copy in the same
 * partition comes back as a duplicate and is not stored. Hashed because header values are trimmed and may not hold
 * CR or LF, while ids may hold spaces.
 */
export function entryId(owner: string, kind: string, sender: string, id: string, status = 0): string {
  const parts = `${owner.length}:${owner}${kind.length}:${kind}${sender.length}:${sender}${id.length}:${id}${status}`;
  return hash("sha256", parts, "base64url");
}
