import type { DescEnum, DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { base64Encode } from "@bufbuild/protobuf/wire";
import { decodeMessage } from "./decode-message.js";
import { decodeFrame } from "./decode-frame.js";
import * as gen from "./gen/bimip/bimip_pb.js";
import { LIMITS } from "./limits.js";

// Codes are int32 on the wire; this says which enum names a field's numbers.
const CODES: Readonly<Record<string, DescEnum>> = {
  "bimip.Ack.status": gen.AckStatusSchema,
  "bimip.Signal.type": gen.SignalTypeSchema,
  "bimip.Signal.status": gen.SignalStatusSchema,
  "bimip.Awareness.type": gen.AwarenessTypeSchema,
  "bimip.Awareness.status": gen.AwarenessStatusSchema,
  "bimip.Awareness.location_sharing": gen.LocationSharingSchema,
  "bimip.Awareness.visibility": gen.VisibilitySchema,
  "bimip.AwarenessContact.relationship": gen.ContactRelationshipSchema,
  "bimip.AwarenessContact.action": gen.ContactActionSchema,
  "bimip.AwarenessVisibility.type": gen.VisibilitySchema,
  "bimip.PingPong.type": gen.PingPongTypeSchema,
  "bimip.TokenAuthority.type": gen.TokenTypeSchema,
  "bimip.TokenAuthority.task": gen.TokenTaskSchema,
  "bimip.Logout.type": gen.LogoutTypeSchema,
  "bimip.Logout.status": gen.LogoutStatusSchema,
  "bimip.Query.type": gen.QueryTypeSchema,
  "bimip.ErrorMessage.code": gen.ErrorCodeSchema,
  "bimip.ErrorMessage.error_origin": gen.ErrorOriginSchema,
};

/** The enum whose numbers an int32 field holds, if any. */
export function codesOf(field: DescField): DescEnum | undefined {
  return CODES[`${field.parent.typeName}.${field.name}`];
}

type Json = Record<string, unknown>;

/**
 * A frame in readable form, in the words of the .proto file: `{ route, message: { id, to: { eid }, … } }`. Beside each
 * code stands its name (`status: 12, status_name: "SENT"`), int64 is a number where that is exact and else a string,
 * bytes are base64, unknown fields are listed under `unknown`; fields that are zero and not optional are left out.
 * Takes frames up to {@link LIMITS}.frameBytes; throws what `decodeFrame` throws.
 */
export function stanzaToJson(bytes: Uint8Array): object {
  decodeFrame(bytes, { maxStanzaBytes: LIMITS.frameBytes });
  return messageToJson(gen.MessageSchemeSchema, decodeMessage(gen.MessageSchemeSchema, bytes));
}

function messageToJson(desc: DescMessage, message: Message): Json {
  const json: Json = {};
  for (const field of desc.fields) {
    const value = fieldValue(message, field);
    if (!isSet(field, value)) continue;
    json[field.name] = valueToJson(field, value);
    const codes = codesOf(field);
    if (codes === undefined) continue;
    if (Array.isArray(value)) json[`${field.name}_names`] = value.map((number) => codeName(codes, number));
    else json[`${field.name}_name`] = codeName(codes, value as number);
  }
  if (message.$unknown !== undefined && message.$unknown.length > 0) {
    json["unknown"] = message.$unknown.map(({ no, wireType, data }) => ({ no, wire_type: wireType, hex: hex(data) }));
  }
  return json;
}

function fieldValue(message: Message, field: DescField): unknown {
  const values = message as unknown as Readonly<Record<string, unknown>>;
  if (field.oneof === undefined) return values[field.localName];
  const chosen = values[field.oneof.localName] as { case?: string; value?: unknown };
  return chosen.case === field.localName ? chosen.value : undefined;
}

function isSet(field: DescField, value: unknown): boolean {
  if (value === undefined) return false;
  if (field.fieldKind === "message" || field.proto.proto3Optional) return true;
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length > 0;
  if (field.fieldKind === "map") return Object.keys(value as object).length > 0;
  // A code of 0 has a meaning in some enums (LocationSharing OFF, Logout INITIATED): it is shown where it has.
  if (value === 0) return codesOf(field)?.value[0]?.localName !== "UNSPECIFIED" && codesOf(field) !== undefined;
  return value !== "" && value !== 0n && value !== false;
}

function valueToJson(field: DescField, value: unknown): unknown {
  if (field.fieldKind === "message") return messageToJson(field.message, value as Message);
  if (field.fieldKind === "list" && field.listKind === "message") {
    return (value as Message[]).map((item) => messageToJson(field.message, item));
  }
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  return value instanceof Uint8Array ? base64Encode(value) : value;
}

function codeName(codes: DescEnum, number: number): string {
  return codes.value[number]?.localName ?? "unknown";
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
