import type { DeviceProgress, ProgressRequest, UserProgress } from "@bimip/protocol";
import { createTurns, type LogEpochs } from "@bimip/nats";
import type { StorageMetrics } from "./metrics.js";
import type { ReceiptStore } from "./receipt-store.js";
import { mergeDevice } from "./user-record.js";
import type { UserStore } from "./user-store.js";

export interface ProgressParts {
  readonly store: UserStore;
  readonly receipts: ReceiptStore;
  readonly epochs: LogEpochs;
  readonly metrics: StorageMetrics;
}

/** What one question says of one user. */
interface OfUser {
  readonly devices: DeviceProgress[];
  readonly users: UserProgress[];
}

/** Users written at once; more wait their turn. */
const MAX_CONCURRENT_USERS = 64;
const inTurn = createTurns(MAX_CONCURRENT_USERS);

/**
 * Merges how far devices and pushes got. All of it are maxima and sets: a question may be repeated as a whole, and is,
 * when a part of it fails.
 *
 * @throws AggregateError when some users could not be written; the others are
 */
export async function mergeProgress(parts: ProgressParts, request: ProgressRequest): Promise<Record<string, never>> {
  const results = await Promise.allSettled(
    [...byUser(request)].map(([eid, ofUser]) => inTurn(() => mergeUser(parts, eid, ofUser))),
  );
  const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
  if (failures.length > 0) throw new AggregateError(failures, `progress of ${failures.length} users not stored`);
  return {};
}

function byUser(request: ProgressRequest): Map<string, OfUser> {
  const users = new Map<string, OfUser>();
  const of = (eid: string): OfUser => {
    let ofUser = users.get(eid);
    if (ofUser === undefined) users.set(eid, (ofUser = { devices: [], users: [] }));
    return ofUser;
  };
  for (const device of request.devices) of(device.eid).devices.push(device);
  for (const user of request.users) of(user.eid).users.push(user);
  return users;
}

async function mergeUser({ store, receipts, epochs, metrics }: ProgressParts, eid: string, of: OfUser): Promise<void> {
  const told = new Set([...of.devices, ...of.users].map(({ epoch }) => Number(epoch)));
  const known = await epochs.of(eid);
  // Another epoch than the cache's is either the past's, or that of a log recreated within the last second.
  const epoch = told.size === 1 && told.has(known) ? known : await epochs.ask(eid);
  const devices = of.devices.filter((device) => Number(device.epoch) === epoch);
  const users = of.users.filter((user) => Number(user.epoch) === epoch);
  metrics.progressDropped.inc(of.devices.length + of.users.length - devices.length - users.length);
  const pushed = Math.max(0, ...users.map((user) => Number(user.pushed)));
  if (devices.length > 0 || pushed > 0) {
    await store.change(eid, (record) => {
      if (record.epoch !== epoch) return;
      for (const { device, cursor, handed, read, lastSeen } of devices) {
        const reached = { device, cursor: Number(cursor), handed: Number(handed), read: Number(read) };
        mergeDevice(record, { ...reached, lastSeenMs: Number(lastSeen) }, Date.now());
      }
      record.pushed = Math.max(record.pushed, pushed);
    });
  }
  const given = users.flatMap((user) => user.receipts);
  if (given.length > 0) await receipts.add(eid, epoch, given);
}
