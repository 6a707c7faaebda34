import { clone, create, equals, fromBinary, isFieldSet, ScalarType, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BimipError,
  decodeFrame,
  encodeStanza,
  LIMITS,
  MessageSchema,
  type MessageScheme,
  MessageSchemeSchema,
  PageSchema,
  PingPongSchema,
} from "./index.js";
import { decodeMessage } from "./decode-message.js";

type Build = (writer: BinaryWriter) => BinaryWriter;
const bytesOf = (build: Build): Uint8Array => build(new BinaryWriter()).finish();
const sub =
  (no: number, build: Build): Build =>
  (writer) =>
    build(writer.tag(no, WireType.LengthDelimited).fork()).join();
const text =
  (no: number, value: string): Build =>
  (writer) =>
    writer.tag(no, WireType.LengthDelimited).string(value);
const raw =
  (no: number, ...value: number[]): Build =>
  (writer) =>
    writer.tag(no, WireType.LengthDelimited).bytes(Uint8Array.from(value));
const all =
  (...parts: Build[]): Build =>
  (writer) =>
    parts.reduce((w, part) => part(w), writer);

const MESSAGE = 6;
const frameOf = (...fields: Build[]): Uint8Array => bytesOf(sub(MESSAGE, all(text(1, "m-1"), ...fields)));

function errorOf(bytes: Uint8Array, options = {}): BimipError {
  try {
    decodeFrame(bytes, options);
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(BimipError);
    return thrown as BimipError;
  }
  throw new Error("was not refused");
}

