import { setTimeout as delay } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DeviceProgressSchema, ProgressRequestSchema, UserProgressSchema } from "@bimip/protocol";
import { call, type Link, PROCEDURES, sessionKey } from "@bimip/nats";

/** Whose progress it is; `logEpoch` names the log that the indexes belong to. */
export interface ProgressOwner {
  readonly eid: string;
  readonly device: string;
  readonly logEpoch: number;
}

/** Indexes reached; absent = as before. */
export interface Reached {
  readonly cursor?: number;
  readonly read?: number;
  readonly handed?: number;
  /** The device has all that its log holds: had it been away until now, nothing would have been missed. */
  readonly seen?: boolean;
}

export interface ProgressOptions {
  readonly link: Link;
  /** How long progress is gathered before it is stored. */
  readonly flushMs: number;
  readonly onError: (error: unknown) => void;
}

type DeviceChange = MessageInitShape<typeof DeviceProgressSchema>;
type UserChange = MessageInitShape<typeof UserProgressSchema>;

interface Batch {
  readonly devices: Map<string, Required<Omit<Reached, "seen">> & ProgressOwner & { lastSeenMs: number }>;
  /** Indexes of messages by status, by user. */
  readonly receipts: Map<string, { epoch: number; byStatus: Map<number, Set<number>> }>;
}

const TIMEOUT_MS = 2_000;
/** A device that comes back at once is not kept waiting for longer: what it acknowledged may come again then. */
const ENDING_MS = 1_000;
const RETRY_MS = 500;
/** Devices, and users with receipts, in one question; keeps it far below NATS's limit of 1 MiB. */
const MAX_PER_REQUEST = 500;
/** Receipts of one user and status that wait for storage, which keeps no more of them either. */
const MAX_RECEIPTS_KEPT = 4_096;
/** A receipt costs 8 bytes at most. */
const MAX_RECEIPTS_PER_REQUEST = 50_000;

/**
 * What devices acknowledged, on its way to storage. Gathered for a moment, since a device answers every message; kept
 * and sent again until storage has it. All of it only grows, so repeats and any order do no harm. What a killed gateway
 * still held is acknowledged anew by the devices, after a replay of just that.
 */
