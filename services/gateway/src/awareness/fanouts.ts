import {
  AwarenessFanoutSchema,
  AwarenessType,
  encodePayload,
  LocationStreamSchema,
  type StanzaKind,
} from "@bimip/protocol";
import { fromBinary } from "@bufbuild/protobuf";
import type { GatewayMetrics } from "../metrics.js";
import type { Session } from "../session.js";
import type { Users } from "../users.js";
import { SharedBodies } from "./bodies.js";
import { Change } from "./change.js";
import { Lately } from "./lately.js";
import { Numbered } from "./numbered.js";
import type { SessionAwareness } from "./session-awareness.js";

type Metrics = Pick<GatewayMetrics, "fanouts" | "fanoutsLost" | "awarenessDelivered" | "awarenessOld">;

const { PRESENCE, STATUS } = AwarenessType;
/** What comes later than this after a newer one is not known any more to be old. */
const REMEMBER_MS = 10_000;

/** Hands on what awareness tells to the users whose devices this gateway holds: encoded once, for however many. */
export class Fanouts {
  readonly #users: Users;
  readonly #metrics: Metrics;
  /** By AwarenessType: a change of one type says nothing of the other. */
  readonly #lately: Readonly<Record<number, Lately<Session>>> = {
    [PRESENCE]: new Lately<Session>(),
    [STATUS]: new Lately<Session>(),
  };
  readonly #positions = new Lately<Session>();
  readonly #numbered = new Numbered();
  readonly #onLost: () => void;
  readonly #ageing: NodeJS.Timeout;
  #highest = 0;
  /** Sessions that gathered changes in this turn of the event loop. */
  #gathering: SessionAwareness[] = [];

  /** @param onLost messages got lost on their way here */
  constructor(users: Users, metrics: Metrics, onLost: () => void) {
    this.#users = users;
    this.#metrics = metrics;
    this.#onLost = onLost;
    this.#ageing = setInterval(() => {
      for (const lately of Object.values(this.#lately)) lately.age();
      this.#positions.age();
    }, REMEMBER_MS);
    this.#ageing.unref();
  }

  /** Highest revision that came. */
  get highest(): number {
    return this.#highest;
  }

  /** The order of revisions begins anew. */
  restart(): void {
    this.#highest = 0;
    for (const lately of Object.values(this.#lately)) lately.clear();
    this.#positions.clear();
  }

  /** @param bytes AwarenessFanout */
  take(bytes: Uint8Array): void {
    const fanout = fromBinary(AwarenessFanoutSchema, bytes);
    const { to, eid, notDevice, revision, asBody, stanza, replica, number } = fanout;
    if (number > 0n && !this.#numbered.take(replica, Number(number), stanza.case === undefined)) {
      this.#metrics.fanoutsLost.inc();
      this.#onLost();
    }
    if (stanza.case === undefined) return;
    this.#metrics.fanouts.inc({ kind: stanza.case });
    const sessions = this.#sessionsOf(to, eid, notDevice);
    switch (stanza.case) {
      case "awareness": {
        const change = new Change({ about: eid, revision: Number(revision), payload: stanza.value, asBody });
        this.#highest = Math.max(this.#highest, change.revision);
        const current = this.#unlessOld(this.#lately[change.type], sessions, eid, change.revision);
        for (const session of change.endsAll ? this.#ended(change, current) : current) session.awareness.take(change);
        return;
      }
      case "location": {
        const frame = encodePayload("locationStream", stanza.value);
        // Each device of a user has its own order.
        const device = fromBinary(LocationStreamSchema, stanza.value).from?.connectionResourceId ?? "";
        const where = `${device.length}:${device}${eid}`;
        for (const session of this.#unlessOld(this.#positions, sessions, where, Number(revision))) {
          session.awareness.sendLive(frame);
        }
        return;
      }
      case "contact":
        return sendAll(sessions, "awarenessContact", stanza.value);
      case "visibility":
        return sendAll(sessions, "awarenessVisibility", stanza.value);
    }
  }

  /** Has the session send what it gathered when this turn of the event loop is over. */
  flushLater(awareness: SessionAwareness): void {
    if (this.#gathering.length === 0) setImmediate(this.#flush);
    this.#gathering.push(awareness);
  }

  stop(): void {
    clearInterval(this.#ageing);
  }

  readonly #flush = (): void => {
    const gathering = this.#gathering;
    this.#gathering = [];
    const bodies = new SharedBodies();
    let delivered = 0;
    for (const awareness of gathering) delivered += awareness.flush(bodies);
    this.#metrics.awarenessDelivered.inc(delivered);
  };

  #sessionsOf(to: readonly string[], about: string, notDevice: string): Session[] {
    const sessions: Session[] = [];
    for (const eid of to) {
      for (const session of this.#users.sessionsOf(eid)) {
        if (eid !== about || session.device !== notDevice) sessions.push(session);
      }
    }
    return sessions;
  }

  /**
   * Those whom a change that ends what was said before may be told to; notes that older ones of the other type may not any
   * more. To who knows of a newer status it would end that one: a snapshot tells how both stand.
   */
  #ended({ about, revision }: Change, sessions: readonly Session[]): readonly Session[] {
    const current = this.#unlessOld(this.#lately[STATUS], sessions, about, revision);
    if (current !== sessions) {
      for (const session of sessions) if (!current.includes(session)) session.awareness.want("slow");
    }
    return current;
  }

  /** Those of `sessions` that were not told of `about` at a higher revision; notes that they are at this one. */
  #unlessOld(
    lately: Lately<Session> | undefined,
    sessions: readonly Session[],
    about: string,
    revision: number,
  ): readonly Session[] {
    if (revision === 0 || lately === undefined) return sessions;
    const newer = lately.newer(about, revision);
    const current =
      newer.length === 0
        ? sessions
        : sessions.filter((session) => !newer.some((recipients) => recipients.includes(session)));
    if (current.length < sessions.length) this.#metrics.awarenessOld.inc(sessions.length - current.length);
    lately.note(about, revision, current);
    return current;
  }
}

function sendAll(sessions: readonly Session[], kind: StanzaKind, payload: Uint8Array): void {
  const frame = encodePayload(kind, payload);
  for (const session of sessions) session.awareness.send(frame);
}