describe("decodeFrame", () => {
  it("gives the stanza and where its payload stands", () => {
    const bytes = encodeStanza("pingPong", create(PingPongSchema, { id: "p", type: 1 }));
    const frame = decodeFrame(bytes);
    expect(frame.stanza).toEqual({ kind: "pingPong", value: create(PingPongSchema, { id: "p", type: 1 }) });
    const payload = bytes.subarray(frame.payloadStart, frame.payloadEnd);
    expect(fromBinary(PingPongSchema, payload)).toEqual(frame.stanza.value);
    expect(frame.envelopeExtra).toBeUndefined();
  });

  it("keeps the envelope's unknown fields and accepts any route", () => {
    const extra = bytesOf(text(99, "kept"));
    const more = bytesOf((w) => w.tag(100, WireType.Varint).uint32(7));
    const ping = encodeStanza("pingPong", create(PingPongSchema, { type: 1 }));
    const route = bytesOf((w) => w.tag(1, WireType.Varint).int64(-5n));
    const frame = decodeFrame(Uint8Array.from([...extra, ...ping, ...more, ...route]));
    expect(frame.envelopeExtra).toEqual(Uint8Array.from([...extra, ...more]));
    expect(frame.stanza.kind).toBe("pingPong");
  });

  it("keeps a byte order mark: names are compared byte by byte", () => {
    const { stanza } = decodeFrame(frameOf(sub(3, text(1, "\ufeffbob"))));
    expect(stanza.kind === "message" && stanza.value.to?.eid).toBe("\ufeffbob");
  });

  it("keeps a map entry named __proto__", () => {
    const { stanza } = decodeFrame(frameOf(sub(6, sub(1, all(text(1, "__proto__"), text(2, "v"))))));
    const data = stanza.kind === "message" ? stanza.value.payload?.data : undefined;
    expect(Object.entries(data ?? {})).toEqual([["__proto__", "v"]]);
  });

  it.each<[string, Uint8Array, string, string | undefined]>([
    ["nothing", new Uint8Array(0), "the frame has no payload", undefined],
    ["a route alone", Uint8Array.of(8, 6), "the frame has no payload", undefined],
    ["an unknown payload", bytesOf(sub(20, text(1, "x"))), "the frame has no payload", undefined],
    ["text", new TextEncoder().encode("hello"), "the frame has wire type 0 for awareness_contact", undefined],
    ["field number 0", Uint8Array.of(0, 1), "the frame has an impossible tag", undefined],
    ["wire type 7", Uint8Array.of(15, 1), "the frame has an impossible tag", undefined],
    ["a tag over 32 bits", Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f), "the frame a tag is over 32 bits", undefined],
    ["an open group", Uint8Array.of(0x9b, 6), "the frame ends too early", undefined],
    ["a stray end of group", Uint8Array.of(0x9c, 6), "the frame ends a group that never began", undefined],
    [
      "two payloads",
      bytesOf(all(sub(MESSAGE, text(1, "a")), sub(3, text(1, "b")))),
      "the frame has more than one payload",
      "a",
    ],
    [
      "a payload twice",
      bytesOf(all(sub(MESSAGE, text(1, "a")), sub(MESSAGE, text(1, "b")))),
      "the frame has more than one payload",
      "a",
    ],
    ["a payload as varint", Uint8Array.of(0x30, 1), "the frame has wire type 0 for message", undefined],
    ["a route as string", Uint8Array.of(10, 0), "the frame has wire type 2 for route", undefined],
    ["invalid UTF-8", frameOf(raw(4, 0xff)), "message.type: is not valid UTF-8", "m-1"],
    ["an encoded surrogate", frameOf(raw(4, 0xed, 0xa0, 0x80)), "message.type: is not valid UTF-8", "m-1"],
    ["overlong UTF-8", frameOf(raw(4, 0xc0, 0x80)), "message.type: is not valid UTF-8", "m-1"],
    ["nested invalid UTF-8", frameOf(sub(3, raw(1, 0x61, 0xc3))), "message.to.eid: is not valid UTF-8", "m-1"],
    ["an invalid map key", frameOf(sub(6, sub(1, raw(1, 0xff)))), "message.payload.data: is not valid UTF-8", "m-1"],
    ["an invalid map value", frameOf(sub(6, sub(1, raw(2, 0xff)))), "message.payload.data: is not valid UTF-8", "m-1"],
    [
      "a third map field",
      frameOf(sub(6, sub(1, text(3, "x")))),
      "message.payload.data: has an entry with more than a key and a value",
      "m-1",
    ],
    [
      "invalid UTF-8 in a list",
      frameOf(sub(6, sub(2, raw(2, 0xff)))),
      "message.payload.media.url: is not valid UTF-8",
      "m-1",
    ],
    ["a sub-message twice", frameOf(sub(3, text(1, "b")), sub(3, text(2, "d"))), "message.to: is given twice", "m-1"],
    [
      "a wrong wire type",
      frameOf((w) => w.tag(4, WireType.Varint).uint32(1)),
      "message.type: has wire type 0 instead of 2",
      "m-1",
    ],
    ["a sub-message that runs over", frameOf(raw(3, 0x0a, 5, 0x61)), "message.to.eid: ends too early", "m-1"],
    [
      "an endless number",
      frameOf((w) => w.raw(Uint8Array.of(0x28, ...Array.from({ length: 10 }, () => 0xff), 1))),
      "message.timestamp: has a number over ten bytes",
      "m-1",
    ],
    ["a cut-off payload", frameOf(text(4, "text")).subarray(0, -2), "the frame ends too early", "m-1"],
  ])("refuses %s", (_what, bytes, details, id) => {
    const error = errorOf(bytes);
    expect([error.code, error.details, error.id]).toEqual([400, details, id]);
  });

  it("finds invalid UTF-8 in every string field of every stanza", () => {
    let count = 0;
    for (const payload of MessageSchemeSchema.fields) {
      if (payload.fieldKind !== "message") continue;
      for (const field of payload.message.fields) {
        if (field.fieldKind !== "scalar" || field.scalar !== ScalarType.STRING) continue;
        const error = errorOf(bytesOf(sub(payload.number, raw(field.number, 0x61, 0xff))));
        expect(error.details).toBe(`${payload.name}.${field.name}: is not valid UTF-8`);
        count++;
      }
    }
    expect(count).toBeGreaterThan(20);
  });

  it("takes 64 KiB and refuses one byte more with its id, limit and size", () => {
    const filled = (size: number) => frameOf(sub(6, sub(1, text(2, "x".repeat(size)))));
    const overhead = filled(65_000).length - 65_000;
    expect(decodeFrame(filled(LIMITS.stanzaBytes - overhead)).bytes.length).toBe(65_536);
    const error = errorOf(filled(LIMITS.stanzaBytes - overhead + 1));
    expect([error.code, error.id]).toEqual([413, "m-1"]);
    expect(error.details).toBe("the stanza has 65537 bytes, at most 65536 are allowed");
    expect(errorOf(frameOf(), { maxStanzaBytes: 4 }).code).toBe(413);
  });

  it("names no id that is not a valid one", () => {
    expect(errorOf(bytesOf(sub(MESSAGE, all(text(1, "x".repeat(129)), raw(4, 0xff))))).id).toBeUndefined();
    expect(errorOf(bytesOf(sub(MESSAGE, all(raw(1, 0xff), raw(4, 0xff))))).id).toBeUndefined();
  });

  it("takes nesting up to the limit and refuses more", () => {
    const nested = (pages: number): Uint8Array => {
      let scheme: MessageScheme = create(MessageSchemeSchema, { payload: { case: "pingPong", value: { type: 1 } } });
      for (let i = 0; i < pages; i++) {
        scheme = create(MessageSchemeSchema, {
          payload: { case: "page", value: create(PageSchema, { items: [scheme] }) },
        });
      }
      return toBinary(MessageSchemeSchema, scheme);
    };
    // Envelope and payload are two levels, so is each page around them.
    expect(decodeFrame(nested(7)).stanza.kind).toBe("page");
    expect(errorOf(nested(8)).details).toMatch(/^page\.items\.page\..*: is nested too deep$/);
  });

  it("counts unknown groups as nesting", () => {
    // Field 31: start of group 0xfb 0x01, end of group 0xfc 0x01.
    const groups = (depth: number): Uint8Array =>
      Uint8Array.from(
        [...Array.from({ length: depth }, () => [0xfb, 1]), ...Array.from({ length: depth }, () => [0xfc, 1])].flat(),
      );
    const framed = (depth: number) => frameOf((w) => w.raw(groups(depth)));
    expect(decodeFrame(framed(14)).stanza.kind).toBe("message");
    expect(errorOf(framed(15)).details).toBe("message: is nested too deep");
    expect(errorOf(framed(10_000)).details).toBe("message: is nested too deep");
  });

  it("throws nothing but BimipError, whatever the bytes", () => {
    const broken = fc.tuple(fc.uint8Array({ maxLength: 12 }), fc.nat(200), fc.nat(200)).map(([noise, cut, at]) => {
      const whole = frameOf(sub(3, text(1, "bob")), sub(6, sub(1, all(text(1, "k"), text(2, "v")))));
      const bytes = Array.from(whole.subarray(0, whole.length - (cut % whole.length)));
      bytes.splice(at % (bytes.length + 1), noise.length, ...noise);
      return Uint8Array.from(bytes);
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), broken), (bytes) => {
        try {
          const { stanza } = decodeFrame(bytes);
          // What we take, protobuf-es takes, and reads the same.
          const theirs = fromBinary(MessageSchemeSchema, bytes);
          expect(theirs.payload.case).toBe(stanza.kind);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(BimipError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("decodeMessage", () => {
  it("reads every int64 and int32 as protobuf-es does", () => {
    const any64 = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.nat().map(BigInt));
    fc.assert(
      fc.property(any64, fc.array(fc.integer()), (timestamp, status) => {
        const bytes = toBinary(MessageSchema, create(MessageSchema, { timestamp, ack: { status } }));
        expect(decodeMessage(MessageSchema, bytes)).toEqual(fromBinary(MessageSchema, bytes));
      }),
    );
  });

  it("takes unpacked numbers in a packed field", () => {
    const bytes = bytesOf(sub(7, (w) => w.tag(1, WireType.Varint).int32(11).tag(1, WireType.Varint).int32(-1)));
    expect(decodeMessage(MessageSchema, bytes).ack?.status).toEqual([11, -1]);
  });

  it("makes the same empty message as create()", () => {
    for (const payload of MessageSchemeSchema.fields) {
      if (payload.fieldKind !== "message") continue;
      const ours = decodeMessage(payload.message, new Uint8Array(0));
      expect(ours).toEqual(create(payload.message));
      // Unset fields are own properties of ours: that must not make them set for protobuf-es.
      expect(payload.message.fields.filter((field) => isFieldSet(ours, field))).toEqual([]);
      expect(equals(payload.message, ours, create(payload.message))).toBe(true);
      expect(toBinary(payload.message, clone(payload.message, ours)).length).toBe(0);
    }
    expect(decodeMessage(MessageSchemeSchema, new Uint8Array(0))).toEqual(create(MessageSchemeSchema));
  });
});
