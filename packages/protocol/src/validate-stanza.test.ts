import { create, type DescMessage } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { MessageSchemeSchema, STANZA_KINDS, type Stanza, type StanzaKind, validateStanza } from "./index.js";

const to = { eid: "bob" };
const valid: Readonly<Record<Exclude<StanzaKind, "error" | "body" | "page">, object>> = {
  message: { id: "m", to },
  pushNotification: { id: "n", to, type: "reminder" },
  signal: { id: "m", to, type: 1, status: 4, monotonicId: 3n },
  awareness: { type: 1, status: 1 },
  awarenessContact: { to, relationship: 2, action: 1 },
  awarenessVisibility: { type: 2 },
  pingPong: { type: 1 },
  tokenAuthority: { type: 1, task: 4, token: "jwt" },
  logout: { type: 1 },
  locationStream: { latitude: 1, longitude: 2 },
  event: { id: "e", to, type: "call.offer" },
  query: { id: "q", type: 1 },
};

function stanza(kind: StanzaKind, change: object = {}): Stanza {
  const base = kind in valid ? valid[kind as keyof typeof valid] : {};
  const schema = MessageSchemeSchema.field[kind]?.message as DescMessage;
  return { kind, value: create(schema, { ...base, ...change }) } as unknown as Stanza;
}

const message = (change: object) => stanza("message", change);
const long = (bytes: number) => "x".repeat(bytes);

