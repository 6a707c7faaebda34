import { setTimeout as delay } from "node:timers/promises";
import { CloseCode, decodeFrame, encodeStanza, ErrorCode, TokenAuthoritySchema } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { Random } from "../chaos/random.js";
import { bomb, BOMB_NAMES } from "./bombs.js";
import { validFrame } from "./corpus.js";
import type { CutterOptions } from "./cutter.js";
import { mutate } from "./mutations.js";
import { type RawEnd, RawSocket } from "./raw-socket.js";

const ENDED_MS = 15_000;
/** What a client may offer; the broker takes none. */
const EXTENSIONS = [
  "permessage-deflate",
  "permessage-deflate; client_max_window_bits; server_max_window_bits=8",
  "permessage-deflate; server_no_context_takeover, permessage-deflate",
  "permessage-deflate; server_max_window_bits=99; x=y",
  "x-webkit-deflate-frame, permessage-bzip2",
  `permessage-deflate; ${"a".repeat(1_000)}`,
];
const HEADERS = [
  "Sec-WebSocket-Protocol: bimip.v1, bearer.\r\n",
  "Sec-WebSocket-Protocol: ,,,;\r\n",
  "Authorization: Bearer \r\n",
  "Authorization: Basic eDp5\r\n",
  "Origin: null\r\n",
  "X-Forwarded-For: 1.2.3.4, evil\r\n",
  `X-Long: ${"a".repeat(3_000)}\r\n`,
  "Content-Length: 99999999\r\n",
  "Transfer-Encoding: chunked\r\n",
];

/** Connections without a token, whose first frame is none either: each must hear 401 (or 408, 429) and be closed. */
export class Strangers {
  readonly #o: CutterOptions;

  constructor(options: CutterOptions) {
    this.#o = options;
  }

  async knock(): Promise<void> {
    const { port, random, tally } = this.#o;
    let onEnd = (_end: RawEnd): void => undefined;
    const ended = new Promise<RawEnd>((resolve) => {
      onEnd = resolve;
    });
    const codes: number[] = [];
    const frame = this.#firstFrame(random);
    tally.frames++;
    const socket: RawSocket = RawSocket.open({
      port,
      query: random.pick(["", "?device=d", "?device=%00", "?resume=manual&device=a&device=b", "?access_token=", "?%"]),
      headers:
        random.next() < 1 / 2 ? `Sec-WebSocket-Extensions: ${random.pick(EXTENSIONS)}\r\n` : random.pick(HEADERS),
      onFrame: (payload) => {
        const { stanza } = decodeFrame(payload);
        if (stanza.kind === "error") codes.push(stanza.value.code);
        else tally.problem(`a stranger got ${stanza.kind}`);
      },
      onOpen: () => socket.send(frame),
      onProblem: (text) => tally.problem(`a stranger: ${text}`),
      onEnd: (how) => onEnd(how),
    });
    const late = new AbortController();
    const end = await Promise.race([ended, delay(ENDED_MS, undefined, { signal: late.signal })]);
    late.abort();
    socket.reset();
    tally.count(tally.cuts, "a stranger's first frame");
    if (end === undefined)
      return tally.problem(`a stranger stays: ${Buffer.from(frame).toString("hex").slice(0, 200)}`);
    if (end.status === undefined && end.code !== CloseCode.TOKEN && end.code !== CloseCode.ABUSE && codes.length > 0)
      tally.problem(`a stranger was told ${codes.join()} and closed with ${end.code}`);
    const allowed: number[] = [ErrorCode.NOT_AUTHENTICATED, ErrorCode.TIMED_OUT, ErrorCode.TOO_FAST];
    for (const code of codes) if (!allowed.includes(code)) tally.problem(`a stranger was told ${code}`);
    tally.count(tally.ends, end.status === undefined ? `close ${end.code ?? "without a frame"}` : `HTTP ${end.status}`);
  }

  #firstFrame(random: Random): Uint8Array {
    const roll = random.next();
    if (roll < 0.1) return bomb(random.pick(BOMB_NAMES));
    const names = { eid: "stranger@fuzz", device: "d", others: ["fuzz-0@fuzz"] };
    if (roll < 0.5) return mutate(validFrame(names, random), random);
    const token = random.pick(["", "a.b.c", "x".repeat(60_000), "e30.e30.", "..", "\u0000", "é.é.é"]);
    const value = create(TokenAuthoritySchema, { token, task: random.pick([1, 2, 3, 4]), type: 1, id: "t" });
    const valid = encodeStanza("tokenAuthority", value);
    return random.next() < 1 / 2 ? valid : mutate(valid, random);
  }
}
