import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { type MessageScheme, MessageSchemeSchema } from "./gen/bimip/bimip_pb.js";

/** The name of a stanza: the case of the envelope's oneof, such as `message` or `pingPong`. */
export type StanzaKind = NonNullable<MessageScheme["payload"]["case"]>;

/** The message type that a stanza of kind K carries. */
export type StanzaValue<K extends StanzaKind> = Extract<MessageScheme["payload"], { case: K }>["value"];

/** One stanza: its kind and the message of that kind. */
export type Stanza = { [K in StanzaKind]: { kind: K; value: StanzaValue<K> } }[StanzaKind];

/** What the descriptor says about one kind of stanza. */
interface StanzaShape {
  readonly kind: StanzaKind;
  readonly field: DescField;
  readonly message: DescMessage;
  /** The field that identifies the stanza, where it has one: `id`, in a contact `tracking_id`. */
  readonly idField: DescField | undefined;
}

function shapesOf(envelope: DescMessage): readonly StanzaShape[] {
  const shapes: StanzaShape[] = [];
  for (const field of envelope.fields) {
    if (field.oneof === undefined || field.fieldKind !== "message") continue;
    const message = field.message;
    const idField = message.fields.find((f) => f.name === "id") ?? message.fields.find((f) => f.name === "tracking_id");
    shapes.push({ kind: field.localName as StanzaKind, field, message, idField });
  }
  return shapes;
}

/** Every stanza kind with its descriptors, in the order of the .proto file. */
export const STANZA_SHAPES: readonly StanzaShape[] = shapesOf(MessageSchemeSchema);

/** The stanza kinds, in the order of the .proto file. */
export const STANZA_KINDS: readonly StanzaKind[] = STANZA_SHAPES.map((shape) => shape.kind);

/** Each kind's field number in the envelope: the `route` the server fills in. */
export const STANZA_ROUTE: Readonly<Record<StanzaKind, number>> = Object.freeze(
  Object.fromEntries(STANZA_SHAPES.map((shape) => [shape.kind, shape.field.number])) as Record<StanzaKind, number>,
);

/** The shapes by payload field number. */
export const SHAPE_BY_ROUTE: ReadonlyMap<number, StanzaShape> = new Map(STANZA_SHAPES.map((s) => [s.field.number, s]));

/** The shapes by kind. */
export const SHAPE_BY_KIND: ReadonlyMap<StanzaKind, StanzaShape> = new Map(STANZA_SHAPES.map((s) => [s.kind, s]));

/** Name of a kind in the .proto file's words: `push_notification` for `pushNotification`. */
export function stanzaName(kind: StanzaKind): string {
  return SHAPE_BY_KIND.get(kind)?.field.name ?? kind;
}

/** The id of a stanza (`tracking_id` of a contact); `""` where it has none. */
export function stanzaId(stanza: Stanza): string {
  const field = SHAPE_BY_KIND.get(stanza.kind)?.idField;
  if (field === undefined) return "";
  const id = (stanza.value as unknown as Record<string, unknown>)[field.localName];
  return typeof id === "string" ? id : "";
}
