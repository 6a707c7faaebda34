import { fromBinary } from "@bufbuild/protobuf";
import { SessionClaimSchema, withIndexes } from "@bimip/protocol";
import { type Link, readEntryHeaders, SUBJECTS, USER_SUBJECT_KINDS } from "@bimip/nats";
import type { LiveEntry } from "./delivery.js";
import type { Session } from "./session.js";

interface User {
  readonly sessions: Map<string, Session>;
  readonly unsubscribe: () => void;
}

/**
 * The users whose devices this gateway holds: one NATS subscription each, made with the first device and dropped with
 * the last.
 */
export class Users {
  readonly #users = new Map<string, User>();
  readonly #link: Link;

  constructor(link: Link) {
    this.#link = link;
  }

  /** Resolves once live copies reach the session. A session of the same device is replaced. */
  async add(session: Session): Promise<void> {
    const user = this.#users.get(session.eid) ?? this.#subscribe(session.eid);
    const older = user.sessions.get(session.device);
    user.sessions.set(session.device, session); // first: the older one's end must find it, and leave the user in place
    older?.replace();
    await this.#link.nc.flush();
  }

  remove(session: Session): void {
    const user = this.#users.get(session.eid);
    if (user?.sessions.get(session.device) !== session) return;
    user.sessions.delete(session.device);
    if (user.sessions.size > 0) return;
    user.unsubscribe();
    this.#users.delete(session.eid);
  }

  *sessions(): Iterable<Session> {
    for (const user of this.#users.values()) yield* user.sessions.values();
  }

  #subscribe(eid: string): User {
    const sessions = new Map<string, Session>();
    const subscription = this.#link.nc.subscribe(SUBJECTS.user(eid), {
      callback: (error, message) => {
        if (error) return;
        const { subject } = message;
        const kind = subject.slice(subject.lastIndexOf(".") + 1);
        if (kind === USER_SUBJECT_KINDS.live) {
          const { sequence, lastSequence } = readEntryHeaders(message);
          fanOut(sessions, { index: sequence, previous: lastSequence, bytes: message.data });
        } else if (kind === USER_SUBJECT_KINDS.claim) {
          const claim = fromBinary(SessionClaimSchema, message.data);
          sessions.get(claim.device)?.onClaim(claim);
        }
      },
    });
    const user = { sessions, unsubscribe: () => subscription.unsubscribe() };
    this.#users.set(eid, user);
    return user;
  }
}

/** Devices that were told the same entry before get the same bytes: encoded once. */
function fanOut(sessions: ReadonlyMap<string, Session>, entry: LiveEntry): void {
  let lastPreviousId = -1;
  let frame: Uint8Array | undefined;
  const encode = (_entry: LiveEntry, previousId: number): Uint8Array => {
    if (frame === undefined || previousId !== lastPreviousId) {
      frame = withIndexes(entry.bytes, entry.index, previousId);
      lastPreviousId = previousId;
    }
    return frame;
  };
  for (const session of sessions.values()) session.delivery.onLive(entry, encode);
}
