// The bytes that toStored and withIndexes make, against two other implementations that decode them.
import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { loadRoot, protobufjsToJson } from "../vectors/generate.mjs";
import {
  AckSchema,
  BimipError,
  decodeFrame,
  encodeIdentity,
  encodeIdentityPrefix,
  encodePage,
  encodeStanza,
  entryTarget,
  EventSchema,
  IdentitySchema,
  isFrom,
  LIMITS,
  type Message,
  MessageSchema,
  MessageSchemeSchema,
  PageSchema,
  PayloadSchema,
  MetadataSchema,
  PingPongSchema,
  PushNotificationSchema,
  type Signal,
  SignalSchema,
  STANZA_ROUTE,
  stampSignal,
  toStored,
  withIndexes,
} from "./index.js";

const root = loadRoot();
const alice = { eid: "alice@example.com", device: "phone", node: "gateway-1" };
const stamp = { from: encodeIdentity(alice), timestampMs: 1_732_365_000_123 };
const stampedFrom = create(IdentitySchema, { eid: alice.eid, connectionResourceId: alice.device, node: alice.node });

const text = fc.string({ unit: "grapheme-composite", maxLength: 60 });
const field = (schema: { toBinary: () => Uint8Array }, no: number): Uint8Array =>
  new BinaryWriter().tag(no, WireType.LengthDelimited).bytes(schema.toBinary()).finish();
const stringField = (no: number) =>
  text.map((value) => new BinaryWriter().tag(no, WireType.LengthDelimited).string(value).finish());
const int64Field = (no: number) =>
  fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map((v) => new BinaryWriter().tag(no, WireType.Varint).int64(v).finish());

/** One unknown field, of any wire type, numbers beyond those the schema has. */
const unknownField = fc
  .tuple(fc.integer({ min: 17, max: 536_870_911 }), fc.uint8Array({ maxLength: 20 }), fc.nat(4))
  .map(([no, data, shape]) => {
    const writer = new BinaryWriter();
    if (shape === 0)
      return writer
        .tag(no, WireType.Varint)
        .uint64(BigInt(data.length) ** 9n)
        .finish();
    if (shape === 1) return writer.tag(no, WireType.Bit64).fixed64(7n).finish();
    if (shape === 2) return writer.tag(no, WireType.Bit32).fixed32(9).finish();
    if (shape === 3) {
      writer.tag(no, WireType.StartGroup).tag(1, WireType.LengthDelimited).bytes(data);
      return writer.tag(no, WireType.EndGroup).finish();
    }
    return writer.tag(no, WireType.LengthDelimited).bytes(data).finish();
  });

const identity = fc
  .tuple(text, fc.option(text, { nil: undefined }), text)
  .map(([eid, device, node]) =>
    create(IdentitySchema, device === undefined ? { eid, node } : { eid, node, connectionResourceId: device }),
  );
const payload = fc
  .tuple(fc.dictionary(text, text), fc.array(fc.record({ type: text, url: text })))
  .map(([data, media]) => create(PayloadSchema, { data, media: media.map((medium) => ({ ...medium, size: 5n })) }));
const metadata = fc.record({ encrypted: text, signature: text }).map((init) => create(MetadataSchema, init));
const statuses = fc.array(fc.oneof(fc.constantFrom(9, 10, 11, 12, 13), fc.integer()), { maxLength: 5 });
const ack = fc
  .tuple(statuses, fc.array(unknownField, { maxLength: 2 }))
  .map(([status, extra]) =>
    Uint8Array.from([...toBinary(AckSchema, create(AckSchema, { status })), ...extra.flatMap((b) => [...b])]),
  );

