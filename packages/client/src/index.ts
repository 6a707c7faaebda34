export { createClient } from "./client.js";
export type { ContactsApi, PresenceApi } from "./awareness/api.js";
export type {
  AcceptOptions,
  Contact,
  ContactChange,
  ContactRequest,
  ContactWord,
  Relationship,
  RequestOptions,
} from "./awareness/contact.js";
export type { PresenceOptions, StatusOptions } from "./awareness/own-presence.js";
export type {
  CustomStatus,
  LastPlace,
  LocationChange,
  Place,
  Presence,
  PresenceChange,
  PresenceStatus,
  PresenceWord,
  Visibility,
} from "./awareness/presence.js";
export type { BimipClient } from "./bimip-client.js";
export type { ClientEvents, ClientOptions, Gap, TokenSource } from "./client-options.js";
export type { ClientState } from "./client-state.js";
export type { BackoffOptions } from "./backoff.js";
export type { ClientStore, StoredOutgoing, StoredProgress, StoredState } from "./client-store.js";
export type { Handler } from "./emitter.js";
export type { HistoryItem, HistoryOptions, HistoryReceipt } from "./history.js";
export type {
  Address,
  Incoming,
  IncomingMessage,
  IncomingPush,
  MediaItem,
  ReceiptMethods,
} from "./incoming-message.js";
export type { Sent } from "./outbox-entry.js";
export type { OutgoingMessage } from "./outgoing-message.js";
export type { Outgoing, OutgoingState } from "./outgoing-states.js";
export type { PushSubscriptionLike, UnreadCounts, UnreadRow } from "./queries-of-client.js";
export type { Socket, SocketClose, SocketFactory, SocketHandlers } from "./socket.js";
export type { LogoutOptions } from "./tokens/logouts.js";
export type { OpenSession, Revocation, TokenCheck } from "./tokens/token-api.js";
export type { SavedTokens, Tokens, TokenStore } from "./tokens/token-store.js";
export { fileStore } from "#file-store";
export { indexedDbStore } from "./indexed-db-store.js";
export { memoryStore } from "./memory-store.js";
export { BimipError } from "@bimip/protocol";
