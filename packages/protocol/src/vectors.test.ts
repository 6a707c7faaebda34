import { type DescMessage, fromBinary, fromJson, toBinary, toJson } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { loadRoot, makeVectors, protobufjsToJson } from "../vectors/generate.mjs";
import vectors from "../vectors/stanzas.json" with { type: "json" };
import { decodeMessage } from "./decode-message.js";
import { file_bimip_server_server } from "./gen/bimip/server/server_pb.js";
import { decodeFrame, encodeStanza, MessageSchemeSchema, STANZA_KINDS, STANZA_ROUTE, stanzaToJson } from "./index.js";

const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const root = loadRoot();
const stanzas = vectors.filter((vector) => vector.type === "bimip.MessageScheme");
const serverMessages = vectors.filter((vector) => vector.type !== "bimip.MessageScheme");
const serverSchema = (type: string): DescMessage => {
  const found = file_bimip_server_server.messages.find((message) => message.typeName === type);
  if (found === undefined) throw new Error(`no message ${type}`);
  return found;
};

describe("golden vectors", () => {
  it("are what protobufjs makes of the .proto files today", () => {
    expect(vectors.map(({ name, type, hex, value }) => ({ name, type, hex, value }))).toEqual(makeVectors());
  });

  it("cover every stanza of the envelope and every server message", () => {
    expect(stanzas.map((vector) => vector.name)).toEqual([...STANZA_KINDS]);
    expect(serverMessages.map((v) => v.type)).toEqual(file_bimip_server_server.messages.map((m) => m.typeName));
  });

  it("populate every field of their stanza", () => {
    for (const { name, value } of vectors) {
      const isStanza = STANZA_KINDS.includes(name as never);
      const fields = isStanza ? (value as unknown as Record<string, object>)[name] : value;
      const desc = isStanza ? MessageSchemeSchema.field[name]?.message : serverSchema(`bimip.server.${name}`);
      const set = Object.keys(fields ?? {});
      const oneofs = desc?.oneofs.filter(
        ({ fields: choices }) => !choices.some(({ localName }) => set.includes(localName)),
      );
      expect(oneofs).toEqual([]);
      const all = desc?.fields.filter(({ oneof, localName }) => oneof === undefined || set.includes(localName));
      expect(set.toSorted()).toEqual(all?.map((field) => field.localName).toSorted());
    }
  });

  it.each(stanzas)("decode: $name by protobufjs and by protobuf-go", ({ name, hex, goHex, value }) => {
    for (const bytes of [bytesOf(hex), bytesOf(goHex)]) {
      const { stanza } = decodeFrame(bytes);
      expect(stanza.kind).toBe(name);
      const payload = (value as unknown as Record<string, unknown>)[name];
      const schema = MessageSchemeSchema.field[name]?.message as DescMessage;
      expect(toJson(schema, stanza.value)).toEqual(payload);
      expect(toJson(MessageSchemeSchema, decodeMessage(MessageSchemeSchema, bytes))).toEqual(value);
      expect(stanzaToJson(bytes)).toMatchObject({ route: STANZA_ROUTE[stanza.kind] });
    }
  });

  it.each(stanzas)("encode: protobufjs reads our $name", ({ value }) => {
    const { payload } = fromJson(MessageSchemeSchema, value as never);
    if (payload.case === undefined) throw new Error("no payload");
    const bytes = encodeStanza(payload.case, payload.value as never);
    expect(protobufjsToJson(root, "bimip.MessageScheme", bytes)).toEqual(value);
  });

  it.each(serverMessages)("both ways: $type", ({ type, hex, goHex, value }) => {
    const schema = serverSchema(type);
    for (const bytes of [bytesOf(hex), bytesOf(goHex)]) {
      expect(toJson(schema, fromBinary(schema, bytes))).toEqual(value); // as the services read it
    }
    const bytes = toBinary(schema, fromJson(schema, value as never));
    expect(protobufjsToJson(root, type, bytes)).toEqual(value);
  });
});
