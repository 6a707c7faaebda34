/** What is known of one device of a user. Indexes belong to the log of `epoch`. */
export interface DeviceState {
  /** Acknowledged up to here; until the first acknowledgement, where the device began. */
  cursor: number;
  /** Whether the device ever acknowledged anything. */
  acknowledged: boolean;
  /** Handed over up to here. */
  handed: number;
  /** The log that the indexes belong to; not the record's: the log was recreated, and this device has yet to get on in it. */
  epoch: number;
  /** Epoch milliseconds. */
  readonly firstSeenMs: number;
  /** When it last had everything that was in the log, epoch milliseconds; 0 = nobody said so yet. */
  lastSeenMs: number;
  /** The browser's PushSubscription as JSON; "" = none. */
  subscription: string;
}

/** What storage keeps of one user. Within an epoch every number only grows, so merging in any order does no harm. */
export interface UserRecord {
  /** Creation time of the user's log in milliseconds; 0 = nothing was kept yet. */
  epoch: number;
  /** Highest index that any device acknowledged. */
  acked: number;
  /** Highest index answered with READ. */
  read: number;
  /** Handed to the push providers up to here. */
  pushed: number;
  /** Everything up to here was trimmed or erased. */
  trimmedTo: number;
  readonly devices: Map<string, DeviceState>;
}

/** A user has at most so many devices; the longest unseen is forgotten. */
export const MAX_DEVICES = 1_000;
/** nats-server takes values up to 1 MiB; beyond this the longest unseen devices are forgotten as well. */
const MAX_RECORD_BYTES = 768 * 1_024;

export function emptyRecord(): UserRecord {
  return { epoch: 0, acked: 0, read: 0, pushed: 0, trimmedTo: 0, devices: new Map() };
}

/**
 * Makes the record one of the log of `epoch`. Indexes of another log mean nothing, so they begin at 0 again; devices
 * keep the epoch that they know, which tells that they have yet to hear of it.
 */
export function moveToEpoch(record: UserRecord, epoch: number): void {
  if (record.epoch === epoch) return;
  record.epoch = epoch;
  record.acked = 0;
  record.read = 0;
  record.pushed = 0;
  record.trimmedTo = 0;
  for (const device of record.devices.values()) {
    device.cursor = 0;
    device.handed = 0;
  }
}

/** The highest index that this log is known to have reached, whatever is left of it. */
export function highestKnown(record: UserRecord): number {
  let highest = Math.max(record.acked, record.read, record.pushed, record.trimmedTo);
  for (const { cursor, handed } of record.devices.values()) highest = Math.max(highest, cursor, handed);
  return highest;
}

/** Adds a device, or answers with what is known of it. `cursor` and `nowMs`, when it is first seen, are for a new one. */
export function registerDevice(record: UserRecord, device: string, cursor: number, nowMs: number): DeviceState {
  let state = record.devices.get(device);
  if (state === undefined) {
    const { epoch } = record;
    state = {
      cursor,
      acknowledged: false,
      handed: 0,
      epoch,
      firstSeenMs: nowMs,
      lastSeenMs: 0,
      subscription: "",
    };
    record.devices.set(device, state);
  }
  return state;
}

/** How far a device got, in the log of the record's epoch. */
export interface DeviceReached {
  readonly device: string;
  readonly cursor: number;
  readonly handed: number;
  readonly read: number;
  /** When it had everything; 0 = not said. */
  readonly lastSeenMs: number;
}

/**
 * Takes over what is higher than what is kept. Of a device that is not known, since it was forgotten, only a cursor counts:
 * registered without one it would stand at the log's beginning, where only a user's first device does.
 */
export function mergeDevice(record: UserRecord, reached: DeviceReached, nowMs: number): void {
  const { device, cursor, handed, read, lastSeenMs } = reached;
  record.acked = Math.max(record.acked, cursor);
  record.read = Math.max(record.read, read);
  if (cursor === 0 && !record.devices.has(device)) return;
  const state = registerDevice(record, device, cursor, nowMs);
  state.cursor = Math.max(state.cursor, cursor);
  state.handed = Math.max(state.handed, handed);
  state.lastSeenMs = Math.max(state.lastSeenMs, lastSeenMs);
  if (cursor > 0) {
    state.epoch = record.epoch;
    state.acknowledged = true;
  }
}

/** The record as JSON, and the devices that were forgotten, the longest unseen first, so that it fits. */
export function encodeRecord(record: UserRecord): { bytes: Uint8Array; forgotten: string[] } {
  const forgotten: string[] = [];
  const bytes = toJson(record);
  let size = bytes.length;
  if (record.devices.size <= MAX_DEVICES && size <= MAX_RECORD_BYTES) return { bytes, forgotten };
  const seenMs = ({ firstSeenMs, lastSeenMs }: DeviceState): number => Math.max(firstSeenMs, lastSeenMs);
  const longestUnseenFirst = [...record.devices].sort(([, a], [, b]) => seenMs(a) - seenMs(b));
  for (const pair of longestUnseenFirst) {
    if (record.devices.size <= MAX_DEVICES && size <= MAX_RECORD_BYTES) break;
    record.devices.delete(pair[0]);
    forgotten.push(pair[0]);
    size -= Buffer.byteLength(JSON.stringify(pair));
  }
  return { bytes: toJson(record), forgotten };
}

function toJson(record: UserRecord): Uint8Array {
  // An array of pairs: as keys of an object, names such as "__proto__" would be lost.
  return Buffer.from(JSON.stringify({ ...record, devices: [...record.devices] }));
}

export function decodeRecord(bytes: Uint8Array): UserRecord {
  const parsed = JSON.parse(Buffer.from(bytes).toString()) as Omit<UserRecord, "devices"> & {
    devices: [string, DeviceState][];
  };
  return { ...parsed, devices: new Map(parsed.devices) };
}
