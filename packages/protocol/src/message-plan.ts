import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { WIRE } from "./wire-reader.js";

/** The shapes of field that the schema uses. */
export type FieldPlanKind =
  | "string"
  | "int32"
  | "int64"
  | "bool"
  | "double"
  | "bytes"
  | "message"
  | "messageList"
  | "int32List"
  | "stringMap";

/** What the decoder must know of one field. */
export interface FieldPlan {
  readonly kind: FieldPlanKind;
  /** Name in the .proto file, for error texts. */
  readonly name: string;
  readonly localName: string;
  readonly wireType: number;
  /** Name of the real oneof it belongs to. */
  readonly oneof: string | undefined;
  /** The plan of the message in it, for kinds message and messageList. */
  readonly message: MessagePlan | undefined;
}

/** What the decoder must know of one message type. */
export interface MessagePlan {
  /** Fields by number. */
  readonly fields: (FieldPlan | undefined)[];
  /** An empty message, to be spread; lists, maps and oneofs are to be made anew. */
  readonly template: Readonly<Record<string, unknown>>;
  readonly lists: string[];
  readonly maps: string[];
  readonly oneofs: string[];
}

const SCALARS: ReadonlyMap<ScalarType, readonly [FieldPlanKind, number]> = new Map([
  [ScalarType.STRING, ["string", WIRE.bytes]],
  [ScalarType.INT32, ["int32", WIRE.varint]],
  [ScalarType.INT64, ["int64", WIRE.varint]],
  [ScalarType.BOOL, ["bool", WIRE.varint]],
  [ScalarType.DOUBLE, ["double", WIRE.bit64]],
  [ScalarType.BYTES, ["bytes", WIRE.bytes]],
]);

const ZERO: Readonly<Partial<Record<FieldPlanKind, unknown>>> = {
  string: "",
  int32: 0,
  int64: 0n,
  bool: false,
  double: 0,
  bytes: new Uint8Array(0),
};

const plans = new Map<DescMessage, MessagePlan>();

/** The plan of a message type, made once. Throws on a kind of field that the schema has not used so far. */
export function planOf(desc: DescMessage): MessagePlan {
  const known = plans.get(desc);
  if (known !== undefined) return known;
  const template: Record<string, unknown> = { $typeName: desc.typeName };
  const plan: MessagePlan = { fields: [], template, lists: [], maps: [], oneofs: [] };
  // Before its fields: a Page holds envelopes, which may hold a Page.
  plans.set(desc, plan);
  for (const member of desc.members) {
    if (member.kind === "oneof") {
      plan.oneofs.push(member.localName);
      template[member.localName] = undefined;
      continue;
    }
    const kind = fieldKind(member)[0];
    // Every field is in the template, unset ones as undefined: all messages of a type then have one hidden class, and no
    // store adds a property, which costs many times a store to one that is there.
    if (kind === "messageList" || kind === "int32List") plan.lists.push(member.localName);
    if (kind === "stringMap") plan.maps.push(member.localName);
    // A double that was once a fraction keeps the engine from taking the field for an integer, and changing its mind later.
    if (kind === "double") template[member.localName] = 0.5;
    template[member.localName] = member.proto.proto3Optional ? undefined : ZERO[kind];
  }
  for (const field of desc.fields) {
    const [kind, wireType] = fieldKind(field);
    const inner = messageIn(field);
    plan.fields[field.number] = {
      kind,
      name: field.name,
      localName: field.localName,
      wireType,
      oneof: field.oneof?.localName,
      message: inner === undefined ? undefined : planOf(inner),
    };
  }
  return plan;
}

function messageIn(field: DescField): DescMessage | undefined {
  if (field.fieldKind === "message") return field.message;
  return field.fieldKind === "list" && field.listKind === "message" ? field.message : undefined;
}

function fieldKind(field: DescField): readonly [FieldPlanKind, number] {
  if (field.fieldKind === "message") return ["message", WIRE.bytes];
  if (field.fieldKind === "list" && field.listKind === "message") return ["messageList", WIRE.bytes];
  if (field.fieldKind === "list" && field.scalar === ScalarType.INT32) return ["int32List", WIRE.bytes];
  if (field.fieldKind === "map" && field.mapKey === ScalarType.STRING && field.scalar === ScalarType.STRING) {
    return ["stringMap", WIRE.bytes];
  }
  const scalar = field.fieldKind === "scalar" ? SCALARS.get(field.scalar) : undefined;
  if (scalar === undefined) throw new Error(`the decoder does not know the kind of field ${field.toString()}`);
  return scalar;
}

/** A new empty message of a type: what `create()` of protobuf-es makes, with unset fields there as `undefined`. */
export function newMessage(plan: MessagePlan): Record<string, unknown> {
  const message = { ...plan.template };
  for (const name of plan.lists) message[name] = [];
  for (const name of plan.maps) message[name] = {};
  for (const name of plan.oneofs) message[name] = { case: undefined };
  return message;
}