export class Progress {
  readonly #o: ProgressOptions;
  /** Receipts of ended sessions that are on their way, by device. */
  readonly #ending = new Map<string, Promise<void>>();
  #gathered: Batch = emptyBatch();
  #sending: Batch | undefined;
  #flushing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: ProgressOptions) {
    this.#o = options;
  }

  /**
   * A device got further, or was seen.
   *
   * @param last the session ended: the device may be at another gateway at once, so this is stored at once
   */
  device(owner: ProgressOwner, reached: Reached, last = false): void {
    const { eid, device, logEpoch } = owner;
    addDevice(this.#gathered, {
      eid,
      device,
      logEpoch,
      cursor: reached.cursor ?? 0,
      read: reached.read ?? 0,
      handed: reached.handed ?? 0,
      lastSeenMs: reached.seen === true ? Date.now() : 0,
    });
    if (last) this.#arm(0);
    else this.#arm(this.#o.flushMs);
  }

  /** A receipt for the message `index` of this user's log was stored in its author's log. */
  receiptGiven(owner: ProgressOwner, status: number, index: number): void {
    addReceipts(this.#gathered, owner.eid, owner.logEpoch, status, [index]);
    this.#arm(this.#o.flushMs);
  }

  /** A session of the device ended whose receipts are still on their way: they may move its cursor. */
  ending(eid: string, device: string, receipts: Promise<void>): void {
    const key = sessionKey(eid, device);
    this.#ending.set(key, receipts);
    void receipts.then(() => {
      if (this.#ending.get(key) === receipts) this.#ending.delete(key);
    });
  }

  /**
   * Resolves once what is gathered of this device is stored, or could not be at the first try; what an ended session has on its
   * way is waited for as well, for a moment.
   */
  async settled(eid: string, device: string): Promise<void> {
    const key = sessionKey(eid, device);
    const ending = this.#ending.get(key);
    if (ending !== undefined) await Promise.race([ending, delay(ENDING_MS, undefined, { ref: false })]);
    while (this.#gathered.devices.has(key) || this.#sending?.devices.has(key) === true) {
      if (!(await this.flush())) return;
    }
  }

  /** Has everything gathered stored. False when that failed; it is tried again by itself. */
  async flush(): Promise<boolean> {
    await this.#flushing;
    if (isEmpty(this.#gathered)) return true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#gathered;
    this.#gathered = emptyBatch();
    this.#sending = batch;
    const sending = this.#send(batch);
    this.#flushing = sending.then(() => undefined);
    const stored = await sending;
    this.#sending = undefined;
    this.#flushing = undefined;
    if (!stored) this.#arm(RETRY_MS);
    else if (!isEmpty(this.#gathered)) this.#arm(this.#o.flushMs);
    return stored;
  }

  #arm(ms: number): void {
    if (this.#flushing !== undefined || (this.#timer !== undefined && ms > 0)) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, ms);
    this.#timer.unref();
  }

  async #send(batch: Batch): Promise<boolean> {
    try {
      for (const request of requestsOf(batch)) await call(this.#o.link.nc, PROCEDURES.progress, request, TIMEOUT_MS);
      return true;
    } catch (error) {
      this.#o.onError(error);
      for (const device of batch.devices.values()) addDevice(this.#gathered, device);
      for (const [eid, { epoch, byStatus }] of batch.receipts) {
        for (const [status, indexes] of byStatus) addReceipts(this.#gathered, eid, epoch, status, indexes);
      }
      return false;
    }
  }
}

function emptyBatch(): Batch {
  return { devices: new Map(), receipts: new Map() };
}

function isEmpty({ devices, receipts }: Batch): boolean {
  return devices.size === 0 && receipts.size === 0;
}

function addDevice(batch: Batch, change: Batch["devices"] extends Map<string, infer V> ? V : never): void {
  const key = sessionKey(change.eid, change.device);
  const before = batch.devices.get(key);
  if (before === undefined || before.logEpoch < change.logEpoch) return void batch.devices.set(key, change);
  if (before.logEpoch > change.logEpoch) return;
  batch.devices.set(key, {
    ...change,
    cursor: Math.max(before.cursor, change.cursor),
    read: Math.max(before.read, change.read),
    handed: Math.max(before.handed, change.handed),
    lastSeenMs: Math.max(before.lastSeenMs, change.lastSeenMs),
  });
}

function addReceipts(batch: Batch, eid: string, epoch: number, status: number, indexes: Iterable<number>): void {
  let user = batch.receipts.get(eid);
  if (user === undefined || user.epoch < epoch) {
    user = { epoch, byStatus: new Map() };
    batch.receipts.set(eid, user);
  }
  if (user.epoch > epoch) return;
  let given = user.byStatus.get(status);
  if (given === undefined) user.byStatus.set(status, (given = new Set()));
  for (const index of indexes) {
    given.add(index);
    if (given.size <= MAX_RECEIPTS_KEPT) continue;
    for (const oldest of given) {
      given.delete(oldest);
      break;
    }
  }
}

function* requestsOf(batch: Batch): Iterable<MessageInitShape<typeof ProgressRequestSchema>> {
  let devices: DeviceChange[] = [];
  for (const { eid, device, logEpoch, cursor, handed, read, lastSeenMs } of batch.devices.values()) {
    devices.push({
      eid,
      device,
      cursor: BigInt(cursor),
      handed: BigInt(handed),
      read: BigInt(read),
      lastSeen: BigInt(lastSeenMs),
      epoch: BigInt(logEpoch),
    });
    if (devices.length < MAX_PER_REQUEST) continue;
    yield { devices };
    devices = [];
  }
  if (devices.length > 0) yield { devices };
  let users: UserChange[] = [];
  let waiting = 0;
  for (const [eid, { epoch, byStatus }] of batch.receipts) {
    for (const [status, indexes] of byStatus) {
      const all = [...indexes];
      for (let at = 0; at < all.length; at += MAX_RECEIPTS_PER_REQUEST) {
        const part = all.slice(at, at + MAX_RECEIPTS_PER_REQUEST);
        users.push({ eid, epoch: BigInt(epoch), receipts: [{ status, indexes: part.map(BigInt) }] });
        waiting += part.length;
        if (users.length < MAX_PER_REQUEST && waiting < MAX_RECEIPTS_PER_REQUEST) continue;
        yield { users };
        users = [];
        waiting = 0;
      }
    }
  }
  if (users.length > 0) yield { users };
}
