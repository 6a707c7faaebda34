import { afterEach, beforeEach, expect, onTestFinished, vi } from "vitest";
import type { BimipClient } from "../src/bimip-client.js";
import { createClient } from "../src/client.js";
import type { ClientOptions } from "../src/client-options.js";
import type { ClientState } from "../src/client-state.js";
import type { IncomingMessage } from "../src/incoming-message.js";
import type { SocketFactory } from "../src/socket.js";
import { defaultSockets } from "../src/socket-node.js";
import { FakeGateway } from "./fake-gateway.js";

export const ALICE = "alice@example.com";
export const BOB = "bob@example.com";

/** A fake gateway for each test, and the clients that were made in it; all ended behind it. */
export interface Clients {
  gateway: FakeGateway;
  /** A client that is not connected yet; its device is `laptop`. Without a token where it is given a refresh token only. */
  of(eid: string, options?: Partial<ClientOptions>): BimipClient;
}

export function useClients(): Clients {
  const made: BimipClient[] = [];
  const clients: Clients = {
    // Set before each test.
    gateway: undefined as unknown as FakeGateway,
    of(eid, options = {}) {
      const reconnect = { minDelayMs: 5, maxDelayMs: 40 };
      const token = options.refreshToken === undefined ? { token: `${eid}/laptop` } : {};
      const client = createClient({ url: clients.gateway.url, ...token, eid, reconnect, ...options });
      made.push(client);
      return client;
    },
  };
  beforeEach(async () => {
    clients.gateway = await FakeGateway.start();
  });
  afterEach(async () => {
    await Promise.all(made.splice(0).map((client) => client.close()));
    await vi.waitFor(() => expect(clients.gateway.sessions.size).toBe(0));
    await clients.gateway.stop();
  });
  return clients;
}

/** Sockets that behave as a browser's: the token travels in the first frame. */
export const browserLikeSockets: SocketFactory = {
  sendsTokenInHeader: false,
  open: (url, _token, handlers) => defaultSockets.open(url, "", handlers),
};

/** Codes and texts of what `error` tells from now on. */
export function errorsOf(client: BimipClient): string[] {
  const errors: string[] = [];
  client.on("error", ({ code, details }) => errors.push(`${code} ${details}`));
  return errors;
}

/** Errors that are reported as uncaught from now on, until the test ends. */
export function catchUncaught(): unknown[] {
  const caught: unknown[] = [];
  const listeners = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => caught.push(error));
  onTestFinished(() => {
    process.removeAllListeners("uncaughtException");
    for (const listener of listeners) process.on("uncaughtException", listener);
  });
  return caught;
}

/** The messages that a client gets from now on. */
export function messagesOf(client: BimipClient): IncomingMessage[] {
  const messages: IncomingMessage[] = [];
  client.on("message", (message) => messages.push(message));
  return messages;
}

/** Resolves when the client gets into that state the next time. */
export function next(client: BimipClient, state: ClientState): Promise<void> {
  return new Promise((resolve) => {
    const off = client.on("state", (now) => {
      if (now !== state) return;
      off();
      resolve();
    });
  });
}
