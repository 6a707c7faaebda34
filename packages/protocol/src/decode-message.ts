import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { LIMITS } from "./limits.js";
import { type FieldPlan, type MessagePlan, newMessage, planOf } from "./message-plan.js";
import { WIRE, WireProblem, WireReader } from "./wire-reader.js";

type Fields = Record<string, unknown>;

/** Fields the schema does not know, in the form protobuf-es keeps and writes again. */
interface UnknownField {
  readonly no: number;
  readonly wireType: number;
  readonly data: Uint8Array;
}

/**
 * Decodes one message into an object equal to what protobuf-es makes, strictly and faster. Refused
 * with a WireProblem, although some implementations take it: invalid UTF-8 anywhere, a singular sub-message or a oneof
 * given twice (merged by some, replaced by others), a known field with another wire type, a map entry with other fields
 * than key and value, nesting beyond {@link LIMITS}.recursionDepth. `bytes` fields are views of the input.
 */
export function decodeMessage<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
  return readMessage(new WireReader(bytes), planOf(schema), LIMITS.recursionDepth) as unknown as MessageShape<D>;
}

/** Reads a message that fills the reader up to its end. `depth` is how many levels may still be entered, this one included. */
export function readMessage(reader: WireReader, plan: MessagePlan, depth: number): Fields {
  if (depth <= 0) throw new WireProblem("is nested too deep");
  const message = newMessage(plan);
  const fields = plan.fields;
  let unknown: UnknownField[] | undefined;
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    const number = tag >>> 3;
    const field = number < fields.length ? fields[number] : undefined;
    if (field === undefined) {
      const start = reader.pos;
      reader.skip(tag, depth - 1);
      unknown ??= [];
      unknown.push({ no: number, wireType: tag & 7, data: reader.bytes.subarray(start, reader.pos) });
      continue;
    }
    try {
      readField(reader, message, field, tag & 7, depth);
    } catch (problem) {
      if (problem instanceof WireProblem) problem.path.unshift(field.name);
      throw problem;
    }
  }
  if (unknown !== undefined) message["$unknown"] = unknown;
  return message;
}

function readField(reader: WireReader, message: Fields, field: FieldPlan, wireType: number, depth: number): void {
  if (wireType !== field.wireType) {
    if (field.kind === "int32List" && wireType === WIRE.varint) {
      (message[field.localName] as number[]).push(reader.int32());
      return;
    }
    throw new WireProblem(`has wire type ${wireType} instead of ${field.wireType}`);
  }
  switch (field.kind) {
    case "string":
      message[field.localName] = reader.string();
      return;
    case "int32":
      message[field.localName] = reader.int32();
      return;
    case "int64":
      message[field.localName] = reader.int64();
      return;
    case "bool":
      message[field.localName] = reader.bool();
      return;
    case "double":
      message[field.localName] = reader.double();
      return;
    case "bytes":
      message[field.localName] = reader.view();
      return;
    case "message":
      readSingular(reader, message, field, depth);
      return;
    case "messageList":
      (message[field.localName] as Fields[]).push(readSub(reader, field.message as MessagePlan, depth));
      return;
    case "int32List":
      readPacked(reader, message[field.localName] as number[]);
      return;
    case "stringMap":
      readMapEntry(reader, message[field.localName] as Fields);
  }
}

function readSingular(reader: WireReader, message: Fields, field: FieldPlan, depth: number): void {
  if (field.oneof === undefined) {
    if (message[field.localName] !== undefined) throw new WireProblem("is given twice");
    message[field.localName] = readSub(reader, field.message as MessagePlan, depth);
    return;
  }
  if ((message[field.oneof] as { case?: string }).case !== undefined) {
    throw new WireProblem(`is a second ${field.oneof}`);
  }
  message[field.oneof] = { case: field.localName, value: readSub(reader, field.message as MessagePlan, depth) };
}

function readSub(reader: WireReader, plan: MessagePlan, depth: number): Fields {
  const outerEnd = reader.end;
  reader.end = reader.lengthEnd();
  const message = readMessage(reader, plan, depth - 1);
  reader.end = outerEnd;
  return message;
}

function readPacked(reader: WireReader, list: number[]): void {
  const outerEnd = reader.end;
  reader.end = reader.lengthEnd();
  while (reader.pos < reader.end) list.push(reader.int32());
  reader.end = outerEnd;
}

const MAP_KEY = (1 << 3) | WIRE.bytes;
const MAP_VALUE = (2 << 3) | WIRE.bytes;

function readMapEntry(reader: WireReader, map: Fields): void {
  const outerEnd = reader.end;
  reader.end = reader.lengthEnd();
  let key = "";
  let value = "";
  while (reader.pos < reader.end) {
    const tag = reader.tag();
    if (tag === MAP_KEY) key = reader.string();
    else if (tag === MAP_VALUE) value = reader.string();
    else throw new WireProblem("has an entry with more than a key and a value");
  }
  reader.end = outerEnd;
  if (key === "__proto__") {
    // An assignment would set the prototype and lose the entry.
    Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
  } else {
    map[key] = value;
  }
}