/** The bytes of a client's message: any of its fields, in any order, with unknown fields among them. */
const messageBytes = fc
  .tuple(
    fc.tuple(
      stringField(1),
      fc.option(identity.map((v) => field({ toBinary: () => toBinary(IdentitySchema, v) }, 2))),
      fc.option(identity.map((v) => field({ toBinary: () => toBinary(IdentitySchema, v) }, 3))),
      fc.option(stringField(4)),
      fc.option(fc.oneof(fc.constant(Uint8Array.of(0x28, 0)), int64Field(5))),
      fc.option(payload.map((v) => field({ toBinary: () => toBinary(PayloadSchema, v) }, 6))),
      fc.option(ack.map((v) => field({ toBinary: () => v }, 7))),
      fc.option(metadata.map((v) => field({ toBinary: () => toBinary(MetadataSchema, v) }, 8))),
      fc.option(int64Field(9)),
      fc.option(int64Field(10)),
    ),
    fc.array(unknownField, { maxLength: 3 }),
  )
  .chain(([known, unknown]) => {
    const parts = [...known, ...unknown].filter((part) => part !== null);
    return fc.shuffledSubarray(parts, { minLength: parts.length });
  })
  .map((parts) => Uint8Array.from(parts.flatMap((part) => [...part])));

const kind = fc.constantFrom("message" as const, "pushNotification" as const);

/** A frame of it: the payload between unknown envelope fields. */
const frameBytes = fc
  .tuple(kind, messageBytes, fc.array(unknownField, { maxLength: 2 }), fc.array(unknownField, { maxLength: 2 }))
  .map(([name, body, before, after]) => {
    const envelope = field({ toBinary: () => body }, STANZA_ROUTE[name]);
    return Uint8Array.from([...before, envelope, ...after].flatMap((part) => [...part]));
  });

const unknownOf = (message: { $unknown?: unknown }) => message.$unknown ?? [];
const decodeMessageOf = (bytes: Uint8Array) => {
  const scheme = fromBinary(MessageSchemeSchema, bytes);
  if (scheme.payload.case !== "message" && scheme.payload.case !== "pushNotification") throw new Error("no message");
  return { scheme, value: scheme.payload.value as Message, kind: scheme.payload.case };
};

describe("toStored", () => {
  it("keeps what the client sent, and stamps from, ack and an absent timestamp", () => {
    fc.assert(
      fc.property(frameBytes, (bytes) => {
        const frame = decodeFrame(bytes);
        const stored = toStored(frame, stamp);
        const sent = decodeMessageOf(bytes);
        const kept = decodeMessageOf(stored);
        expect(kept.kind).toBe(sent.kind);
        expect(kept.scheme.route).toBe(BigInt(STANZA_ROUTE[sent.kind]));
        expect(unknownOf(kept.scheme)).toEqual(unknownOf(sent.scheme));
        const clientStatus = sent.value.ack?.status ?? [];
        const expectedAck = create(AckSchema, {
          status: clientStatus.includes(12) ? clientStatus : [...clientStatus, 12],
        });
        if (sent.value.ack?.$unknown !== undefined) expectedAck.$unknown = sent.value.ack.$unknown;
        expect(kept.value).toEqual({
          ...sent.value,
          from: stampedFrom,
          ack: expectedAck,
          timestamp: sent.value.timestamp === 0n ? BigInt(stamp.timestampMs) : sent.value.timestamp,
          monotonicId: 0n,
          previousId: 0n,
        });
        // Strict, so each sub-message is there once.
        expect(decodeFrame(stored, { maxStanzaBytes: LIMITS.frameBytes }).stanza.value).toEqual(kept.value);
      }),
      { numRuns: 500 },
    );
  });

  it("is the same for protobufjs once it carries indexes", () => {
    const index = fc.maxSafeNat();
    fc.assert(
      fc.property(frameBytes, index, index, (bytes, own, previous) => {
        const delivered = withIndexes(toStored(decodeFrame(bytes), stamp), own, previous);
        const scheme = fromBinary(MessageSchemeSchema, delivered);
        const theirs = root.lookupType("bimip.MessageScheme");
        const again = theirs.encode(theirs.decode(delivered)).finish();
        const withoutUnknown = { discardUnknownFields: true, writeUnknownFields: false, readUnknownFields: false };
        const strip = (b: Uint8Array) =>
          toJson(MessageSchemeSchema, fromBinary(MessageSchemeSchema, b, withoutUnknown));
        expect(strip(again)).toEqual(strip(delivered));
        const value = scheme.payload.value as Message;
        expect([value.monotonicId, value.previousId]).toEqual([BigInt(own), BigInt(previous)]);
      }),
      { numRuns: 300 },
    );
  });

  it("puts from, ack and timestamp first, the client's bytes behind", () => {
    const bytes = encodeStanza("message", create(MessageSchema, { id: "m", to: { eid: "bob" }, type: "text" }));
    const frame = decodeFrame(bytes);
    const stored = toStored(frame, stamp);
    const client = bytes.subarray(frame.payloadStart, frame.payloadEnd);
    expect(stored.subarray(stored.length - client.length)).toEqual(client);
    const head = [0x12, stamp.from.length, ...stamp.from, 0x3a, 3, 0x0a, 1, 12, 0x28];
    const payloadStart = decodeFrame(stored).payloadStart;
    expect([...stored.subarray(payloadStart, payloadStart + head.length)]).toEqual(head);
  });

  it("refuses kinds that are not stored this way", () => {
    const frame = decodeFrame(encodeStanza("pingPong", create(PingPongSchema, { type: 1 })));
    expect(() => toStored(frame, stamp)).toThrow(BimipError);
  });
});

