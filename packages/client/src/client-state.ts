import type { BimipError } from "@bimip/protocol";
import type { Connection } from "./connection.js";

/** Where a client is, in one word. */
export type ClientState = ClientPhase["name"];

/** Where a client is, with what belongs to it. */
export type ClientPhase =
  /** Not connected: before `connect()`, or between two attempts. */
  | { readonly name: "offline"; readonly retry?: ReturnType<typeof setTimeout> }
  /** Asks for the token (no connection yet), opens the socket, authenticates. */
  | { readonly name: "connecting"; readonly connection?: Connection }
  /** The server hands over what it stored. */
  | { readonly name: "replaying"; readonly connection: Connection }
  /** Up to date; `sinceMs` by `performance.now()`. */
  | { readonly name: "online"; readonly connection: Connection; readonly sinceMs: number }
  /** Ended by `close()` or for good by the server; `connect()` begins anew. */
  | { readonly name: "closed"; readonly error?: BimipError };
