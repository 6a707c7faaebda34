import { readFileSync } from "node:fs";
import {
  AwarenessContactSchema,
  AwarenessSchema,
  AwarenessVisibilitySchema,
  encodeStanza,
  EventSchema,
  LocationStreamSchema,
  LogoutSchema,
  MessageSchema,
  PingPongSchema,
  PushNotificationSchema,
  QuerySchema,
  SignalSchema,
  TokenAuthoritySchema,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import type { Random } from "../chaos/random.js";

/** Whom valid stanzas are for. */
export interface CorpusNames {
  /** The one who sends them. */
  readonly eid: string;
  readonly device: string;
  /** Others that exist, the one whose device decodes whatever gets through first. */
  readonly others: readonly string[];
}

interface Vector {
  readonly type: string;
  readonly hex: string;
  readonly goHex: string;
}

/** Makes one valid frame of a kind. */
type Make = (names: CorpusNames, random: Random) => Uint8Array;

const id = (random: Random): string => `f${random.whole(0, 1_000_000).toString(36)}`;
const to = ({ others }: CorpusNames, random: Random) => ({ eid: random.pick(others) });
const words = ["", "hello", "text", "é 👋", "a.b", "x".repeat(40)];
const now = (): bigint => BigInt(Date.now());

const message = (names: CorpusNames, random: Random) => ({
  id: id(random),
  to: to(names, random),
  type: random.pick(["", "text", "media"]),
  timestamp: random.pick([0n, now()]),
  payload: {
    data: { text: random.pick(words), [random.pick(words)]: random.pick(words) },
    media: [{ type: "image", url: "https://example.com/a.png", thumbnail: "t", size: 1n }],
  },
  ack: { status: [11] },
  metadata: { encrypted: "AAEC", signature: "" },
});

/** What a session may send, by weight: those that end it are rare, so that most frames meet a session. */
const VALID: readonly { readonly weight: number; readonly make: Make }[] = [
  { weight: 20, make: (n, r) => encodeStanza("message", create(MessageSchema, message(n, r))) },
  { weight: 8, make: (n, r) => encodeStanza("pushNotification", create(PushNotificationSchema, message(n, r))) },
  {
    weight: 20,
    make: (n, r) =>
      encodeStanza(
        "signal",
        create(SignalSchema, {
          id: id(r),
          to: to(n, r),
          type: 1,
          status: r.pick([1, 2, 3, 4, 5, 13]),
          monotonicId: BigInt(r.whole(0, 500)),
        }),
      ),
  },
  {
    // A session that has its whole log read again and again would be what is measured.
    weight: 0.3,
    make: (_n, r) => {
      const monotonicId = BigInt(r.pick([-1, 0, r.whole(1, 200), r.whole(200, 1_000_000), 10 ** 12]));
      return encodeStanza("signal", create(SignalSchema, { id: id(r), type: 1, status: 6, monotonicId, epoch: 1n }));
    },
  },
  {
    weight: 12,
    make: (n, r) =>
      encodeStanza(
        "awareness",
        create(AwarenessSchema, {
          id: id(r),
          ...(r.next() < 1 / 4 && { to: to(n, r) }),
          type: 1,
          status: r.whole(1, 5),
          locationSharing: r.whole(0, 1),
          latitude: 48.1,
          longitude: 11.5,
          ttl: r.whole(0, 3),
          details: r.pick(words),
        }),
      ),
  },
  {
    weight: 6,
    make: (_n, r) =>
      encodeStanza("awareness", create(AwarenessSchema, { id: id(r), type: 2, status: r.whole(6, 40), ttl: 1 })),
  },
  {
    weight: 5,
    make: (n, r) =>
      encodeStanza(
        "awarenessContact",
        create(AwarenessContactSchema, {
          to: to(n, r),
          trackingId: id(r),
          relationship: r.whole(1, 2),
          action: r.pick([1, 2, 3, 8, 9]),
          details: r.pick(words),
          locationPrecisionM: r.whole(-1, 100),
        }),
      ),
  },
  {
    weight: 2,
    make: (_n, r) =>
      encodeStanza("awarenessVisibility", create(AwarenessVisibilitySchema, { id: id(r), type: r.whole(1, 3) })),
  },
  { weight: 8, make: (_n, r) => encodeStanza("pingPong", create(PingPongSchema, { id: id(r), type: 1 })) },
  {
    weight: 4,
    make: (_n, r) =>
      encodeStanza(
        "tokenAuthority",
        create(TokenAuthoritySchema, {
          id: id(r),
          type: 1,
          task: r.whole(1, 4),
          token: r.pick(["", "a.b.c", "eyJhbGciOiJub25lIn0.e30."]),
          refreshToken: r.pick(["", "a.b.c"]),
          jti: r.pick(["", "another"]),
        }),
      ),
  },
  {
    weight: 8,
    make: (n, r) =>
      encodeStanza(
        "locationStream",
        create(LocationStreamSchema, {
          id: id(r),
          ...(r.next() < 1 / 4 && { to: to(n, r) }),
          latitude: r.next() * 90,
          longitude: r.next() * 180,
          altitude: 500,
        }),
      ),
  },
  {
    weight: 4,
    make: (n, r) =>
      encodeStanza(
        "event",
        create(EventSchema, {
          id: id(r),
          to: to(n, r),
          type: "call.offer",
          data: Uint8Array.of(1, 2, 3),
          ttl: r.whole(0, 5),
        }),
      ),
  },
  {
    weight: 6,
    make: (n, r) =>
      encodeStanza(
        "query",
        create(QuerySchema, {
          id: id(r),
          type: r.whole(1, 5),
          with: to(n, r),
          limit: r.whole(0, 3),
          data: Uint8Array.of(123, 125),
        }),
      ),
  },
  // A session only: a logged-out account would have to wait for a second before it may come in again.
  { weight: 0.2, make: () => encodeStanza("logout", create(LogoutSchema, { type: 2 })) },
];

const TOTAL = VALID.reduce((sum, { weight }) => sum + weight, 0);
const VECTORS = new URL("../../packages/protocol/vectors/stanzas.json", import.meta.url);
const GOLDEN: readonly Uint8Array[] = (JSON.parse(readFileSync(VECTORS, "utf8")) as Vector[])
  .filter(({ type }) => type === "bimip.MessageScheme")
  .flatMap(({ hex, goHex }) => [hex, goHex])
  .map((hex) => Uint8Array.from(Buffer.from(hex, "hex")));
const GOLDEN_SHARE = 0.1;

/** A valid frame of any kind: one of the golden vectors, or one for these names. */
export function validFrame(names: CorpusNames, random: Random): Uint8Array {
  if (random.next() < GOLDEN_SHARE) return random.pick(GOLDEN);
  let left = random.next() * TOTAL;
  for (const { weight, make } of VALID) {
    left -= weight;
    if (left <= 0) return make(names, random);
  }
  return random.pick(GOLDEN);
}
