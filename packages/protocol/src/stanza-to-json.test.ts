import { create, ScalarType } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { describe, expect, it } from "vitest";
import {
  BimipError,
  encodeStanza,
  EventSchema,
  LocationStreamSchema,
  LogoutSchema,
  MessageSchema,
  MessageSchemeSchema,
  SignalSchema,
  stanzaToJson,
} from "./index.js";
import { codesOf } from "./stanza-to-json.js";

describe("stanzaToJson", () => {
  it("names codes and keeps the .proto file's words", () => {
    const signal = create(SignalSchema, {
      id: "m",
      to: { eid: "bob" },
      type: 2,
      status: 12,
      monotonicId: 7n,
      epoch: 2n ** 60n,
    });
    expect(stanzaToJson(encodeStanza("signal", signal))).toEqual({
      route: 12,
      signal: {
        id: "m",
        to: { eid: "bob" },
        type: 2,
        type_name: "RESPONSE",
        status: 12,
        status_name: "SENT",
        monotonic_id: 7,
        epoch: "1152921504606846976",
      },
    });
  });

  it("names every status of an ack and shows unknown fields", () => {
    const message = create(MessageSchema, { id: "m", ack: { status: [11, 12, 99] }, payload: { data: { a: "b" } } });
    message.$unknown = [{ no: 50, wireType: WireType.Varint, data: Uint8Array.of(5) }];
    expect(stanzaToJson(encodeStanza("message", message))).toEqual({
      route: 6,
      message: {
        id: "m",
        payload: { data: { a: "b" } },
        ack: { status: [11, 12, 99], status_names: ["FORWARDED", "SENT", "unknown"] },
        unknown: [{ no: 50, wire_type: 0, hex: "05" }],
      },
    });
  });

  it("shows bytes as base64, an optional zero, a code that is 0 and numbers JSON has not", () => {
    const event = create(EventSchema, { data: Uint8Array.of(255, 0) });
    expect(stanzaToJson(encodeStanza("event", event))).toEqual({ route: 14, event: { data: "/wA=" } });
    const location = create(LocationStreamSchema, { altitude: 0, latitude: Number.NaN });
    const shown = { latitude: "NaN", altitude: 0 };
    expect(stanzaToJson(encodeStanza("locationStream", location))).toEqual({ route: 8, location_stream: shown });
    const logout = { type: 1, type_name: "DEVICE", status: 0, status_name: "INITIATED" };
    expect(stanzaToJson(encodeStanza("logout", create(LogoutSchema, { type: 1 })))).toEqual({ route: 11, logout });
  });

  it("knows the names of every code field of the schema", () => {
    const codes = /^(type|status|task|action|relationship|visibility|location_sharing|code|error_origin)$/;
    for (const stanza of MessageSchemeSchema.fields) {
      if (stanza.fieldKind !== "message") continue;
      for (const field of stanza.message.fields) {
        const isCode = field.fieldKind === "scalar" && field.scalar === ScalarType.INT32 && codes.test(field.name);
        expect([field.toString(), codesOf(field) !== undefined]).toEqual([field.toString(), isCode]);
      }
    }
  });

  it("refuses bytes that do not parse", () => {
    expect(() => stanzaToJson(Uint8Array.of(1, 2, 3))).toThrow(BimipError);
  });
});
