// Hostile names in every other field of a stanza that takes a name, as types, keys and token ids. Each is either refused with an
// error that names the field, or comes out as it went in. Accounts and devices: hostile-names.test.ts.
import {
  AwarenessContactSchema,
  AwarenessSchema,
  AwarenessVisibilitySchema,
  ContactAction,
  encodeStanza,
  EventSchema,
  LocationStreamSchema,
  LogoutSchema,
  LogoutStatus,
  MessageSchema,
  PingPongSchema,
  PushNotificationSchema,
  QuerySchema,
  SignalSchema,
  type StanzaKind,
  type StanzaValue,
  TokenAuthoritySchema,
  TokenTask,
} from "@bimip/protocol";
import { connectNats, type Link } from "@bimip/nats";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Device } from "../kit/device.js";
import { eventually } from "../kit/eventually.js";
import { exceptions, natsConnections, refusedAt } from "../kit/hostile.js";
import { HOSTILE_NAMES, isName } from "../kit/hostile-names.js";
import { withText } from "../kit/raw-text.js";
import { SECRET, startSystem, type System } from "../kit/system.js";
import { hmac, rawToken } from "../kit/token-keys.js";
import { askToken } from "../kit/tokens.js";

const EID_BYTES = 255;
const ID_BYTES = 128;
const AT_ONCE = 8;
const NAMES = HOSTILE_NAMES.map(({ name }) => name);
/** Stands in a frame until the name takes its place. */
const PLACE = "@@place@@";
const PEER = "peer@x";

const logged: string[] = [];
let system: System;
let link: Link;
let sender: Device;
let peer: Device;
let connectionsBefore: string[];

beforeAll(async () => {
  system = await startSystem({ onLog: (line) => void logged.push(line) });
  link = await connectNats({ servers: system.nats.url, name: "test" });
  connectionsBefore = await natsConnections(link);
  sender = await system.device("sender@x", "phone", { scope: "push" });
  peer = await system.device(PEER, "phone");
});
afterAll(async () => {
  await link.nc.close();
  await system.stop();
});

const to = { eid: PEER };
const [id, type, action] = ["x", 1, ContactAction.BLOCK];
const message = (init: object): Uint8Array => encodeStanza("message", create(MessageSchema, { id, to, ...init }));
const contact = (init: object): Uint8Array =>
  encodeStanza("awarenessContact", create(AwarenessContactSchema, { to: { eid: "nobody@x" }, action, ...init }));

interface Place {
  /** As errors name it. */
  readonly field: string;
  readonly frame: Uint8Array;
  /** A name of so many bytes; undefined: any text. */
  readonly bytes: number | undefined;
  /** Empty is fine as well. */
  readonly optional?: true;
  /** Resolves when the name came out where it should. */
  readonly comes?: (name: string) => Promise<unknown>;
}

const seen = new Map<StanzaKind, number>();
/** One more of these than at the last call: for what is answered without the name. */
async function oneMore<K extends StanzaKind>(kind: K, wanted: (value: StanzaValue<K>) => boolean): Promise<void> {
  const count = (seen.get(kind) ?? 0) + 1;
  seen.set(kind, count);
  await eventually(`${kind} number ${count}`, () => sender.of(kind).filter(wanted).length >= count);
}

