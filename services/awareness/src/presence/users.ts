import { awarenessUserKey } from "@bimip/nats";
import { type Changed, changeRecord, type RecordBucket } from "../directory/cas-change.js";
import type { Revised } from "../directory/directory.js";
import { type CustomStatus, DEFAULT_VISIBILITY, type UserRecord } from "../directory/user-record.js";

export interface UsersOptions {
  /** BIMIP_AWARENESS. */
  readonly bucket: RecordBucket;
  /** What is known from memory. */
  readonly known: (eid: string) => Revised<UserRecord> | undefined;
  /** This replica's name: who writes tells. */
  readonly replica: string;
}

/** What users set for all their devices. Every write is a compare-and-set. */
export class Users {
  readonly #o: UsersOptions;

  constructor(options: UsersOptions) {
    this.#o = options;
  }

  setVisibility(eid: string, device: string, visibility: number): Promise<Changed<UserRecord>> {
    return this.#change(eid, device, (current) =>
      current.visibility === visibility ? undefined : { ...current, visibility },
    );
  }

  setCustom(eid: string, device: string, custom: CustomStatus): Promise<Changed<UserRecord>> {
    return this.#change(eid, device, (current) => ({ ...current, custom }));
  }

  /** The device has nothing special to say any more. */
  clearCustom(eid: string, device: string): Promise<Changed<UserRecord>> {
    return this.#change(eid, device, (current) => (current.custom === null ? undefined : { ...current, custom: null }));
  }

  /** What was said holds no longer. */
  async expireCustom(eid: string): Promise<void> {
    await this.#change(eid, "", (current) => {
      const untilMs = current.custom?.untilMs ?? 0;
      return untilMs === 0 || untilMs > Date.now() ? undefined : { ...current, custom: null };
    });
  }

  #change(
    eid: string,
    device: string,
    next: (current: UserRecord) => UserRecord | undefined,
  ): Promise<Changed<UserRecord>> {
    const { bucket, known, replica } = this.#o;
    return changeRecord(bucket, awarenessUserKey(eid), known(eid), (current) => {
      const changed = next(current ?? { eid, visibility: DEFAULT_VISIBILITY, custom: null, device, by: replica });
      return changed === undefined ? undefined : { ...changed, device, by: replica };
    });
  }
}