type Case = [kind: keyof typeof valid, change: object, details: string];
const cases: Case[] = [
  // The fields of Message and PushNotification, for both.
  ...(["message", "pushNotification"] as const).flatMap((kind): Case[] => {
    const name = kind === "message" ? "message" : "push_notification";
    return [
      [kind, { id: "" }, `${name}.id: is missing`],
      [kind, { id: long(129) }, `${name}.id: is too long: 129 bytes, at most 128`],
      [kind, { id: "a\u0007" }, `${name}.id: holds the control character U+0007`],
      [kind, { from: { eid: long(256) } }, `${name}.from.eid: is too long: 256 bytes, at most 255`],
      [kind, { from: { eid: "a", connectionResourceId: "" } }, `${name}.from.connection_resource_id: is empty`],
      [kind, { to: undefined }, `${name}.to.eid: is missing`],
      [kind, { to: { eid: "" } }, `${name}.to.eid: is missing`],
      [kind, { to: { eid: long(256) } }, `${name}.to.eid: is too long: 256 bytes, at most 255`],
      [kind, { to: { eid: "a\u0080" } }, `${name}.to.eid: holds the control character U+0080`],
      [
        kind,
        { to: { eid: "a", connectionResourceId: long(129) } },
        `${name}.to.connection_resource_id: is too long: 129 bytes, at most 128`,
      ],
      [kind, { to: { eid: "a", node: "\n" } }, `${name}.to.node: holds the control character U+000A`],
      [kind, { to: { eid: "a", node: long(256) } }, `${name}.to.node: is too long: 256 bytes, at most 255`],
      [kind, { type: long(129) }, `${name}.type: is too long: 129 bytes, at most 128`],
      [kind, { timestamp: -1n }, `${name}.timestamp: is -1, must be at least 0`],
      [
        kind,
        { payload: { media: [{ type: "image" }, { type: "gif" }] } },
        `${name}.payload.media[1].type: is "gif", must be one of image, video, audio, file`,
      ],
      [kind, { payload: { media: [{}] } }, `${name}.payload.media[0].type: is missing`],
      [
        kind,
        { payload: { media: [{ type: "file", size: -1n }] } },
        `${name}.payload.media[0].size: is -1, must be at least 0`,
      ],
      [
        kind,
        { ack: { status: [11, 8] } },
        `${name}.ack.status[1]: is 8, must be one of 9 DELIVERED, 10 READ, 11 FORWARDED, 12 SENT, 13 PLAYED`,
      ],
      [kind, { ack: { status: [0] } }, `${name}.ack.status[0]: is 0, no status`],
      [kind, { metadata: { encrypted: "a b" } }, `${name}.metadata.encrypted: is not base64`],
      [kind, { metadata: { signature: "abc==" } }, `${name}.metadata.signature: is not base64`],
    ];
  }),
  ["signal", { id: long(129) }, "signal.id: is too long: 129 bytes, at most 128"],
  ["signal", { from: { eid: "\u0001" } }, "signal.from.eid: holds the control character U+0001"],
  ["signal", { to: { eid: "\u0001" } }, "signal.to.eid: holds the control character U+0001"],
  ["signal", { type: 0 }, "signal.type: is missing"],
  ["signal", { type: 2 }, "signal.type: is 2 RESPONSE, which only the server sends"],
  ["signal", { type: 4 }, "signal.type: is 4, must be one of 1 REQUEST"],
  ["signal", { status: 0 }, "signal.status: is missing"],
  ["signal", { status: 12 }, "signal.status: is 12 SENT, which only the server sends"],
  [
    "signal",
    { status: 7 },
    "signal.status: is 7, must be one of 1 TYPING, 2 RECORDING, 3 FORWARDED, 4 DELIVERED, 5 READ, 6 RESUME, 13 PLAYED",
  ],
  ["signal", { timestamp: -1n }, "signal.timestamp: is -1, must be at least 0"],
  ["signal", { monotonicId: -1n }, "signal.monotonic_id: is -1, must be at least 0"],
  ["signal", { status: 6, monotonicId: -2n }, "signal.monotonic_id: is -2, must be at least -1"],
  ["signal", { status: 1, to: undefined }, "signal.to.eid: is missing"],
  ["signal", { id: "", monotonicId: 0n }, "signal.id: is missing"],
  ["signal", { to: undefined, monotonicId: 0n }, "signal.to.eid: is missing"],
  ["awareness", { id: "\u0001" }, "awareness.id: holds the control character U+0001"],
  ["awareness", { from: { eid: "\u0001" } }, "awareness.from.eid: holds the control character U+0001"],
  ["awareness", { details: "é".repeat(513) }, "awareness.details: is too long: 1026 bytes, at most 1024"],
  [
    "awarenessContact",
    { details: "x".repeat(1_025) },
    "awareness_contact.details: is too long: 1025 bytes, at most 1024",
  ],
  ["awareness", { to: { eid: "\u0001" } }, "awareness.to.eid: holds the control character U+0001"],
  ["awareness", { type: 0 }, "awareness.type: is missing"],
  ["awareness", { type: 3 }, "awareness.type: is 3, must be one of 1 PRESENCE, 2 STATUS"],
  ["awareness", { status: 0 }, "awareness.status: is missing"],
  ["awareness", { status: -1 }, "awareness.status: is -1, must be at least 0"],
  [
    "awareness",
    { status: 6 },
    "awareness.status: is 6, must be one of 1 ONLINE, 2 OFFLINE, 3 AWAY, 4 BUSY, 5 DND for type 1 PRESENCE",
  ],
  ["awareness", { type: 2, status: 5 }, "awareness.status: is 5, must be 6 or more for type 2 STATUS"],
  ["awareness", { ttl: 1.5 }, "awareness.ttl: is 1.5, must be a whole number up to 2147483647"],
  ["awareness", { locationSharing: 2 }, "awareness.location_sharing: is 2, must be one of 0 OFF, 1 ON"],
  ["awareness", { latitude: 90.1 }, "awareness.latitude: is 90.1, must be a number from -90 to 90"],
  ["awareness", { longitude: Number.NaN }, "awareness.longitude: is NaN, must be a number from -180 to 180"],
  ["awareness", { ttl: -1 }, "awareness.ttl: is -1, must be at least 0"],
  ["awareness", { timestamp: -1n }, "awareness.timestamp: is -1, must be at least 0"],
  ["awareness", { visibility: 4 }, "awareness.visibility: is 4, must be one of 1 PUBLIC, 2 CONTACTS, 3 PRIVATE"],
  ["awarenessContact", { from: { eid: "\u0001" } }, "awareness_contact.from.eid: holds the control character U+0001"],
  ["awarenessContact", { to: undefined }, "awareness_contact.to.eid: is missing"],
  ["awarenessContact", { to: { eid: long(256) } }, "awareness_contact.to.eid: is too long: 256 bytes, at most 255"],
  ["awarenessContact", { trackingId: long(129) }, "awareness_contact.tracking_id: is too long: 129 bytes, at most 128"],
  ["awarenessContact", { relationship: 0 }, "awareness_contact.relationship: is missing"],
  [
    "awarenessContact",
    { relationship: 3 },
    "awareness_contact.relationship: is 3, must be one of 1 UNILATERAL, 2 MUTUAL",
  ],
  ["awarenessContact", { action: 0 }, "awareness_contact.action: is missing"],
  ["awarenessContact", { action: 5 }, "awareness_contact.action: is 5 REMOVED, which only the server sends"],
  ["awarenessContact", { timestamp: -1n }, "awareness_contact.timestamp: is -1, must be at least 0"],
  [
    "awarenessContact",
    { locationPrecisionM: -2 },
    "awareness_contact.location_precision_m: is -2, must be at least -1",
  ],
  ["awarenessVisibility", { id: "\u0001" }, "awareness_visibility.id: holds the control character U+0001"],
  [
    "awarenessVisibility",
    { from: { eid: "\u0001" } },
    "awareness_visibility.from.eid: holds the control character U+0001",
  ],
  ["awarenessVisibility", { type: 0 }, "awareness_visibility.type: is missing"],
  ["awarenessVisibility", { timestamp: -1n }, "awareness_visibility.timestamp: is -1, must be at least 0"],
  ["pingPong", { id: long(129) }, "ping_pong.id: is too long: 129 bytes, at most 128"],
  ["pingPong", { from: { eid: "\u0001" } }, "ping_pong.from.eid: holds the control character U+0001"],
  ["pingPong", { type: 0 }, "ping_pong.type: is missing"],
  ["pingPong", { type: 3 }, "ping_pong.type: is 3, must be one of 1 PING, 2 PONG"],
  ["pingPong", { timestamp: -1n }, "ping_pong.timestamp: is -1, must be at least 0"],
  ["tokenAuthority", { to: { eid: "\u0001" } }, "token_authority.to.eid: holds the control character U+0001"],
  ["tokenAuthority", { token: "" }, "token_authority.token: is missing"],
  ["tokenAuthority", { type: 2 }, "token_authority.type: is 2 RESULT, which only the server sends"],
  ["tokenAuthority", { task: 0 }, "token_authority.task: is missing"],
  [
    "tokenAuthority",
    { task: 5 },
    "token_authority.task: is 5, must be one of 1 REFRESH, 2 REVOKE, 3 VALIDATE, 4 AUTHENTICATE",
  ],
  ["tokenAuthority", { timestamp: -1n }, "token_authority.timestamp: is -1, must be at least 0"],
  ["tokenAuthority", { expiresAt: -1n }, "token_authority.expires_at: is -1, must be at least 0"],
  ["tokenAuthority", { token: long(16_385) }, "token_authority.token: is too long: 16385 bytes, at most 16384"],
  ["tokenAuthority", { jti: long(16_385) }, "token_authority.jti: is too long: 16385 bytes, at most 16384"],
  [
    "tokenAuthority",
    { refreshToken: long(16_385) },
    "token_authority.refresh_token: is too long: 16385 bytes, at most 16384",
  ],
  ["tokenAuthority", { id: "\u0001" }, "token_authority.id: holds the control character U+0001"],
  ["logout", { to: { eid: "\u0001" } }, "logout.to.eid: holds the control character U+0001"],
  ["logout", { type: 0 }, "logout.type: is missing"],
  ["logout", { status: 1 }, "logout.status: is 1 SUCCESS, which only the server sends"],
  ["logout", { status: 3 }, "logout.status: is 3, must be one of 0 INITIATED"],
  ["logout", { timestamp: -1n }, "logout.timestamp: is -1, must be at least 0"],
  ["locationStream", { id: "\u0001" }, "location_stream.id: holds the control character U+0001"],
  ["locationStream", { from: { eid: "\u0001" } }, "location_stream.from.eid: holds the control character U+0001"],
  ["locationStream", { to: { eid: "\u0001" } }, "location_stream.to.eid: holds the control character U+0001"],
  ["locationStream", { latitude: -90.5 }, "location_stream.latitude: is -90.5, must be a number from -90 to 90"],
  [
    "locationStream",
    { longitude: Number.POSITIVE_INFINITY },
    "location_stream.longitude: is Infinity, must be a number from -180 to 180",
  ],
  ["locationStream", { altitude: Number.NaN }, "location_stream.altitude: is NaN, must be a finite number"],
  ["locationStream", { timestamp: -1n }, "location_stream.timestamp: is -1, must be at least 0"],
  ["event", { id: "" }, "event.id: is missing"],
  ["event", { from: { eid: "\u0001" } }, "event.from.eid: holds the control character U+0001"],
  ["event", { to: undefined }, "event.to.eid: is missing"],
  ["event", { type: "" }, "event.type: is missing"],
  ["event", { timestamp: -1n }, "event.timestamp: is -1, must be at least 0"],
  ["event", { ttl: -1 }, "event.ttl: is -1, must be at least 0"],
  ["query", { id: "" }, "query.id: is missing"],
  ["query", { type: 0 }, "query.type: is missing"],
  [
    "query",
    { type: 6 },
    "query.type: is 6, must be one of 1 HISTORY, 2 SESSIONS, 3 UNREAD, 4 PUSH_SUBSCRIBE, 5 PUSH_UNSUBSCRIBE",
  ],
  ["query", { with: { eid: "\u0001" } }, "query.with.eid: holds the control character U+0001"],
  ["query", { before: -1n }, "query.before: is -1, must be at least 0"],
  ["query", { after: -1n }, "query.after: is -1, must be at least 0"],
  ["query", { limit: -1 }, "query.limit: is -1, must be a number from 0 to 200"],
  ["query", { limit: 201 }, "query.limit: is 201, must be a number from 0 to 200"],
  ["query", { before: 2n, after: 1n }, "query.after: is set beside before"],
  ["query", { type: 4 }, "query.data: is missing"],
];

