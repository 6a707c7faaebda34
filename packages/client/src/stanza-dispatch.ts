import {
  BimipError,
  ErrorCode,
  PingPongType,
  type Signal,
  SignalStatus,
  SignalType,
  type Stanza,
} from "@bimip/protocol";
import type { Peers } from "./awareness/peers.js";
import type { ClientEvents } from "./client-options.js";
import { type Connection, toError } from "./connection.js";
import type { Emitter } from "./emitter.js";
import { Gaps } from "./gaps.js";
import type { Inbox } from "./inbox.js";
import { pingPongFrame } from "./keepalive.js";
import type { Outbox } from "./outbox.js";
import { takeError } from "./outgoing-errors.js";
import type { PingTimes } from "./ping-times.js";
import type { Queries } from "./queries.js";
import type { Receipts } from "./receipts.js";
import type { Account } from "./tokens/account.js";

/** Whom stanzas are for. */
export interface StanzaReceivers {
  readonly events: Emitter<ClientEvents>;
  readonly inbox: Inbox;
  readonly outbox: Outbox;
  readonly receipts: Receipts;
  readonly queries: Queries;
  readonly account: Account;
  readonly peers: Peers;
  readonly pings: PingTimes;
  /** RESUME was answered, and the log is ours. */
  readonly onResumed: (connection: Connection) => void;
}

/** Gives each stanza of the server to the part that it is for. */
export class StanzaDispatch {
  readonly #to: StanzaReceivers;
  readonly #gaps: Gaps;

  constructor(receivers: StanzaReceivers) {
    this.#to = receivers;
    this.#gaps = new Gaps((gap) => receivers.events.emit("gap", gap));
  }

  take(connection: Connection, stanza: Stanza): void {
    const { inbox, queries, account, peers, pings } = this.#to;
    switch (stanza.kind) {
      case "message":
      case "pushNotification":
      case "event":
        return inbox.take(stanza);
      case "signal":
        return this.#onSignal(connection, stanza.value);
      case "page":
        return queries.answer(stanza.value);
      case "awareness":
      case "body":
      case "awarenessContact":
      case "awarenessVisibility":
      case "locationStream":
        return peers.take(stanza);
      case "error":
        return this.#onError(toError(stanza.value));
      case "logout":
        return account.takeLogout(stanza.value);
      case "tokenAuthority":
        return account.takeToken(stanza.value);
      case "pingPong":
        if (stanza.value.type === PingPongType.PING) connection.send(pingPongFrame(PingPongType.PONG, stanza.value.id));
        else pings.answer(stanza.value.id);
        return;
      // No server sends it.
      case "query":
        return;
    }
  }

  #onSignal(connection: Connection, signal: Signal): void {
    const { events, inbox, outbox, receipts, onResumed } = this.#to;
    const { id, type, status } = signal;
    if (status === SignalStatus.RESUME) {
      this.#gaps.take(signal);
      if (inbox.resumed(signal)) onResumed(connection);
    } else if (status === SignalStatus.SENT && type === SignalType.RESPONSE) {
      inbox.arrivals.ownCopy(signal.logId);
      const [index, logIndex] = [Number(signal.monotonicId), Number(signal.logId)];
      outbox.confirm({ id, to: signal.to?.eid ?? "", index, logIndex });
      receipts.release(id);
      inbox.arrivals.answered();
    } else if (type === SignalType.ERROR) {
      const details = signal.details || "the signal could not be done";
      events.emit("error", new BimipError(ErrorCode.UNKNOWN, details, id === "" ? {} : { id }));
    } else {
      inbox.take({ kind: "signal", value: signal });
    }
  }

  #onError(error: BimipError): void {
    const { events, inbox, outbox, receipts, queries, account, peers } = this.#to;
    if (queries.refuse(error) || account.refuse(error) || peers.refuse(error)) return;
    if (inbox.arrivals.refused(error)) return;
    const ours = takeError(error, outbox, receipts);
    inbox.arrivals.answered();
    // A 401 is followed by the close, which says it again.
    if (!ours && error.code !== ErrorCode.NOT_AUTHENTICATED) events.emit("error", error);
  }
}
