import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AwarenessSchema,
  BimipError,
  BodySchema,
  decodeFrame,
  encodeBody,
  encodePayload,
  encodeSent,
  encodeStanza,
  ErrorCode,
  errorFrame,
  ErrorOrigin,
  MessageSchemeSchema,
  PingPongSchema,
  SignalSchema,
  SignalStatus,
  SignalType,
  STANZA_KINDS,
  STANZA_ROUTE,
  stanzaId,
} from "./index.js";

describe("STANZA_ROUTE", () => {
  it("holds the envelope's field numbers", () => {
    expect(STANZA_ROUTE).toEqual({
      awareness: 2,
      pingPong: 3,
      awarenessVisibility: 4,
      tokenAuthority: 5,
      message: 6,
      pushNotification: 7,
      locationStream: 8,
      body: 9,
      error: 10,
      logout: 11,
      signal: 12,
      awarenessContact: 13,
      event: 14,
      query: 15,
      page: 16,
    });
    expect(Object.keys(STANZA_ROUTE)).toEqual([...STANZA_KINDS]);
  });
});

describe("encodeStanza", () => {
  it("fills the route of every kind", () => {
    for (const field of MessageSchemeSchema.fields) {
      if (field.fieldKind !== "message") continue;
      const bytes = encodeStanza(field.localName as "pingPong", create(field.message) as never);
      const scheme = fromBinary(MessageSchemeSchema, bytes);
      expect([scheme.route, scheme.payload.case]).toEqual([BigInt(field.number), field.localName]);
    }
  });

  it("refuses with 422 what a field cannot hold", () => {
    for (const type of [1.5, 2 ** 31, Number.NaN]) {
      const encode = () => encodeStanza("pingPong", create(PingPongSchema, { type }));
      expect(encode).toThrow(expect.objectContaining({ name: "BimipError", code: 422 }));
    }
  });
});

describe("encodeSent", () => {
  it("is what encodeStanza makes", () => {
    const text = fc.string({ unit: "grapheme-composite", minLength: 1, maxLength: 128 });
    const index = fc.maxSafeNat().filter((n) => n > 0);
    fc.assert(
      fc.property(text, text, index, index, fc.maxSafeNat(), (id, toEid, timestampMs, monotonicId, logId) => {
        const signal = create(SignalSchema, {
          id,
          to: { eid: toEid },
          type: SignalType.RESPONSE,
          status: SignalStatus.SENT,
          timestamp: BigInt(timestampMs),
          monotonicId: BigInt(monotonicId),
          logId: BigInt(logId),
        });
        expect(encodeSent({ id, toEid, timestampMs, monotonicId, logId })).toEqual(encodeStanza("signal", signal));
      }),
    );
  });
});

const awareness = fc
  .record({
    id: fc.string({ unit: "grapheme-composite", maxLength: 128 }),
    status: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
    details: fc.string({ maxLength: 300 }),
  })
  .map((init) => create(AwarenessSchema, init));

describe("encodePayload", () => {
  it("is what encodeStanza makes, the payload at its end", () => {
    fc.assert(
      fc.property(awareness, (value) => {
        const payload = toBinary(AwarenessSchema, value);
        const frame = encodePayload("awareness", payload);
        expect(frame).toEqual(encodeStanza("awareness", value));
        expect(frame.subarray(frame.length - payload.length)).toEqual(payload);
      }),
    );
    for (const kind of STANZA_KINDS) expect(decodeFrame(encodePayload(kind, new Uint8Array(0))).stanza.kind).toBe(kind);
  });
});

describe("encodeBody", () => {
  it("is what encodeStanza makes", () => {
    const route = fc.constantFrom(2, 9);
    const timestampMs = fc.maxSafeNat().filter((n) => n > 0);
    fc.assert(
      fc.property(route, fc.array(awareness, { maxLength: 40 }), timestampMs, (route, list, timestampMs) => {
        const body = create(BodySchema, {
          route: BigInt(route),
          awarenessList: list,
          timestamp: BigInt(timestampMs),
        });
        const parts = { route, awareness: list.map((value) => toBinary(AwarenessSchema, value)), timestampMs };
        expect(encodeBody(parts)).toEqual(encodeStanza("body", body));
      }),
    );
  });
});

describe("errorFrame", () => {
  it("carries code, origin, details, id and the time", () => {
    const before = BigInt(Date.now());
    const error = new BimipError(ErrorCode.FIELD_WRONG, "message.to.eid: is missing", {
      field: "message.to.eid",
      id: "m-1",
    });
    const { stanza } = decodeFrame(errorFrame(error, ErrorOrigin.CLIENT));
    if (stanza.kind !== "error") throw new Error("no error");
    const { timestamp, ...rest } = stanza.value;
    expect(rest).toMatchObject({ code: 422, errorOrigin: 1, details: "message.to.eid: is missing", id: "m-1" });
    expect(timestamp).toBeGreaterThanOrEqual(before);
    expect(stanzaId(stanza)).toBe("m-1");
  });

  it("shortens long details without breaking a character", () => {
    const { stanza } = decodeFrame(errorFrame(new BimipError(400, `x${"👋".repeat(9000)}`), ErrorOrigin.CLIENT));
    if (stanza.kind !== "error") throw new Error("no error");
    expect(stanza.value.details.length).toBe(1025);
    expect(stanza.value.details.endsWith("👋\ufffd…")).toBe(true);
  });
});

describe("BimipError", () => {
  it("keeps itself and hides everything else behind 500", () => {
    const known = new BimipError(404, "no such thing");
    expect(BimipError.from(known)).toBe(known);
    const cause = new Error("secret");
    const hidden = BimipError.from(cause);
    expect([hidden.code, hidden.details, hidden.cause]).toEqual([500, "internal error", cause]);
    expect(BimipError.from("text").code).toBe(500);
    expect("field" in known).toBe(false);
  });
});
