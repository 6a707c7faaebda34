import { BimipError, ErrorCode, type Frame, type StanzaKind, type StanzaValue } from "@bimip/protocol";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { handleMessage } from "./message.js";
import { handlePingPong } from "./ping-pong.js";
import { handleSignal } from "./signal.js";

type Handler<K extends StanzaKind> = (
  gateway: Gateway,
  session: Session,
  value: StanzaValue<K>,
  frame: Frame,
) => void | Promise<void>;

const notBuilt = (_gateway: Gateway, session: Session, value: object): void => {
  const id = "id" in value && typeof value.id === "string" ? value.id : "";
  session.fail(
    new BimipError(
      ErrorCode.NOT_BUILT,
      `${value && "$typeName" in value ? value.$typeName : "stanza"} is not built yet`,
      { id },
    ),
  );
};

/** Every stanza a device can send, and who takes care of it. Those that only the server sends were refused before. */
export const HANDLERS: { readonly [K in StanzaKind]: Handler<K> } = {
  message: (gateway, session, message, frame) => handleMessage(gateway, session, frame, message),
  pingPong: (_gateway, session, ping) => handlePingPong(session, ping),
  signal: (gateway, session, signal) => handleSignal(gateway, session, signal),
  awareness: notBuilt,
  awarenessContact: notBuilt,
  awarenessVisibility: notBuilt,
  body: notBuilt,
  error: notBuilt,
  event: notBuilt,
  locationStream: notBuilt,
  logout: notBuilt,
  page: notBuilt,
  pushNotification: notBuilt,
  query: notBuilt,
  tokenAuthority: notBuilt,
};
