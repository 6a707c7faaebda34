export { type BimipClient, createClient } from "./client.js";
export type { ClientEvents, ClientOptions, TokenSource } from "./client-options.js";
export type { ClientState } from "./client-state.js";
export type { BackoffOptions } from "./backoff.js";
export type { Address, Incoming, IncomingMessage, IncomingPush, MediaItem } from "./incoming-message.js";
export type { Sent } from "./outbox.js";
export type { OutgoingMessage } from "./outgoing-message.js";
export type { Socket, SocketClose, SocketFactory, SocketHandlers } from "./socket.js";
export { BimipError } from "@bimip/protocol";
