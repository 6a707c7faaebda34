import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ContactRecord } from "@bimip/nats";
import { AwarenessStatus, type SnapshotRequest, type SnapshotResponseSchema } from "@bimip/protocol";
import { customBytes } from "../telling/awareness-bytes.js";
import type { ContactLists } from "../directory/contact-lists.js";
import { maySee } from "../contacts/who-may-see.js";
import type { Directory } from "../directory/directory.js";
import { stateBytes } from "../telling/teller.js";

export interface SnapshotHandlerOptions {
  readonly directory: Directory;
  readonly lists: ContactLists;
  /** Requests of others that wait for this user, as encoded AwarenessContacts. */
  readonly pendingRequests: (relations: Iterable<ContactRecord>) => Uint8Array[];
  readonly reached: (revision: number) => Promise<void>;
  /** The feed's position. */
  readonly position: () => number;
}

/** Contacts in one answer: what is told of each may fill three kilobytes, and NATS takes a megabyte. */
const PAGE_CONTACTS = 200;

/** Everything that a device of a user should know now. */
export function createSnapshotHandler({
  directory,
  lists,
  pendingRequests,
  reached,
  position,
}: SnapshotHandlerOptions): (request: SnapshotRequest) => Promise<MessageInitShape<typeof SnapshotResponseSchema>> {
  return async ({ eid, revision, after }) => {
    await reached(Number(revision));
    const list = await lists.of(eid);
    // From here on nothing is awaited: all of it is true at one position.
    const peers = [...list.keys()].filter((peer) => peer > after).sort();
    const page = peers.slice(0, PAGE_CONTACTS).map((peer) => list.get(peer) as ContactRecord);
    const entries: { eid: string; awareness: Uint8Array }[] = [];
    const add = (peer: string, all: readonly Uint8Array[]): void => {
      for (const awareness of all) entries.push({ eid: peer, awareness });
    };
    for (const record of page) {
      const visible = directory.visible(record.peer);
      if (maySee(record, visible.visibility)) add(record.peer, stateBytes(record.peer, visible));
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
