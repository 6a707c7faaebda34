import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ResumeRequest, ResumeResponseSchema } from "@bimip/protocol";
import type { LogEpochs, LogReader } from "@bimip/nats";
import { findGap, type Gap } from "./gaps.js";
import type { StorageMetrics } from "./metrics.js";
import { type DeviceState, highestKnown, registerDevice, type UserRecord } from "./user-record.js";
import type { UserStore } from "./user-store.js";

export interface ResumeParts {
  readonly store: UserStore;
  readonly reader: LogReader;
  readonly epochs: LogEpochs;
  readonly metrics: StorageMetrics;
  /** Age at which log entries are dropped; 0 = never. */
  readonly maxAgeMs: number;
}

type ResumeAnswer = MessageInitShape<typeof ResumeResponseSchema>;

/** A log that is recreated while we look at it: look again. */
const MAX_TRIES = 5;
const EVERYTHING = -1;
const STORED_CURSOR = 0;

interface Bounds {
  readonly firstId: number;
  readonly logHead: number;
}

/** The stored record, and what the log's leader says, of one and the same log. */
interface Snapshot extends Bounds {
  readonly record: UserRecord;
}

/**
 * Where a device goes on: RESUME and every connect. Records a new device. A gap is told at every resume until the device
 * acknowledged something behind it: an answer may be lost on its way.
 */
export async function resume(parts: ResumeParts, request: ResumeRequest): Promise<ResumeAnswer> {
  const { eid, device } = request;
  const after = Number(request.after);
  const nowMs = Number(request.timestamp) || Date.now();
  const { record, firstId, logHead } = await look(parts, eid);
  const known = record.devices.get(device);
  const state =
    known !== undefined && !asksForEarlier(known, after)
      ? known
      : await parts.store.change(eid, (latest) => ({ ...begin(latest, device, after, nowMs, logHead) }));
  const head = Math.max(logHead, highestKnown(record));
  const recreated = known !== undefined && known.epoch !== record.epoch;
  const answer = {
    firstId: BigInt(firstId),
    head: BigInt(head),
    epoch: BigInt(record.epoch),
    handed: BigInt(state.handed),
  };
  if (after > 0 && request.epoch > 0n && Number(request.epoch) !== record.epoch) {
    // Refused before anything is handed over: in another log that index would be somewhere in the middle.
    parts.metrics.gapsTold.inc({ reason: "recreated" });
    const details = `index ${after} is one of another log: ${recreation(record.epoch).text}`;
    return { ...answer, after: BigInt(head), beyondHead: true, details };
  }
  if (after > head && !recreated) {
    const details = `index ${after} lies beyond the head of the log, ${head}`;
    return { ...answer, after: BigInt(head), beyondHead: true, details };
  }
  const position = recreated ? 0 : positionOf(after, state);
  const gaps: Gap[] = recreated ? [recreation(record.epoch)] : [];
  const gap = await findGap({
    position,
    trimmedTo: record.trimmedTo,
    firstId,
    handed: after === EVERYTHING ? position : Math.max(state.handed, position),
    lastSeenMs: known === undefined ? seenOfNew(after, nowMs) : after === EVERYTHING ? nowMs : known.lastSeenMs,
    nowMs,
    maxAgeMs: parts.maxAgeMs,
    entryKept: async () => (await parts.reader.entry(eid, position)) !== undefined,
  });
  if (gap !== undefined) gaps.push(gap);
  for (const { reason } of gaps) parts.metrics.gapsTold.inc({ reason });
  return { ...answer, after: BigInt(position), details: gaps.map(({ text }) => text).join("; ") };
}

async function look({ store, reader, epochs }: ResumeParts, eid: string): Promise<Snapshot> {
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    try {
      const before = await epochs.of(eid);
      const [firstId, logHead] = await Promise.all([reader.first(eid), reader.head(eid)]);
      // Indexes beyond the head: everything became too old, or this is another log than the cache knows.
      const record = await store.read(eid);
      if (highestKnown(record) > logHead && (await epochs.ask(eid)) !== record.epoch) continue;
      if (record.epoch === before) return { record, firstId, logHead };
    } catch (error) {
      epochs.forget();
      throw error;
    }
  }
  throw new Error("the log is being recreated");
}

/**
 * A user's first device ever begins at the log's beginning, a further one at the head, or earlier if it asks for that before
 * it acknowledged anything. What it asks for never moves a cursor forwards: only acknowledgements do.
 */
function begin(record: UserRecord, device: string, after: number, nowMs: number, logHead: number): DeviceState {
  const cursor = record.devices.size === 0 ? 0 : Math.max(logHead, record.trimmedTo);
  const isNew = !record.devices.has(device);
  const state = registerDevice(record, device, cursor, nowMs);
  // At the head there is nothing that it has yet to get.
  if (isNew && cursor >= logHead) state.lastSeenMs = nowMs;
  if (asksForEarlier(state, after)) {
    state.cursor = Math.max(after, 0);
    state.lastSeenMs = 0;
  }
  return state;
}

function asksForEarlier({ acknowledged, cursor }: DeviceState, after: number): boolean {
  return after !== STORED_CURSOR && !acknowledged && after < cursor && cursor > 0;
}

function positionOf(after: number, state: DeviceState): number {
  if (after === STORED_CURSOR) return state.cursor;
  return Math.max(after, 0);
}

/** A device without a position of its own misses nothing that went before its time; one that names an index may. */
function seenOfNew(after: number, nowMs: number): number {
  return after > 0 ? 0 : nowMs;
}

function recreation(epoch: number): Gap {
  const since = new Date(epoch).toISOString();
  return {
    reason: "recreated",
    text: `the log was recreated at ${since}: indexes from before mean nothing, what it holds since follows`,
  };
}
