import { batchGet } from "./batch-get.js";
import type { Link } from "./connect.js";

const PAGE_ENTRIES = 1_000;
const PAGE_BYTES = 512 * 1_024;

/**
 * Reads the values of a bucket's keys that match `filter`, in the order of their revisions, by batched direct gets. May come
 * from a replica that lags. Rejects with an Error when NATS does not answer.
 *
 * @param filter a key, or a pattern with `*` and `>`
 */
export async function scanBucket(
  link: Link,
  bucket: string,
  filter: string,
  onValue: (bytes: Uint8Array, revision: number) => void,
): Promise<void> {
  const keys = { stream: `KV_${bucket}`, subject: `$KV.${bucket}.${filter}` };
  for (let after = 0; ; ) {
    let count = 0;
    let size = 0;
    const page = { ...keys, from: { after }, limit: PAGE_ENTRIES, maxBytes: PAGE_BYTES };
    await batchGet(link, page, (revision, { data }) => {
      after = revision;
      count++;
      size += data.length;
      if (data.length > 0) onValue(data, revision); // a deleted key holds nothing
    });
    if (count < PAGE_ENTRIES && size < PAGE_BYTES / 2) return;
  }
}
