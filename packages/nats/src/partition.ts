const encoder = new TextEncoder();

/**
 * The log partition of an EID: FNV-1a (32 bit) of its UTF-8 bytes, modulo the number of partitions. Must never
 * change: it decides where a user's log is found.
 */
export function partitionOf(eid: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (const byte of encoder.encode(eid)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  return (hash >>> 0) % partitions;
}