describe("validateStanza", () => {
  it.each(Object.keys(valid) as StanzaKind[])("takes a valid %s", (kind) => {
    expect(validateStanza(stanza(kind))).toBeUndefined();
  });

  it.each(cases)("refuses %s %o: %s", (kind, change, details) => {
    const error = validateStanza(stanza(kind, change));
    expect([error?.code, error?.details]).toEqual([422, details]);
    expect(error?.field).toBe(details.slice(0, details.indexOf(": ")));
  });

  it.each(["error", "body", "page"] as const)("refuses %s: only the server sends it", (kind) => {
    const error = validateStanza(stanza(kind));
    expect([error?.code, error?.details]).toEqual([400, `${kind}: only the server sends it`]);
  });

  it("knows every kind", () => {
    expect([...Object.keys(valid), "error", "body", "page"].toSorted()).toEqual([...STANZA_KINDS].toSorted());
  });

  it("puts the id into the error if it is a valid one", () => {
    expect(validateStanza(message({ to: undefined }))?.id).toBe("m");
    expect(validateStanza(stanza("awarenessContact", { trackingId: "t", to: undefined }))?.id).toBe("t");
    expect(validateStanza(message({ id: "\u0000" }))?.id).toBeUndefined();
  });

  it("takes what the protocol leaves open", () => {
    const taken: Stanza[] = [
      message({ to: { eid: long(255), connectionResourceId: long(128) }, id: long(128) }),
      message({ ack: { status: [11] }, metadata: { encrypted: "AAEC", signature: "_-8" }, timestamp: 5n }),
      message({ type: "", monotonicId: -5n, previousId: -5n }),
      stanza("signal", { status: 6, id: "", to: undefined, monotonicId: -1n }),
      stanza("signal", { status: 5, id: "", to: undefined, monotonicId: 9n }),
      stanza("signal", { status: 13, monotonicId: 0n }),
      stanza("awareness", { type: 2, status: 1000, latitude: -90, longitude: 180, visibility: 3 }),
      stanza("awarenessContact", { action: 9, to: undefined, relationship: 0 }),
      stanza("awarenessContact", { action: 7, relationship: 0, locationPrecisionM: -1 }),
      stanza("tokenAuthority", { task: 1, token: "", refreshToken: "r" }),
      stanza("logout", { type: 3 }),
      stanza("query", { type: 2 }),
    ];
    for (const one of taken) expect(validateStanza(one)).toBeUndefined();
  });
});