/** The bytes of a client's signal: any of its fields, in any order, with unknown fields among them. */
const signalBytes = fc
  .tuple(
    fc.tuple(
      stringField(1),
      fc.option(identity.map((v) => field({ toBinary: () => toBinary(IdentitySchema, v) }, 2))),
      fc.option(identity.map((v) => field({ toBinary: () => toBinary(IdentitySchema, v) }, 3))),
      fc.option(fc.constantFrom(Uint8Array.of(0x28, 4), Uint8Array.of(0x28, 1))),
      fc.option(fc.oneof(fc.constant(Uint8Array.of(0x30, 0)), int64Field(6))),
      fc.option(int64Field(7)),
      fc.option(int64Field(8)),
      fc.option(int64Field(9)),
      fc.option(stringField(10)),
    ),
    fc.array(unknownField, { maxLength: 3 }),
  )
  .chain(([known, unknown]) => {
    const parts = [...known, ...unknown].filter((part) => part !== null);
    return fc.shuffledSubarray(parts, { minLength: parts.length });
  })
  .map((parts) => Uint8Array.from(parts.flatMap((part) => [...part])));

describe("stampSignal", () => {
  it("keeps what the client sent, stamps from, and an absent timestamp only when told to", () => {
    const envelope = fc.array(unknownField, { maxLength: 2 });
    fc.assert(
      fc.property(signalBytes, envelope, fc.boolean(), (body, extra, fillTime) => {
        const payload = field({ toBinary: () => body }, STANZA_ROUTE.signal);
        const frame = decodeFrame(Uint8Array.from([...payload, ...extra.flatMap((part) => [...part])]));
        const stamped = stampSignal(frame, stamp.from, fillTime ? stamp.timestampMs : undefined);
        const { stanza, envelopeExtra } = decodeFrame(stamped, { maxStanzaBytes: LIMITS.frameBytes });
        const sent = frame.stanza.value as Signal;
        expect(envelopeExtra).toEqual(frame.envelopeExtra);
        expect(fromBinary(MessageSchemeSchema, stamped).route).toBe(BigInt(STANZA_ROUTE.signal));
        expect(stanza.value).toEqual({
          ...sent,
          from: stampedFrom,
          timestamp: fillTime && sent.timestamp === 0n ? BigInt(stamp.timestampMs) : sent.timestamp,
          logId: 0n,
          previousId: 0n,
        });
        expect(isFrom(stamped, encodeIdentityPrefix(alice.eid, alice.device))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it("refuses other kinds", () => {
    const frame = decodeFrame(encodeStanza("pingPong", create(PingPongSchema, { type: 1 })));
    expect(() => stampSignal(frame, stamp.from)).toThrow(BimipError);
  });
});

describe("encodePage", () => {
  it("is what protobuf-es writes", () => {
    const item = messageBytes.map((body) => field({ toBinary: () => body }, STANZA_ROUTE.message));
    fc.assert(
      fc.property(text, fc.array(item, { maxLength: 5 }), fc.maxSafeNat(), fc.boolean(), (id, items, next, done) => {
        const page = create(PageSchema, {
          id,
          items: items.map((bytes) => fromBinary(MessageSchemeSchema, bytes)),
          next: BigInt(next),
          done,
        });
        const decoded = fromBinary(MessageSchemeSchema, encodePage({ id, items, next, done }));
        expect(decoded).toEqual(fromBinary(MessageSchemeSchema, encodeStanza("page", page)));
      }),
    );
  });
});

describe("withIndexes", () => {
  const stanzas = {
    message: encodeStanza("message", create(MessageSchema, { id: "m", to: { eid: "bob" } })),
    pushNotification: encodeStanza("pushNotification", create(PushNotificationSchema, { id: "m" })),
    signal: encodeStanza("signal", create(SignalSchema, { id: "m", monotonicId: 5n, status: 4 })),
    event: encodeStanza("event", create(EventSchema, { id: "e", type: "call.offer", data: new Uint8Array(200) })),
  };
  const edges = [
    0,
    1,
    127,
    128,
    16_383,
    16_384,
    2 ** 21,
    2 ** 28,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32,
    2 ** 42,
    2 ** 49,
    2 ** 53 - 1,
  ];

  it.each(Object.entries(stanzas))("sets the index fields of %s up to 2^53 - 1", (name, stored) => {
    const fields = name === "signal" || name === "event" ? ["log_id", "previous_id"] : ["monotonic_id", "previous_id"];
    const json = MessageSchemeSchema.field[name]?.message.fields
      .filter((f) => fields.includes(f.name))
      .map((f) => f.localName);
    for (const own of edges) {
      for (const previous of edges) {
        const delivered = withIndexes(stored, own, previous);
        const value = decodeFrame(delivered).stanza.value as unknown as Record<string, bigint>;
        expect(json?.map((localName) => value[localName])).toEqual([BigInt(own), BigInt(previous)]);
        const without = {
          ...(decodeFrame(stored).stanza.value as object),
          [json?.[0] as string]: BigInt(own),
          [json?.[1] as string]: BigInt(previous),
        };
        expect(value).toEqual(without);
      }
    }
    const theirs = protobufjsToJson(root, "bimip.MessageScheme", withIndexes(stored, 2 ** 53 - 1, 2 ** 40)) as Record<
      string,
      Record<string, string>
    >;
    expect(json?.map((localName) => theirs[name]?.[localName])).toEqual(["9007199254740991", "1099511627776"]);
  });

  it("grows the length where it needs another byte, and keeps what follows the payload", () => {
    for (let size = 60; size < 140; size++) {
      const stored = encodeStanza("event", create(EventSchema, { data: new Uint8Array(size) }));
      const trailing = Uint8Array.from([...stored, 0xfa, 1, 1, 65]);
      const delivered = withIndexes(trailing, 2 ** 40, 2 ** 40 - 1);
      const { stanza, envelopeExtra } = decodeFrame(delivered);
      expect(stanza.kind === "event" && [stanza.value.logId, stanza.value.data.length]).toEqual([2n ** 40n, size]);
      expect(envelopeExtra).toEqual(Uint8Array.of(0xfa, 1, 1, 65));
    }
  });

  it("leaves the stored bytes alone and refuses what is no entry", () => {
    const before = stanzas.message.slice();
    withIndexes(stanzas.message, 1, 2);
    expect(stanzas.message).toEqual(before);
    const ping = encodeStanza("pingPong", create(PingPongSchema, { type: 1 }));
    for (const bytes of [ping, new Uint8Array(0), stanzas.message.subarray(0, -1), Uint8Array.of(0x32, 200, 1)]) {
      expect(() => withIndexes(bytes, 1, 2)).toThrow(BimipError);
    }
  });
});

describe("isFrom and entryTarget", () => {
  const prefix = encodeIdentityPrefix(alice.eid, alice.device);
  const storedFrom = (eid: string, device: string | undefined) =>
    toStored(decodeFrame(encodeStanza("message", create(MessageSchema, { id: "m", to: { eid: "bob" } }))), {
      ...stamp,
      from: encodeIdentity({ eid, device, node: "n" }),
    });

  it("knows the very device", () => {
    expect(isFrom(storedFrom(alice.eid, alice.device), prefix)).toBe(true);
    expect(isFrom(storedFrom(alice.eid, "phone2"), prefix)).toBe(false);
    expect(isFrom(storedFrom(alice.eid, "phon"), prefix)).toBe(false);
    expect(isFrom(storedFrom(alice.eid, undefined), prefix)).toBe(false);
    expect(isFrom(storedFrom("alice@example.con", alice.device), prefix)).toBe(false);
  });

  it("holds for any two devices, and for signals written by an encoder", () => {
    fc.assert(
      fc.property(text, text, text, text, (eid, device, otherEid, otherDevice) => {
        const same = eid === otherEid && device === otherDevice;
        const wanted = encodeIdentityPrefix(otherEid, otherDevice);
        expect(isFrom(storedFrom(eid, device), wanted)).toBe(same);
        const from = create(IdentitySchema, { eid, connectionResourceId: device });
        const signal = encodeStanza("signal", create(SignalSchema, { id: "s", from, status: 4 }));
        // protobuf-es leaves an empty eid out; no session has one.
        if (eid !== "" && otherEid !== "") expect(isFrom(signal, wanted)).toBe(same);
      }),
    );
  });

  it("says no where there is no from, and refuses what is no entry", () => {
    expect(isFrom(encodeStanza("signal", create(SignalSchema, { id: "s" })), prefix)).toBe(false);
    expect(() => isFrom(Uint8Array.of(1), prefix)).toThrow(BimipError);
    expect(() => entryTarget(Uint8Array.of(8, 6, 0x32, 9))).toThrow(BimipError);
  });

  it("takes a receipt as being for all devices of its user, typing as for the one it names", () => {
    const target = (status: number) =>
      entryTarget(
        encodeStanza("signal", create(SignalSchema, { to: { eid: "bob", connectionResourceId: "tv" }, status })),
      );
    for (const status of [3, 4, 5, 13]) expect(target(status)).toEqual({ eid: "bob", device: undefined });
    for (const status of [1, 2]) expect(target(status)).toEqual({ eid: "bob", device: "tv" });
  });

  it("reads whom an entry is for", () => {
    fc.assert(
      fc.property(frameBytes, (bytes) => {
        const stored = toStored(decodeFrame(bytes), stamp);
        const to = decodeMessageOf(bytes).value.to;
        expect(entryTarget(stored)).toEqual({ eid: to?.eid ?? "", device: to?.connectionResourceId });
      }),
    );
    const event = encodeStanza("event", create(EventSchema, { to: { eid: "bob", connectionResourceId: "tv" } }));
    expect(entryTarget(event)).toEqual({ eid: "bob", device: "tv" });
    expect(entryTarget(encodeStanza("signal", create(SignalSchema, { id: "s" })))).toEqual({
      eid: "",
      device: undefined,
    });
  });
});

describe("encodeIdentity", () => {
  it("is what protobuf-es writes, its prefix included", () => {
    fc.assert(
      fc.property(fc.tuple(text, text, text), ([eid, device, node]) => {
        fc.pre(eid !== "");
        const theirs = toBinary(IdentitySchema, create(IdentitySchema, { eid, connectionResourceId: device, node }));
        expect(encodeIdentity({ eid, device, node })).toEqual(theirs);
        expect(encodeIdentityPrefix(eid, device)).toEqual(
          toBinary(IdentitySchema, create(IdentitySchema, { eid, connectionResourceId: device })),
        );
      }),
    );
    expect(encodeIdentity({ eid: "a", node: "" })).toEqual(Uint8Array.of(0x0a, 1, 97));
  });
});