const PLACES: readonly Place[] = [
  {
    field: "message.id",
    bytes: ID_BYTES,
    frame: message({ id: PLACE }),
    comes: (name) => Promise.all([sender.sent(name, PEER), peer.until("message", (one) => one.id === name)]),
  },
  {
    field: "message.type",
    bytes: ID_BYTES,
    optional: true,
    frame: message({ id: "type", type: PLACE }),
  },
  {
    field: "message.to.connection_resource_id",
    bytes: ID_BYTES,
    frame: message({ to: { eid: PEER, connectionResourceId: PLACE } }),
  },
  { field: "message.to.node", bytes: EID_BYTES, optional: true, frame: message({ to: { eid: PEER, node: PLACE } }) },
  {
    field: "push_notification.id",
    bytes: ID_BYTES,
    frame: encodeStanza("pushNotification", create(PushNotificationSchema, { id: PLACE, to, type: "t" })),
    comes: (name) => peer.until("pushNotification", (one) => one.id === name),
  },
  {
    field: "signal.id",
    bytes: ID_BYTES,
    optional: true,
    frame: encodeStanza(
      "signal",
      create(SignalSchema, { id: PLACE, to: { eid: "none@x" }, type, status: 4, monotonicId: 1n }),
    ),
    comes: (name) => sender.until("signal", (one) => one.id === name && one.type === 3),
  },
  {
    field: "ping_pong.id",
    bytes: ID_BYTES,
    optional: true,
    frame: encodeStanza("pingPong", create(PingPongSchema, { id: PLACE, type })),
    comes: (name) => sender.until("pingPong", (one) => one.id === name),
  },
  {
    field: "awareness.id",
    bytes: ID_BYTES,
    optional: true,
    frame: encodeStanza("awareness", create(AwarenessSchema, { id: PLACE, type, status: 1 })),
  },
  {
    field: "awareness.to.eid",
    bytes: EID_BYTES,
    optional: true,
    frame: encodeStanza("awareness", create(AwarenessSchema, { id: "to", to: { eid: PLACE }, type, status: 3 })),
    comes: () => oneMore("error", ({ code, details }) => code === 403 && details.startsWith("awareness.to.eid: ")),
  },
  {
    field: "awareness_contact.tracking_id",
    bytes: ID_BYTES,
    optional: true,
    frame: contact({ trackingId: PLACE }),
    comes: (name) => sender.until("awarenessContact", (one) => one.trackingId === name),
  },
  {
    field: "awareness_contact.to.eid",
    bytes: EID_BYTES,
    frame: contact({ to: { eid: PLACE } }),
    comes: (name) => sender.until("awarenessContact", (blocked) => blocked.to?.eid === name),
  },
  {
    field: "awareness_visibility.id",
    bytes: ID_BYTES,
    optional: true,
    frame: encodeStanza("awarenessVisibility", create(AwarenessVisibilitySchema, { id: PLACE, type: 2 })),
    comes: (name) => sender.until("awarenessVisibility", (one) => one.id === name),
  },
  {
    field: "location_stream.to.eid",
    bytes: EID_BYTES,
    optional: true,
    frame: encodeStanza("locationStream", create(LocationStreamSchema, { id: "l", to: { eid: PLACE } })),
  },
  {
    field: "query.id",
    bytes: ID_BYTES,
    frame: encodeStanza("query", create(QuerySchema, { id: PLACE, type: 3 })),
    comes: (name) => sender.until("page", (one) => one.id === name),
  },
  {
    field: "query.with.eid",
    bytes: EID_BYTES,
    optional: true,
    frame: encodeStanza("query", create(QuerySchema, { id: "with", type: 1, with: { eid: PLACE } })),
    comes: () => oneMore("page", ({ id }) => id === "with"),
  },
  {
    field: "event.type",
    bytes: ID_BYTES,
    frame: encodeStanza("event", create(EventSchema, { id: "e", to, type: PLACE })),
  },
  {
    field: "token_authority.id",
    bytes: ID_BYTES,
    optional: true,
    frame: encodeStanza("tokenAuthority", create(TokenAuthoritySchema, { id: PLACE, type, task: 3 })),
    comes: (name) => sender.until("tokenAuthority", (one) => one.id === name),
  },
  {
    field: "token_authority.to.eid",
    bytes: EID_BYTES,
    optional: true,
    frame: encodeStanza(
      "tokenAuthority",
      create(TokenAuthoritySchema, { id: "to", type, task: 3, to: { eid: PLACE } }),
    ),
  },
  {
    field: "logout.to.connection_resource_id",
    bytes: ID_BYTES,
    frame: encodeStanza(
      "logout",
      create(LogoutSchema, { type: 2, to: { eid: "sender@x", connectionResourceId: PLACE } }),
    ),
    comes: () => oneMore("logout", ({ status }) => status === LogoutStatus.FAILED),
  },
];

