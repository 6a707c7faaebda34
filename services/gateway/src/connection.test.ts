// The first frame of a stranger, while its token is being checked, and when there is no place for whom it lets in.
import type { Claims } from "@bimip/auth";
import {
  decodeFrame,
  encodeStanza,
  RefreshResponseSchema,
  TokenAuthoritySchema,
  TokenTask,
  TokenType,
} from "@bimip/protocol";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, expect, test, vi } from "vitest";
import { RevokedError } from "./authenticator.js";
import { Connection } from "./connection.js";
import type { Gateway } from "./gateway.js";
import type { ClientSocket, PlaceRefusal, SocketHandler } from "./ports.js";

const nothing = (): undefined => undefined;
const counter = { inc: nothing, dec: nothing };
const FULL: PlaceRefusal = { refused: { status: 429, limit: "connections_per_user", details: "too many" } };
const CLAIMS = { eid: "alice@x", device: "phone", expiresAtMs: undefined } as unknown as Claims;

const handlers: SocketHandler[] = [];
afterEach(() => {
  for (const handler of handlers.splice(0)) handler.onClose();
});

/** A stranger's connection; `authenticate`: what becomes of its token. */
function open(authenticate: () => Promise<Claims>) {
  const tokens = { token: "new", refreshToken: "new refresh", eid: "alice@x", device: "phone" };
  const answer = { data: toBinary(RefreshResponseSchema, create(RefreshResponseSchema, tokens)) };
  const told: string[] = [];
  const refusals: object[] = [];
  let closed: number | undefined;
  const gateway = {
    node: "n",
    limits: { maxStanzaBytes: 65_536, authTimeoutMs: 60_000 },
    link: { up: true, nc: { request: async () => answer } },
    metrics: { connections: counter, stanzas: counter, errors: counter, connectionsRefused: counter },
    audit: { refused: (refusal: object) => void refusals.push(refusal) },
    abuse: { barredMs: () => 0 },
    overload: { sheds: false },
    authenticator: { authenticate, checkKnown: () => undefined },
  };
  const socket: ClientSocket = {
    address: "192.0.2.1",
    congested: false,
    send(bytes) {
      const { kind, value } = decodeFrame(bytes).stanza;
      told.push(kind === "error" ? `error ${value.code}` : kind);
    },
    flush: nothing,
    close: (code) => void (closed ??= code),
  };
  const place = { refused: undefined, strange: nothing, known: () => FULL, leave: nothing };
  const connection = new Connection(gateway as unknown as Gateway, socket, {
    ok: true,
    claims: undefined,
    device: undefined,
    resume: "automatic",
    address: "192.0.2.1",
    place,
  });
  handlers.push(connection);
  const ask = (init: { task: TokenTask; token?: string; refreshToken?: string }): void =>
    connection.onFrame(
      encodeStanza("tokenAuthority", create(TokenAuthoritySchema, { type: TokenType.REQUEST, id: "first", ...init })),
    );
  return { connection, ask, told, refusals, closed: () => closed };
}

test("frames without a byte, too, are taken only so many while the token is checked", () => {
  const { connection, ask, refusals, closed } = open(() => new Promise<never>(nothing));
  ask({ task: TokenTask.AUTHENTICATE, token: "t" });
  let frames = 0;
  while (closed() === undefined && frames < 100_000) {
    connection.onFrame(new Uint8Array(0));
    frames++;
  }
  expect(frames).toBeLessThan(10_000);
  expect(closed()).toBe(4429);
  expect(refusals).toMatchObject([{ reason: "rate", code: 429 }]);
});

test("a stranger's first frame that is no stanza is 401 to him, and malformed to the audit", () => {
  const noFrame = open(() => Promise.reject(new Error("not asked")));
  noFrame.connection.onFrame(new Uint8Array([255, 255, 255]));
  expect(noFrame.told).toEqual(["error 401"]);
  expect(noFrame.closed()).toBe(4401);
  expect(noFrame.refusals).toMatchObject([{ reason: "malformed", code: 400, eid: "", address: "192.0.2.1" }]);

  const tooLarge = open(() => Promise.reject(new Error("not asked")));
  tooLarge.connection.onFrame(new Uint8Array(65_537));
  expect(tooLarge.told).toEqual(["error 401"]);
  expect(tooLarge.refusals).toMatchObject([{ reason: "malformed", code: 413 }]);
});

test("a stranger who says nothing is told where a token is looked for", () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const { told, refusals, closed } = open(() => Promise.reject(new Error("not asked")));
    vi.advanceTimersByTime(60_000);
    const details = "no token came in time: neither in Authorization, the subprotocol, access_token nor a first frame";
    expect(told).toEqual(["error 408"]);
    expect(closed()).toBe(4401);
    expect(refusals).toMatchObject([{ code: 408, details }]);
    // The close frame's reason holds it all.
    expect(details.length).toBeLessThanOrEqual(100);
  } finally {
    vi.useRealTimers();
  }
});

test("the audit hears whose token it was that was revoked", async () => {
  const { ask, refusals, closed } = open(() => Promise.reject(new RevokedError(CLAIMS)));
  ask({ task: TokenTask.AUTHENTICATE, token: "t" });
  await expect.poll(closed).toBe(4401);
  expect(refusals).toMatchObject([{ reason: "revoked", code: 401, eid: "alice@x", device: "phone" }]);
});

test("there is no place: who used up its refresh token gets the next one all the same", async () => {
  const refresh = open(async () => CLAIMS);
  refresh.ask({ task: TokenTask.REFRESH, refreshToken: "old" });
  await expect.poll(refresh.closed).toBe(4429);
  expect(refresh.told).toEqual(["tokenAuthority", "error 429"]);
  const token = open(async () => CLAIMS);
  token.ask({ task: TokenTask.AUTHENTICATE, token: "t" });
  await expect.poll(token.closed).toBe(4429);
  expect(token.told).toEqual(["error 429"]);
});
