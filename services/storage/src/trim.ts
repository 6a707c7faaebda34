import { create, toBinary } from "@bufbuild/protobuf";
import { LogTrimmedSchema } from "@bimip/protocol";
import { type Link, type LogAdmin, SUBJECTS } from "@bimip/nats";
import type { UserRecord } from "./user-record.js";
import type { UserStore } from "./user-store.js";

export interface TrimParts {
  readonly link: Link;
  readonly store: UserStore;
  readonly admin: LogAdmin;
}

/** What is to go, and which log that was found out of. */
export interface Trim {
  readonly eid: string;
  /** Index of the newest entry that goes. */
  readonly upTo: number;
  readonly epoch: number;
  /** Nothing is trimmed unless the log was trimmed up to here; undefined = whatever was trimmed before. */
  readonly trimmedBefore?: number;
  /** Changed with the same write. */
  readonly also?: (record: UserRecord) => void;
}

/** What is gone. */
export interface Trimmed {
  readonly entries: number;
  readonly trimmedTo: number;
}

/**
 * Removes the oldest entries of a log, first from the record, then from the log: a device that comes in between is told of
 * a loss that is still to come, never the other way round. For the same reason gateways are told before the log is touched.
 * May be repeated. Undefined when the log was recreated meanwhile, or trimmed by another.
 *
 * @throws Error when the entries could not be removed: the next sweep of the retention does it
 */
export async function trim({ link, store, admin }: TrimParts, asked: Trim): Promise<Trimmed | undefined> {
  const { eid, upTo, epoch, trimmedBefore, also } = asked;
  const trimmedTo = await store.change(eid, (record) => {
    if (record.epoch !== epoch) return undefined;
    if (trimmedBefore !== undefined && record.trimmedTo !== trimmedBefore) return undefined;
    record.trimmedTo = Math.max(record.trimmedTo, upTo);
    also?.(record);
    return record.trimmedTo;
  });
  if (trimmedTo === undefined) return undefined;
  return { entries: trimmedTo > 0 ? await purgeTold({ link, admin }, eid, trimmedTo) : 0, trimmedTo };
}

/** Tells the gateways of the user what goes, and removes it; answers with how many entries that were. May be repeated. */
export async function purgeTold(
  { link, admin }: Pick<TrimParts, "link" | "admin">,
  eid: string,
  trimmedTo: number,
): Promise<number> {
  const told = create(LogTrimmedSchema, { trimmedTo: BigInt(trimmedTo) });
  link.nc.publish(SUBJECTS.trimmed(eid), toBinary(LogTrimmedSchema, told));
  return admin.purge(eid, trimmedTo);
}
