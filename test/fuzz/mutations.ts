import type { Random } from "../chaos/random.js";
import { HOSTILE_NAMES } from "../kit/hostile-names.js";
import { allFields, concat, parseWire, varint, varint64, type WireField, writeWire } from "./wire-tree.js";

/** Makes one frame that is probably broken; the same choices for the same state of `random`. */
export type Mutation = (frame: Uint8Array, random: Random) => Uint8Array;

const EXTREMES = [
  0n,
  1n,
  -1n,
  127n,
  128n,
  2n ** 31n - 1n,
  2n ** 31n,
  -(2n ** 31n),
  2n ** 32n,
  10n ** 15n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n - 1n,
  -(2n ** 63n),
  2n ** 64n - 1n,
];
const DOUBLES = [Number.NaN, Infinity, -Infinity, -0, 5e-324, 1.7e308, -1.7e308, 90.000001, -180.000001, 1e15];
/** As hex. */
const BAD_UTF8 = "ff c080 eda080 edbfbf f4908080 f888808080 e282 80 f09f98 61c3 feff".split(" ");
const FIELD_NUMBERS = [0, 1, 2, 3, 15, 16, 17, 99, 2_047, 18_999, 19_000, 2 ** 28, 2 ** 29 - 1];
/** Lengths that are not there. */
const LENGTHS = [0, 1, 127, 128, 65_535, 65_536, 2 ** 20, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40];
const SIZES = [127, 128, 129, 254, 255, 256, 1_024, 1_025, 5_000, 60_000, 65_400, 70_000];

const replaced = (bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array =>
  concat([bytes.subarray(0, at), insert, bytes.subarray(Math.min(bytes.length, at + remove))]);
const noise = (random: Random, length: number): Uint8Array => Uint8Array.from({ length }, () => random.whole(0, 255));
const place = (frame: Uint8Array, random: Random): number => random.whole(0, frame.length);

/** Changes one field somewhere in the tree. */
function onField(change: (field: WireField, among: WireField[], random: Random) => void): Mutation {
  return (frame, random) => {
    const tree = parseWire(frame);
    if (tree === undefined || tree.length === 0) return bytewise.flip(frame, random);
    const { field, among } = random.pick(allFields(tree));
    change(field, among, random);
    return writeWire(tree);
  };
}

/** Changes one field of these wire types, a string for example. */
function onType(type: number, change: (field: WireField, random: Random) => void): Mutation {
  return (frame, random) => {
    const tree = parseWire(frame);
    const fit = tree === undefined ? [] : allFields(tree).filter(({ field }) => field.type === type);
    if (tree === undefined || fit.length === 0) return bytewise.flip(frame, random);
    change(random.pick(fit).field, random);
    return writeWire(tree);
  };
}

function setText(field: WireField, text: Uint8Array): void {
  field.bytes = text;
  field.children = undefined;
}

const bytewise = {
  flip(frame: Uint8Array, random: Random): Uint8Array {
    const out = Uint8Array.from(frame);
    for (let n = random.whole(1, 8); n > 0 && out.length > 0; n--) {
      const at = random.whole(0, out.length - 1);
      out[at] = (out[at] as number) ^ (1 << random.whole(0, 7));
    }
    return out;
  },
  set(frame: Uint8Array, random: Random): Uint8Array {
    const value = random.pick([0, 1, 0x7f, 0x80, 0xff, random.whole(0, 255)]);
    return replaced(frame, place(frame, random), 1, Uint8Array.of(value));
  },
  truncate: (frame: Uint8Array, random: Random) => frame.slice(0, place(frame, random)),
  insert: (frame: Uint8Array, random: Random) =>
    replaced(frame, place(frame, random), 0, noise(random, random.whole(1, 16))),
  remove: (frame: Uint8Array, random: Random) =>
    replaced(frame, place(frame, random), random.whole(1, 16), new Uint8Array(0)),
  overwrite: (frame: Uint8Array, random: Random) => {
    const bytes = noise(random, random.whole(1, 16));
    return replaced(frame, place(frame, random), bytes.length, bytes);
  },
  repeat(frame: Uint8Array, random: Random): Uint8Array {
    const from = place(frame, random);
    return replaced(frame, place(frame, random), 0, frame.slice(from, from + random.whole(1, 64)));
  },
  noise: (_frame: Uint8Array, random: Random) => noise(random, random.whole(0, 200)),
  empty: () => new Uint8Array(0),
} satisfies Record<string, Mutation>;

const fieldwise = {
  twice: onField((field, among, random) => {
    among.splice(random.whole(0, among.length), 0, field);
  }),
  gone: onField((field, among) => {
    among.splice(among.indexOf(field), 1);
  }),
  number: onField((field, _among, random) => {
    field.no = random.pick(FIELD_NUMBERS);
  }),
  type: onField((field, _among, random) => {
    field.type = random.whole(0, 7);
  }),
  unknown: onField((_field, among, random) => {
    const bytes = noise(random, random.whole(0, 40));
    among.splice(random.whole(0, among.length), 0, {
      no: random.whole(17, 5_000),
      type: 2,
      bytes,
      children: undefined,
    });
  }),
  lengthLie: onType(2, (field, random) => {
    field.lie = random.pick(LENGTHS);
  }),
  emptyText: onType(2, (field) => setText(field, new Uint8Array(0))),
  badText: onType(2, (field, random) => setText(field, Buffer.from(random.pick(BAD_UTF8), "hex"))),
  longText: onType(2, (field, random) => setText(field, new Uint8Array(random.pick(SIZES)).fill(0x78))),
  hostileText: onType(2, (field, random) => setText(field, Buffer.from(random.pick(HOSTILE_NAMES).name))),
  control: onType(2, (field, random) => setText(field, Uint8Array.of(0x61, random.whole(0, 31), 0x62))),
  extreme: onType(0, (field, random) => {
    field.bytes = varint64(random.pick(EXTREMES));
  }),
  small: onType(0, (field, random) => {
    field.bytes = varint(random.whole(0, 20));
  }),
  overlong: onType(0, (field, random) => {
    field.bytes = new Uint8Array(random.whole(2, 12)).fill(random.pick([0x80, 0xff]));
    if (random.next() < 1 / 2) field.bytes[field.bytes.length - 1] = random.pick([0, 1, 0x7f]);
  }),
  double: onType(1, (field, random) => {
    field.bytes = new Uint8Array(Float64Array.of(random.pick(DOUBLES)).buffer);
  }),
} satisfies Record<string, Mutation>;

/** Every small mutation, by name. */
export const MUTATIONS: Readonly<Record<string, Mutation>> = { ...bytewise, ...fieldwise };

const names = Object.keys(MUTATIONS);
const MORE = 0.5;

/** One mutation, sometimes several on top of each other. */
export function mutate(frame: Uint8Array, random: Random): Uint8Array {
  let mutated = frame;
  do mutated = (MUTATIONS[random.pick(names)] as Mutation)(mutated, random);
  while (random.next() < MORE);
  return mutated;
}
