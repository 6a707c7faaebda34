import { BimipError, ErrorCode, type Frame, type StanzaKind, type StanzaValue, stanzaId } from "@bimip/protocol";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { handleAwareness } from "./awareness.js";
import { handleContact } from "./contact.js";
import { handleLocation } from "./location.js";
import { handleLogout } from "./logout.js";
import { handleMessage, handlePushNotification } from "./message.js";
import { handlePingPong } from "./ping-pong.js";
import { handleQuery } from "./query.js";
import { handleSignal } from "./signal.js";
import { handleTokenAuthority } from "./token-authority.js";
import { handleVisibility } from "./visibility.js";

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
  awareness: handleAwareness,
  awarenessContact: handleContact,
  awarenessVisibility: handleVisibility,
  locationStream: (_gateway, session, location, frame) => handleLocation(session, location, frame),
  message: handleMessage,
  pingPong: (_gateway, session, ping) => handlePingPong(session, ping),
  pushNotification: handlePushNotification,
  query: handleQuery,
  signal: handleSignal,
  body: notBuilt,
  error: notBuilt,
  event: notBuilt,
  logout: handleLogout,
  page: notBuilt,
  tokenAuthority: handleTokenAuthority,
};
