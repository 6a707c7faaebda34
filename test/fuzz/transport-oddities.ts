import { deflateRawSync } from "node:zlib";
import type { Random } from "../chaos/random.js";
import { frameOf, fragments } from "./raw-socket.js";

/** What WebSocket itself may be given: bytes for an open connection, around the payload of one frame. */
type Oddity = (payload: Uint8Array, random: Random) => Buffer;

const [CONTINUATION, TEXT, CLOSE, PING, PONG] = [0, 1, 8, 9, 10];
const CLOSE_CODES = [0, 999, 1_000, 1_004, 1_005, 1_006, 1_015, 2_999, 3_000, 4_401, 4_999, 5_000, 65_535];
const ZEROS = 8 * 1_024 * 1_024;
let bomb: Uint8Array | undefined;
/** Eight MiB of zeros in some kilobytes. */
const deflateBomb = (): Uint8Array => (bomb ??= deflateRawSync(Buffer.alloc(ZEROS)));

const closing = (code: number, reason: Uint8Array): Buffer => {
  const payload = Buffer.alloc(2 + reason.length);
  payload.writeUInt16BE(code);
  payload.set(reason, 2);
  return frameOf(payload, { opcode: CLOSE });
};

/** After these the server must still know the connection, unless it is closed in order. */
export const HARMLESS: Readonly<Record<string, Oddity>> = {
  "a text frame": (payload) => frameOf(Buffer.from(Buffer.from(payload).toString("latin1")), { opcode: TEXT }),
  fragments: (payload, random) => fragments(payload, random),
  "an empty fragment first": (payload) =>
    Buffer.concat([frameOf(new Uint8Array(0), { fin: false }), frameOf(payload, { opcode: CONTINUATION })]),
  "one byte in each fragment": (payload) =>
    Buffer.concat([
      frameOf(payload.subarray(0, 1), { fin: false }),
      ...Array.from(payload.subarray(1, 40), (byte) =>
        frameOf(Uint8Array.of(byte), { opcode: CONTINUATION, fin: false }),
      ),
      frameOf(payload.subarray(40), { opcode: CONTINUATION }),
    ]),
  "a ping of 125 bytes": () => frameOf(new Uint8Array(125), { opcode: PING }),
  "a pong that nobody asked for": () => frameOf(new Uint8Array(10), { opcode: PONG }),
  "100 pings": () => Buffer.concat(Array.from({ length: 100 }, () => frameOf(new Uint8Array(4), { opcode: PING }))),
  "a length in more bits than it takes": (payload, random) =>
    frameOf(payload, { lengthBits: payload.length < 65_536 && random.next() < 1 / 2 ? 16 : 64 }),
};

/** After these the server may end the connection, without a word too. */
export const VIOLATIONS: Readonly<Record<string, Oddity>> = {
  "not masked": (payload) => frameOf(payload, { masked: false }),
  "a text frame that is no UTF-8": () => frameOf(Uint8Array.of(0xff, 0xfe, 0xc0), { opcode: TEXT }),
  "reserved bits": (payload, random) => frameOf(payload, { reserved: random.whole(1, 7) }),
  "a reserved opcode": (payload, random) =>
    frameOf(payload, { opcode: random.pick([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) }),
  "a ping of 126 bytes": () => frameOf(new Uint8Array(126), { opcode: PING }),
  "a ping in fragments": () => frameOf(new Uint8Array(4), { opcode: PING, fin: false }),
  "a fragment without a beginning": (payload) => frameOf(payload, { opcode: CONTINUATION }),
  "a new message within fragments": (payload) => Buffer.concat([frameOf(payload, { fin: false }), frameOf(payload)]),
  "a message that never ends": (payload) => frameOf(payload, { fin: false }),
  "a length of 2^63": (payload) => frameOf(payload, { lengthBits: 64, claimed: 2n ** 63n }),
  "a length of 2^32": (payload) => frameOf(payload, { lengthBits: 64, claimed: 2n ** 32n }),
  "a length below zero": (payload) => frameOf(payload, { lengthBits: 64, claimed: 2n ** 64n - 1n }),
  "half a frame": (payload) => frameOf(payload).subarray(0, 3 + Math.floor(payload.length / 2)),
  "a frame over a MiB": () => frameOf(new Uint8Array(1_100_000)),
  "fragments over a MiB": () =>
    Buffer.concat([
      frameOf(new Uint8Array(60_000), { fin: false }),
      ...Array.from({ length: 18 }, () => frameOf(new Uint8Array(60_000), { opcode: CONTINUATION, fin: false })),
    ]),
  "a deflate bomb": () => frameOf(deflateBomb(), { reserved: 4 }),
  "a deflate bomb as text": () => frameOf(deflateBomb(), { reserved: 4, opcode: TEXT }),
  "a close": (_payload, random) => closing(random.pick(CLOSE_CODES), Buffer.from("bye")),
  "a close of one byte": () => frameOf(new Uint8Array(1), { opcode: CLOSE }),
  "a close whose reason is no UTF-8": () => closing(1_000, Uint8Array.of(0xff, 0xc0)),
  "a close and then more": (payload) => Buffer.concat([closing(1_000, new Uint8Array(0)), frameOf(payload)]),
  "an HTTP request": () => Buffer.from("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
  noise: (_payload, random) => Buffer.from(Uint8Array.from({ length: 64 }, () => random.whole(0, 255))),
};
