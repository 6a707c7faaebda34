import { BimipError, ErrorCode, type Frame, type StanzaKind, type StanzaValue, stanzaId } from "@bimip/protocol";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { handleMessage, handlePushNotification } from "./message.js";
import { handlePingPong } from "./ping-pong.js";
import { handleQuery } from "./query.js";
import { handleSignal } from "./signal.js";

type Handler<K extends StanzaKind> = (
  gateway: Gateway,
  session: Session,
  value: StanzaValue<K>,
  frame: Frame,
) => void | Promise<void>;

const notBuilt = (_gateway: Gateway, session: Session, _value: unknown, { stanza }: Frame): void => {
  session.fail(new BimipError(ErrorCode.NOT_BUILT, `${stanza.kind} is not built yet`, { id: stanzaId(stanza) }));
};

/** Every stanza a device can send, and who takes care of it. Those that only the server sends were refused before. */
export const HANDLERS: { readonly [K in StanzaKind]: Handler<K> } = {
  message: handleMessage,
  pingPong: (_gateway, session, ping) => handlePingPong(session, ping),
  pushNotification: handlePushNotification,
  query: handleQuery,
  signal: handleSignal,
  awareness: notBuilt,
  awarenessContact: notBuilt,
  awarenessVisibility: notBuilt,
  body: notBuilt,
  error: notBuilt,
  event: notBuilt,
  locationStream: notBuilt,
  logout: notBuilt,
  page: notBuilt,
  tokenAuthority: notBuilt,
};