/** Frames with these names in that place, all at once; the errors that answer them. */
async function errorsTo(frame: Uint8Array, names: readonly string[]): Promise<string[]> {
  const before = sender.of("error").length;
  for (const name of names) sender.sendBytes(withText(frame, PLACE, name));
  await sender.settle();
  const errors = sender.of("error").slice(before);
  return errors.map(({ code, details }) => `${code} ${details}`);
}

test.each(PLACES)("in $field: it works, or is refused by that name", async (place) => {
  const { field, frame, bytes = 0, optional, comes } = place;
  const isGood = (name: string): boolean => isName(name, bytes) || (optional === true && name === "");
  const bad = NAMES.filter((name) => !isGood(name));
  // What was asked before may still be answered: with 403, for example.
  const refusals = (await errorsTo(frame, bad)).filter((answer) => /^4(?:00|22) /.test(answer));
  expect(refusals.filter((answer) => refusedAt(answer, field) !== undefined)).toEqual([]);
  expect(refusals).toHaveLength(bad.length);
  const good = NAMES.filter(isGood);
  // No more at once than a device may ask.
  for (let at = 0; at < good.length; at += AT_ONCE) {
    const names = good.slice(at, at + AT_ONCE);
    const errors = await errorsTo(frame, names);
    // What is well formed may still be nobody's to do, not there, or not built.
    expect(errors.filter((answer) => !/^(?:403|404|409|501) /.test(answer))).toEqual([]);
    for (const name of names) if (name !== "") await comes?.(name);
  }
});

test("keys and values of a payload come out as they went in, whatever they are", async () => {
  const texts = NAMES.filter((name) => Buffer.from(name).toString() === name);
  for (const [at, name] of texts.entries()) {
    const frame = message({ id: `payload ${at}`, payload: { data: { [PLACE]: PLACE } } });
    sender.sendBytes(withText(frame, PLACE, name));
  }
  const wrong = await exceptions(texts, async (name) => {
    const { payload } = await peer.until("message", (one) => one.id === `payload ${texts.indexOf(name)}`);
    const entries = Object.entries(payload?.data ?? {});
    return entries.length === 1 && entries[0]?.[0] === name && entries[0][1] === name
      ? undefined
      : JSON.stringify(entries);
  });
  expect(wrong).toEqual([]);
});

test("as the id of a token: revoking one ends its session and no other", async () => {
  const names = NAMES.filter((name) => name !== "" && Buffer.from(name).toString() === name && name.length < 1_000);
  const sessions = new Map<string, Device>();
  for (const [at, jti] of names.entries()) {
    const token = rawToken(
      { alg: "HS256", typ: "JWT" },
      { sub: "tokens@x", device_id: `device ${at}`, jti },
      hmac(Buffer.from(SECRET)),
    );
    sessions.set(jti, await Device.open(system.urls[0] ?? "", { token }));
  }
  const revoked = ["*", ">", "$JS.API.>", "a.b", "__proto__", "A", "' OR '1'='1"];
  for (const jti of revoked) {
    const session = sessions.get(jti);
    if (session === undefined) throw new Error(`${jti} is one of them`);
    await askToken(session, { task: TokenTask.REVOKE, jti });
    expect((await session.closing()).code).toBe(4401);
  }
  for (const device of [...sessions.values()].filter((one) => one.closed === undefined)) await device.settle();
  const closed = [...sessions].filter(([, { closed }]) => closed !== undefined).map(([jti]) => jti);
  expect(new Set(closed)).toEqual(new Set(revoked));
});

test("no connection to NATS was lost, and nothing failed within", async () => {
  expect(await natsConnections(link)).toEqual(connectionsBefore);
  expect(logged.filter((line) => /"level":"(?:error|fatal)"|NATS is/.test(line))).toEqual([]);
});
