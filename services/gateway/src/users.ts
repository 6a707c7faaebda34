import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Msg } from "@nats-io/nats-core";
import {
  EndRequestSchema,
  EndResponseSchema,
  LogoutSchema,
  LogTrimmedSchema,
  SessionClaimSchema,
  withIndexes,
} from "@bimip/protocol";
import { answer, type Link, readEntryHeaders, SUBJECTS, USER_SUBJECT_KINDS } from "@bimip/nats";
import type { LiveEntry } from "./delivery-options.js";
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

  eids(): string[] {
    return [...this.#users.keys()];
  }

  sessionsOf(eid: string): Iterable<Session> {
    return this.#users.get(eid)?.sessions.values() ?? [];
  }

  sessionOf(eid: string, device: string): Session | undefined {
    return this.#users.get(eid)?.sessions.get(device);
  }

  *sessions(): Iterable<Session> {
    for (const user of this.#users.values()) yield* user.sessions.values();
  }

  #subscribe(eid: string): User {
    const sessions = new Map<string, Session>();
    const subscription = this.#link.nc.subscribe(SUBJECTS.user(eid), {
      callback: (error, message) => {
        if (error === null) take(sessions, message);
      },
    });
    const user = { sessions, unsubscribe: () => subscription.unsubscribe() };
    this.#users.set(eid, user);
    return user;
  }
}

/** What comes on a user's subjects. */
function take(sessions: ReadonlyMap<string, Session>, message: Msg): void {
  const { subject } = message;
  switch (subject.slice(subject.lastIndexOf(".") + 1)) {
    case USER_SUBJECT_KINDS.live: {
      const { sequence, lastSequence } = readEntryHeaders(message);
      return fanOut(sessions, { index: sequence, previous: lastSequence, bytes: message.data });
    }
    case USER_SUBJECT_KINDS.stanza:
      for (const session of sessions.values()) session.onLiveStanza(message.data);
      return;
    case USER_SUBJECT_KINDS.claim: {
      const claim = fromBinary(SessionClaimSchema, message.data);
      return sessions.get(claim.device)?.fence.onClaim(claim);
    }
    case USER_SUBJECT_KINDS.end:
      return endSession(sessions, message);
    case USER_SUBJECT_KINDS.probe:
      answer(message, String(sessions.size));
      return;
    case USER_SUBJECT_KINDS.trimmed: {
      const { trimmedTo } = fromBinary(LogTrimmedSchema, message.data);
      for (const session of sessions.values()) session.delivery.onTrimmed(Number(trimmedTo));
    }
  }
}

/** Whoever holds the session ends it, and says so; the others leave the question unanswered. */
function endSession(sessions: ReadonlyMap<string, Session>, message: Msg): void {
  const { device, sessionId, logout } = fromBinary(EndRequestSchema, message.data);
  const session = sessions.get(device);
  if (session?.id !== sessionId) return;
  session.logOut(fromBinary(LogoutSchema, logout));
  answer(message, toBinary(EndResponseSchema, create(EndResponseSchema)));
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
