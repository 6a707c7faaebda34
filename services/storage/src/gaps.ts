/** Why something past a device's position is gone. */
export type GapReason = "trimmed" | "expired" | "recreated";

export interface Gap {
  readonly reason: GapReason;
  /** In plain words, for `details` of the RESUME answer. */
  readonly text: string;
}

/** Where a device stands, and what is left of its log. */
export interface GapFacts {
  /** The device wants what lies behind this index. */
  readonly position: number;
  /** Everything up to here was trimmed or erased. */
  readonly trimmedTo: number;
  /** Oldest retained index, 0 = the log is empty. */
  readonly firstId: number;
  /** Highest index that was handed to the device. */
  readonly handed: number;
  /** When the device last had everything that was in the log; 0 = unknown. */
  readonly lastSeenMs: number;
  readonly nowMs: number;
  /** Age at which entries are dropped; 0 = never. */
  readonly maxAgeMs: number;
  /** Whether the entry at `position` is still in the log; asked only where it matters. */
  readonly entryKept: () => Promise<boolean>;
}

/**
 * Whether something past the device's position is gone. Trimming is recorded, so it is known for certain. What became
 * too old leaves no trace: it may be gone when the entry at the position is (entries go oldest first) and the device
 * has not been here, at the head, for longer than entries are kept, or had entries handed over that it never acknowledged.
 * Rather told once too often than never.
 */
export async function findGap(facts: GapFacts): Promise<Gap | undefined> {
  const { position, trimmedTo, firstId, handed, lastSeenMs, nowMs, maxAgeMs } = facts;
  if (position < trimmedTo) {
    return { reason: "trimmed", text: `entries after ${position} up to ${trimmedTo} were trimmed or erased` };
  }
  if (maxAgeMs === 0 || (firstId > 0 && firstId <= position)) return undefined;
  const left = firstId === 0 ? "none is left" : `the oldest left is ${firstId}`;
  const age = `entries older than ${seconds(maxAgeMs)} are dropped`;
  if (handed > position && (firstId === 0 || firstId > handed)) {
    return { reason: "expired", text: `entries after ${position} up to ${handed} are gone: ${age}, ${left}` };
  }
  const awayMs = lastSeenMs === 0 ? undefined : nowMs - lastSeenMs;
  if (awayMs !== undefined && awayMs <= maxAgeMs && handed <= position) return undefined;
  // Nothing stands at position 0, so what followed it may have gone unnoticed.
  if (position > 0 && (await facts.entryKept())) return undefined;
  const seen = awayMs === undefined ? "" : `, this device was last seen ${seconds(Math.max(awayMs, 0))} ago`;
  return { reason: "expired", text: `entries after ${position} may be gone: ${age}${seen}, ${left}` };
}

const seconds = (ms: number): string => `${Math.floor(ms / 1_000)} s`;
