import { STANZA_ROUTE } from "@bimip/protocol";
import { concat, varint } from "./wire-tree.js";

const STANZA_BYTES = 65_536;
const FRAME_BYTES = 1_048_576;
const START_GROUP = 3;
const END_GROUP = 4;

const tag = (no: number, type: number): Uint8Array => varint(no * 8 + type);
const sub = (no: number, ...content: Uint8Array[]): Uint8Array => {
  const bytes = concat(content);
  return concat([tag(no, 2), varint(bytes.length), bytes]);
};
const text = (no: number, value: string): Uint8Array => sub(no, Buffer.from(value));
const repeated = (bytes: Uint8Array, times: number): Uint8Array => {
  const out = new Uint8Array(bytes.length * times);
  for (let n = 0; n < times; n++) out.set(bytes, n * bytes.length);
  return out;
};

const PAYLOAD = 6;
const DATA = 1;
const MEDIA = 2;
const ACK = 7;

/** A message that is well formed but for what is put in. */
const message = (...more: Uint8Array[]): Uint8Array =>
  sub(STANZA_ROUTE.message, text(1, "bomb"), sub(3, text(1, "nobody@fuzz")), ...more);

/** Length-delimited messages within each other; each level costs two to four bytes. */
function nested(no: number, levels: number): Uint8Array {
  let bytes: Uint8Array = new Uint8Array(0);
  for (let n = 0; n < levels; n++) {
    const next = sub(no, bytes);
    if (next.length > FRAME_BYTES - 100) break;
    bytes = next;
  }
  return bytes;
}

/** Pages within pages: each level is a payload and an item of it. */
function pages(levels: number): Uint8Array {
  let bytes: Uint8Array = new Uint8Array(0);
  for (let n = 0; n < levels; n++) bytes = sub(STANZA_ROUTE.page, sub(2, bytes));
  return bytes;
}

/** Frames that are made to cost much, each near to a limit or beyond it. Built when they are first needed. */
const BOMBS: Readonly<Record<string, () => Uint8Array>> = {
  "groups 10,000 deep, open": () => message(repeated(tag(31, START_GROUP), 10_000)),
  "groups 10,000 deep, closed": () =>
    message(repeated(tag(31, START_GROUP), 10_000), repeated(tag(31, END_GROUP), 10_000)),
  "groups side by side": () => message(repeated(concat([tag(31, START_GROUP), tag(31, END_GROUP)]), 15_000)),
  "groups in the envelope": () => concat([message(), repeated(tag(40, START_GROUP), 20_000)]),
  "ends of groups alone": () => message(repeated(tag(31, END_GROUP), 30_000)),
  "unknown messages 10,000 deep": () => message(nested(50, 10_000)),
  "identities in identities 10,000 deep": () => message(sub(2, nested(1, 10_000))),
  "pages 6,000 deep": () => pages(6_000),
  "pages as deep as they may be": () => pages(7),
  "pages one deeper": () => pages(8),
  "a map of 16 KiB in entries of two bytes": () => message(sub(PAYLOAD, repeated(sub(DATA), 8_192))),
  "a map of 60 KiB in entries of two bytes": () => message(sub(PAYLOAD, repeated(sub(DATA), 30_000))),
  "a map with 5,000 keys": () =>
    message(sub(PAYLOAD, ...Array.from({ length: 5_000 }, (_, n) => sub(DATA, text(1, n.toString(36)), text(2, "v"))))),
  "a map with whole numbers as keys": () =>
    message(sub(PAYLOAD, ...Array.from({ length: 4_000 }, (_, n) => sub(DATA, text(1, String(n * 1_000_003)))))),
  "a map of prototypes": () => message(sub(PAYLOAD, ...PROTOTYPES.map((name) => sub(DATA, text(1, name))))),
  "30,000 empty media": () => message(sub(PAYLOAD, repeated(sub(MEDIA), 30_000))),
  "60,000 acknowledgements": () => message(sub(ACK, sub(1, new Uint8Array(60_000).fill(11)))),
  "acknowledgements one by one": () => message(sub(ACK, repeated(Uint8Array.of(8, 11), 30_000))),
  "20,000 unknown fields": () => message(repeated(Uint8Array.of(0x98, 6, 1), 20_000)),
  "unknown fields in the envelope": () => concat([message(), repeated(Uint8Array.of(0x98, 6, 1), 20_000)]),
  "routes again and again": () => concat([repeated(Uint8Array.of(8, 6), 30_000), message()]),
  "a stanza of just 64 KiB": () => message(text(4, "x".repeat(STANZA_BYTES - 29))),
  "a byte more": () => message(text(4, "x".repeat(STANZA_BYTES - 28))),
  "an id of 64 KiB": () => sub(STANZA_ROUTE.message, text(1, "x".repeat(65_000))),
  "a text of 200 KiB": () => message(text(4, "x".repeat(200_000))),
  "nearly a MiB": () => message(text(4, "x".repeat(FRAME_BYTES - 200))),
  zeros: () => new Uint8Array(STANZA_BYTES),
  ones: () => new Uint8Array(STANZA_BYTES).fill(0xff),
  "all payloads at once": () => concat(Object.values(STANZA_ROUTE).map((no) => sub(no, text(1, "x")))),
};

const PROTOTYPES = ["__proto__", "constructor", "toString", "hasOwnProperty"];

/** Their names. */
export const BOMB_NAMES: readonly string[] = Object.keys(BOMBS);
const built = new Map<string, Uint8Array>();

/** @throws Error when there is none of this name. */
export function bomb(name: string): Uint8Array {
  const made = built.get(name) ?? BOMBS[name]?.();
  if (made === undefined) throw new Error(`no bomb ${name}`);
  built.set(name, made);
  return made;
}
