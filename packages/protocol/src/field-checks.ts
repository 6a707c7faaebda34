import type { DescEnum } from "@bufbuild/protobuf";
import type { Ack, Identity, Media, Metadata, Payload } from "./gen/bimip/bimip_pb.js";
import { AckStatusSchema } from "./gen/bimip/bimip_pb.js";
import { LIMITS } from "./limits.js";
import { characterProblem, nameProblem } from "./names.js";
import { utf8Length } from "./utf8.js";

/** What is wrong: `path` leads from the checked value to the field at fault ("" = the value itself). */
export interface Problem {
  readonly path: string;
  /** Follows on "<field>: ". */
  readonly text: string;
}

/** Says what is wrong with a value, or nothing. */
export type Check<T> = (value: T) => Problem | undefined;

/** A problem of the value itself, or of the field at `path` inside it. */
export function problem(text: string, path = ""): Problem {
  return { path, text };
}

function at(path: string, text: string | undefined): Problem | undefined {
  return text === undefined ? undefined : { path, text };
}

/** Any value: the server sets, ignores or passes on the field. */
export const anything: Check<unknown> = () => undefined;

/** A stanza id that must be there. */
export const id: Check<string> = (value) => at("", nameProblem(value, LIMITS.idBytes));

/** A stanza id that may be left out. */
export const optionalId: Check<string> = (value) => (value === "" ? undefined : id(value));

/** A short word such as `type`, which may be empty. */
export const optionalLabel: Check<string> = (value) => (value === "" ? undefined : label(value));

/** A short word that must be there. */
export const label: Check<string> = (value) => at("", nameProblem(value, LIMITS.typeBytes));

/** Any text of at most `maxBytes` bytes. */
export function textUpTo(maxBytes: number): Check<string> {
  return (value) => {
    const bytes = utf8Length(value);
    return bytes > maxBytes ? problem(`is too long: ${bytes} bytes, at most ${maxBytes}`) : undefined;
  };
}

/** An account: `eid` is needed, the device may be set. */
export const identity: Check<Identity | undefined> = (value) => {
  if (value === undefined) return problem("is missing", "eid");
  return at("eid", nameProblem(value.eid, LIMITS.eidBytes)) ?? restOfIdentity(value);
};

/** An account that may be left out, or be empty. */
export const optionalIdentity: Check<Identity | undefined> = (value) => {
  if (value === undefined) return undefined;
  return value.eid === "" ? restOfIdentity(value) : identity(value);
};

function restOfIdentity(value: Identity): Problem | undefined {
  const device = value.connectionResourceId;
  if (device !== undefined) {
    const text = nameProblem(device, LIMITS.deviceBytes);
    if (text !== undefined) return problem(text === "is missing" ? "is empty" : text, "connection_resource_id");
  }
  const nodeBytes = utf8Length(value.node);
  if (nodeBytes > LIMITS.eidBytes)
    return problem(`is too long: ${nodeBytes} bytes, at most ${LIMITS.eidBytes}`, "node");
  return at("node", characterProblem(value.node));
}

/** An int64 of at least `minimum`. */
export function int64From(minimum: bigint): Check<bigint> {
  return (value) => (value < minimum ? problem(`is ${value}, must be at least ${minimum}`) : undefined);
}

/** An int32 of at least `minimum`. */
export function int32From(minimum: number): Check<number> {
  return (value) => {
    if (value < minimum) return problem(`is ${value}, must be at least ${minimum}`);
    // The wire holds nothing else; a program may try.
    if (Number.isInteger(value) && value <= MAX_INT32) return undefined;
    return problem(`is ${value}, must be a whole number up to ${MAX_INT32}`);
  };
}

const MAX_INT32 = 2_147_483_647;

/** Epoch milliseconds, 0 = not set. */
export const timestamp: Check<bigint> = int64From(0n);

/** Options of {@link code}. */
interface CodeOptions {
  /** Whether 0 is taken although it stands for "unspecified"; default no. */
  readonly optional?: boolean;
  /** The codes a client may send; default all of the enum. */
  readonly fromClient?: readonly number[];
}

/** A code of an enum. The text says what the number is called, if it is a code that only the server sends. */
export function code(desc: DescEnum, options: CodeOptions = {}): Check<number> {
  const names = new Map(desc.values.map((value) => [value.number, value.localName]));
  const unspecified = names.get(0) === "UNSPECIFIED";
  const allowed = new Set(options.fromClient ?? names.keys());
  if (unspecified && options.optional !== true) allowed.delete(0);
  else if (unspecified) allowed.add(0);
  const choices = [...allowed].filter((number) => number !== 0 || !unspecified);
  const listed = choices.map((number) => `${number} ${names.get(number)}`).join(", ");
  return (value) => {
    if (allowed.has(value)) return undefined;
    if (value === 0 && unspecified) return problem("is missing");
    if (names.has(value)) return problem(`is ${value} ${names.get(value)}, which only the server sends`);
    return problem(`is ${value}, must be one of ${listed}`);
  };
}

/** A number from `minimum` to `maximum`; NaN is none. */
export function numberBetween(minimum: number, maximum: number): Check<number> {
  return (value) =>
    value >= minimum && value <= maximum
      ? undefined
      : problem(`is ${value}, must be a number from ${minimum} to ${maximum}`);
}

/** Degrees north. */
export const latitude: Check<number> = numberBetween(-90, 90);

/** Degrees east. */
export const longitude: Check<number> = numberBetween(-180, 180);

/** A number that is not NaN or infinite, or nothing. */
export const optionalFinite: Check<number | undefined> = (value) =>
  value === undefined || Number.isFinite(value) ? undefined : problem(`is ${value}, must be a finite number`);

const MEDIA_TYPES: readonly string[] = ["image", "video", "audio", "file"];

/** Text and media: each medium has a known type and a size that is not negative. */
export const payload: Check<Payload | undefined> = (value) => {
  if (value === undefined) return undefined;
  for (const [index, medium] of value.media.entries()) {
    const found = mediumProblem(medium);
    if (found !== undefined) return problem(found.text, `media[${index}].${found.path}`);
  }
  return undefined;
};

function mediumProblem(medium: Media): Problem | undefined {
  if (medium.type === "") return problem("is missing", "type");
  if (!MEDIA_TYPES.includes(medium.type)) {
    return problem(`is ${JSON.stringify(medium.type)}, must be one of ${MEDIA_TYPES.join(", ")}`, "type");
  }
  return medium.size < 0n ? problem(`is ${medium.size}, must be at least 0`, "size") : undefined;
}

const ackStatus = code(AckStatusSchema);

/** Known statuses only. */
export const ack: Check<Ack | undefined> = (value) => {
  if (value === undefined) return undefined;
  for (const [index, status] of value.status.entries()) {
    const found = ackStatus(status);
    if (found !== undefined) return problem(status === 0 ? "is 0, no status" : found.text, `status[${index}]`);
  }
  return undefined;
};

/** Base64 in both fields, where set. */
export const metadata: Check<Metadata | undefined> = (value) => {
  if (value === undefined) return undefined;
  if (!isBase64(value.encrypted)) return problem("is not base64", "encrypted");
  if (!isBase64(value.signature)) return problem("is not base64", "signature");
  return undefined;
};

// Both alphabets (the URL-safe one is common for signatures), with or without padding.
const BASE64 = /^[A-Za-z0-9+/_-]*(={0,2})$/;

function isBase64(text: string): boolean {
  const match = BASE64.exec(text);
  if (match === null) return false;
  const padding = (match[1] as string).length;
  return padding === 0 ? text.length % 4 !== 1 : text.length % 4 === 0;
}
