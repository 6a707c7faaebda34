import {
  type Awareness,
  type AwarenessContact,
  AwarenessContactSchema,
  AwarenessSchema,
  type AwarenessVisibility,
  BodySchema,
  ContactAction,
  encodeStanza,
  IdentitySchema,
  type LocationStream,
  type Stanza,
  STANZA_ROUTE,
} from "@bimip/protocol";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { errorFrame, type Refusal } from "./fake-frames.js";
import type { FakeSession } from "./fake-session.js";

/** What becomes of a stanza: done and answered, done but unanswered, or refused. */
export type AwarenessFate = "answer" | "ignore" | Refusal;

export type AwarenessInit = Exclude<MessageInitShape<typeof AwarenessSchema>, Awareness>;
export type ContactInit = Exclude<MessageInitShape<typeof AwarenessContactSchema>, AwarenessContact>;

/** One line of a user's list of contacts: words, as LIST tells them. */
export interface FakeContact {
  readonly eid: string;
  readonly words: string;
  readonly precisionM?: number;
}

/** An Awareness of somebody, as a server tells it. */
export function awarenessOf(eid: string, init: AwarenessInit): Awareness {
  return create(AwarenessSchema, { type: 1, from: { eid, connectionResourceId: "phone", node: "fake" }, ...init });
}

/** A Body; a snapshot unless `route` says otherwise. */
export function bodyFrame(awarenessList: readonly Awareness[], route = STANZA_ROUTE.body): Uint8Array {
  return encodeStanza("body", create(BodySchema, { route: BigInt(route), awarenessList: [...awarenessList] }));
}

/** The fake's presence and contacts: tells what it was given, keeps what came, knows no rules. */
export class FakeAwareness {
  readonly #sessions: ReadonlySet<FakeSession>;
  /** The snapshot that a user's devices get when they connect. */
  readonly people = new Map<string, Awareness[]>();
  /** Requests that wait for a user, told to each device that connects. */
  readonly requests = new Map<string, AwarenessContact[]>();
  readonly lists = new Map<string, FakeContact[]>();
  /** What came, in order. */
  readonly told: Awareness[] = [];
  readonly contacts: AwarenessContact[] = [];
  readonly visibilities: AwarenessVisibility[] = [];
  readonly locations: LocationStream[] = [];
  tellsSnapshots = true;
  /** For Awareness and AwarenessVisibility: answer = confirmed, where there is an answer. */
  fate: (value: Awareness | AwarenessVisibility) => AwarenessFate = () => "answer";
  contactFate: (contact: AwarenessContact) => AwarenessFate | ContactInit = () => "answer";

  constructor(sessions: ReadonlySet<FakeSession>) {
    this.#sessions = sessions;
  }

  begin({ eid, socket }: FakeSession): void {
    if (this.tellsSnapshots) socket.send(bodyFrame(this.people.get(eid) ?? []));
    for (const request of this.requests.get(eid) ?? []) socket.send(encodeStanza("awarenessContact", request));
  }

  /** Tells a user's devices: a change alone, more of them as a Body. */
  tell(eid: string, ...changes: readonly Awareness[]): void {
    const [first] = changes;
    if (first === undefined) return;
    this.send(
      eid,
      changes.length === 1 ? encodeStanza("awareness", first) : bodyFrame(changes, STANZA_ROUTE.awareness),
    );
  }

  /** Tells a user's devices what somebody did with their contact. */
  tellContact(eid: string, init: ContactInit): void {
    this.send(eid, encodeStanza("awarenessContact", create(AwarenessContactSchema, { to: { eid }, ...init })));
  }

  send(eid: string, frame: Uint8Array): void {
    for (const session of this.#sessions) if (session.eid === eid) session.socket.send(frame);
  }

  /** true if it was for this. */
  take(session: FakeSession, { kind, value }: Stanza): boolean {
    if (kind === "awareness") {
      this.told.push(value);
      const fate = this.fate(value);
      if (isRefusal(fate)) session.socket.send(errorFrame(fate, value.id));
    } else if (kind === "awarenessVisibility") {
      this.visibilities.push(value);
      const fate = this.fate(value);
      if (isRefusal(fate)) session.socket.send(errorFrame(fate, value.id));
      if (fate === "answer") this.send(session.eid, encodeStanza(kind, value));
    } else if (kind === "awarenessContact") {
      this.contacts.push(value);
      this.#onContact(session, value);
    } else if (kind === "locationStream") {
      this.locations.push(value);
    } else return false;
    return true;
  }

  #onContact(session: FakeSession, contact: AwarenessContact): void {
    const fate = this.contactFate(contact);
    const { trackingId, action, to } = contact;
    if (fate === "ignore") return;
    if (isRefusal(fate)) return session.socket.send(errorFrame(fate, trackingId));
    const from = create(IdentitySchema, { eid: session.eid, connectionResourceId: session.device, node: "fake" });
    if (fate !== "answer") {
      const answer = create(AwarenessContactSchema, { trackingId, from, ...fate });
      return session.socket.send(encodeStanza("awarenessContact", answer));
    }
    if (action === ContactAction.LIST) return this.#list(session, contact);
    const frame = encodeStanza("awarenessContact", { ...contact, from });
    this.send(session.eid, frame);
    const isOwn = action === ContactAction.BLOCK || action === ContactAction.UNBLOCK;
    if (isOwn) return;
    const told = action === ContactAction.REMOVE ? ContactAction.REMOVED : action;
    this.send(to?.eid ?? "", encodeStanza("awarenessContact", { ...contact, from, action: told }));
  }

  #list({ eid, socket }: FakeSession, { trackingId, action }: AwarenessContact): void {
    const line = (init: ContactInit): void =>
      socket.send(
        encodeStanza(
          "awarenessContact",
          create(AwarenessContactSchema, { trackingId, action, from: { eid }, ...init }),
        ),
      );
    for (const { eid: peer, words, precisionM = 0 } of this.lists.get(eid) ?? []) {
      line({ to: { eid: peer }, details: words, locationPrecisionM: precisionM });
    }
    line({});
  }
}

function isRefusal(fate: unknown): fate is Refusal {
  return typeof fate === "number" || (typeof fate === "object" && fate !== null && "code" in fate);
}
