import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ContactRecord } from "@bimip/nats";
import { AwarenessStatus, type SnapshotRequest, type SnapshotResponseSchema } from "@bimip/protocol";
import { customBytes, stateBytes } from "../telling/awareness-bytes.js";
import type { ContactLists } from "../directory/contact-lists.js";
import { maySee } from "../contacts/who-may-see.js";
import type { Directory } from "../directory/directory.js";

export interface SnapshotHandlerOptions {
  readonly directory: Directory;
  readonly lists: ContactLists;
  /** Requests of others that wait for this user, as encoded AwarenessContacts. */
  readonly pendingRequests: (relations: Iterable<ContactRecord>) => Uint8Array[];
  /** Resolves once the feed told everything that stands now. */
  readonly caughtUp: () => Promise<void>;
  /** The feed's position. */
  readonly position: () => number;
}

/** A page ends after so many bytes, with one contact at least: NATS takes a megabyte. */
const PAGE_BYTES = 512 * 1_024;
/** What stands around each in the answer, and an EID. */
const ENTRY_BYTES = 300;

/** Everything that a device of a user should know now. */
export function createSnapshotHandler({
  directory,
  lists,
  pendingRequests,
  caughtUp,
  position,
}: SnapshotHandlerOptions): (request: SnapshotRequest) => Promise<MessageInitShape<typeof SnapshotResponseSchema>> {
  return async ({ eid, revision, after }) => {
    // Where the bucket was made anew it may never get so far again: then what stands is told, at its lower revision.
    if (position() < revision) await caughtUp();
    const list = await lists.of(eid);
    // From here on nothing is awaited: all of it is true at one position.
    const peers = [...list.keys()].filter((peer) => peer > after).sort();
    const page: ContactRecord[] = [];
    const entries: { eid: string; awareness: Uint8Array }[] = [];
    let bytes = 0;
    const add = (peer: string, all: readonly Uint8Array[]): void => {
      for (const awareness of all) {
        entries.push({ eid: peer, awareness });
        bytes += awareness.length + ENTRY_BYTES;
      }
    };
    for (const peer of peers) {
      if (bytes > PAGE_BYTES) break;
      const record = list.get(peer) as ContactRecord;
      const visible = directory.visible(peer);
      page.push(record);
      bytes += (record.otherRequest?.details.length ?? 0) * 3 + ENTRY_BYTES;
      if (maySee(record, visible.visibility)) add(peer, stateBytes(peer, visible));
    }
    const own = directory.visible(eid);
    if (after === "" && own.custom !== undefined && own.status !== AwarenessStatus.OFFLINE) {
      add(eid, [customBytes(eid, own, own.custom)]);
    }
    return {
      entries,
      revision: BigInt(position()),
      next: page.length < peers.length ? (page.at(-1)?.peer ?? "") : "",
      requests: pendingRequests(page),
    };
  };
}
