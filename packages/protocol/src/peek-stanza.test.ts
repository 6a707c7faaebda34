import { create } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AwarenessContactSchema,
  decodeFrame,
  encodePayload,
  encodeStanza,
  LogoutSchema,
  type Message,
  MessageSchema,
  peekKind,
  peekNames,
  PingPongSchema,
  PushNotificationSchema,
  type Stanza,
  STANZA_KINDS,
  STANZA_ROUTE,
} from "./index.js";

const NOTHING = { kind: undefined, id: undefined, to: undefined };
const KIND = { kind: "message" };
const message = (init: { id?: string; to?: { eid: string } }) =>
  encodeStanza("message", create(MessageSchema, { ...init, payload: { data: { text: "x".repeat(1_000) } } }));

/** Frames that are almost good: some bytes of one are others. */
const almost = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }).map((changes) => {
  const to = { eid: "bob@x", connectionResourceId: "phone" };
  const bytes = encodeStanza("message", create(MessageSchema, { id: "m-1", to, type: "text", ack: { status: [12] } }));
  for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
  return bytes;
});

/** Fields of the payload of a message, by number. */
function withFields(...fields: readonly (readonly [number, Uint8Array | string])[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const [number, value] of fields) {
    writer.tag(number, WireType.LengthDelimited);
    if (typeof value === "string") writer.string(value);
    else writer.bytes(value);
  }
  return encodePayload("message", writer.finish());
}

function decoded(frame: Uint8Array): Stanza | undefined {
  try {
    return decodeFrame(frame).stanza;
  } catch {
    return undefined;
  }
}

describe("peekKind", () => {
  it.each(STANZA_KINDS)("says %s, with any route and with none", (kind) => {
    const payload = Uint8Array.of(1, 2, 3);
    expect(peekKind(encodePayload(kind, payload))).toBe(kind);
    const tag = (STANZA_ROUTE[kind] << 3) | WireType.LengthDelimited;
    const bare = new BinaryWriter().uint32(tag).bytes(payload).finish();
    expect(peekKind(bare)).toBe(kind);
    const negative = new BinaryWriter().tag(1, WireType.Varint).int64(-1n).uint32(tag).bytes(payload).finish();
    expect(peekKind(negative)).toBe(kind);
  });

  it("says nothing of what is no payload", () => {
    const route = new Uint8Array(20).fill(0xff);
    route[0] = 0x08;
    const unknown = new BinaryWriter().tag(99, WireType.LengthDelimited).string("x").finish();
    for (const bytes of [[], [0x08], [0x08, 1], [0x31], [0xff, 0xff, 0xff, 0xff], [0], route, unknown])
      expect(peekKind(Uint8Array.from(bytes))).toBeUndefined();
  });

  it("never says another kind than the decoder", () => {
    fc.assert(
      fc.property(almost, (frame) => {
        const peeked = peekKind(frame);
        const kind = decoded(frame)?.kind;
        if (kind !== undefined && peeked !== undefined) expect(peeked).toBe(kind);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe("peekNames", () => {
  it("finds id and recipient, whatever the kind", () => {
    const to = { eid: "bob@x", connectionResourceId: "phone", node: "n" };
    expect(peekNames(message({ id: "m-1", to }))).toEqual({ ...KIND, id: "m-1", to: "bob@x" });
    const push = encodeStanza("pushNotification", create(PushNotificationSchema, { id: "p", to }));
    expect(peekNames(push)).toEqual({ kind: "pushNotification", id: "p", to: "bob@x" });
    const contact = encodeStanza("awarenessContact", create(AwarenessContactSchema, { trackingId: "t", to }));
    expect(peekNames(contact)).toEqual({ kind: "awarenessContact", id: "t", to: "bob@x" });
    const ping = encodeStanza("pingPong", create(PingPongSchema, { id: "p" }));
    expect(peekNames(ping)).toEqual({ kind: "pingPong", id: "p", to: undefined });
    expect(peekNames(Buffer.concat([Uint8Array.of(0xfa, 0x3f, 1, 0), ping]))).toEqual({
      kind: "pingPong",
      id: "p",
      to: undefined,
    });
    const logout = encodeStanza("logout", create(LogoutSchema, { to }));
    expect(peekNames(logout)).toEqual({ kind: "logout", id: undefined, to: "bob@x" });
  });

  it("takes the last of two ids, as the decoder does", () => {
    const eid = Uint8Array.of(0x0a, 1, 0x62);
    const bytes = withFields([1, "first"], [3, eid], [1, "second"]);
    expect((decodeFrame(bytes).stanza.value as Message).id).toBe("second");
    expect(peekNames(bytes)).toEqual({ ...KIND, id: "second", to: "b" });
  });

  it("finds nothing where it is missing or no name, and in what is cut off", () => {
    const to = { eid: "bob@x" };
    expect(peekNames(message({ to }))).toEqual({ ...KIND, id: undefined, to: "bob@x" });
    for (const id of ["m\n", "m".repeat(129)])
      expect(peekNames(message({ id, to }))).toEqual({ ...KIND, id: undefined, to: "bob@x" });
    for (const eid of ["", "b\0", "b".repeat(256)])
      expect(peekNames(message({ id: "m", to: { eid } }))).toEqual({ ...KIND, id: "m", to: undefined });
    for (const bytes of [message({ id: "m", to }).subarray(0, 30), new Uint8Array(), Uint8Array.of(0x32, 0x0b, 0x0c)])
      expect(peekNames(bytes)).toEqual(NOTHING);
  });

  it("does not look through a frame of many fields", () => {
    const many = Array.from({ length: 33 }, () => [99, ""] as const);
    expect(peekNames(withFields(...many, [1, "m"], [3, Uint8Array.of(0x0a, 1, 0x62)]))).toEqual(NOTHING);
    const before = new BinaryWriter();
    for (let n = 0; n < 33; n++) before.tag(99, WireType.LengthDelimited).string("");
    expect(peekNames(Buffer.concat([before.finish(), message({ id: "m" })]))).toEqual(NOTHING);
    const inRecipient = new BinaryWriter();
    for (let n = 0; n < 33; n++) inRecipient.tag(99, WireType.LengthDelimited).string("");
    const eid = inRecipient.tag(1, WireType.LengthDelimited).string("b").finish();
    expect(peekNames(withFields([1, "m"], [3, eid]))).toEqual({ ...KIND, id: "m", to: undefined });
  });

  it("never says anything else than the decoder, nor throws", () => {
    fc.assert(
      fc.property(fc.oneof(almost, fc.uint8Array({ maxLength: 60 })), (frame) => {
        const peeked = peekNames(frame);
        const stanza = decoded(frame);
        if (stanza?.kind !== "message") return;
        const { id, to } = stanza.value;
        if (peeked.id !== undefined) expect(peeked.id).toBe(id);
        if (peeked.to !== undefined) expect(peeked.to).toBe(to?.eid);
      }),
      { numRuns: 2_000 },
    );
  });
});
