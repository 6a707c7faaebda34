// Operations per second of the hot path, each as a ratio to plain protobuf-es doing the same in the same run.
//   node --conditions=bimip-src --import tsx packages/protocol/bench/codec.ts
import { clone, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  decodeFrame,
  encodeIdentity,
  encodeIdentityPrefix,
  encodeSent,
  encodeStanza,
  entryTarget,
  IdentitySchema,
  isFrom,
  type Message,
  MessageSchema,
  MessageSchemeSchema,
  SignalSchema,
  toStored,
  validateStanza,
  withIndexes,
} from "@bimip/protocol";

const ROUND_MS = 60;
const ROUNDS = 9;

let sink = 0;

function nanosecondsEach(run: () => unknown, count: number): number {
  const start = performance.now();
  for (let i = 0; i < count; i++) if (run() !== undefined) sink++;
  return ((performance.now() - start) * 1e6) / count;
}

const rows: { name: string; own: () => unknown; plain: (() => unknown) | undefined }[] = [];

/** Times all rows in turn, round after round, so that noise of the machine meets all alike; the best round counts. */
function measure(): Map<() => unknown, number> {
  const best = new Map<() => unknown, number>();
  const runs = rows.flatMap((row) => (row.plain === undefined ? [row.own] : [row.own, row.plain]));
  const counts = new Map(runs.map((run) => [run, Math.max(100, (ROUND_MS * 1e6) / nanosecondsEach(run, 20_000))]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const run of runs) {
      const each = nanosecondsEach(run, Math.round(counts.get(run) ?? 1));
      best.set(run, Math.min(best.get(run) ?? Number.POSITIVE_INFINITY, each));
    }
  }
  return best;
}

const message = create(MessageSchema, {
  id: "0192f3c4-7b1e-7c3a-9d5e-1f2a3b4c5d6e",
  to: { eid: "bob@example.com" },
  type: "text",
  timestamp: 1_732_365_000_123n,
  payload: { data: { text: "a chat message of ordinary length, as people write them all day long" } },
});
const bytes = encodeStanza("message", message);
const identity = { eid: "alice@example.com", device: "phone-7f3a", node: "gateway-1" };
const stamp = { from: encodeIdentity(identity), timestampMs: 1_732_365_000_456 };
const prefix = encodeIdentityPrefix(identity.eid, identity.device);
const frame = decodeFrame(bytes);
const stored = toStored(frame, stamp);
const delivered = withIndexes(stored, 123_456, 123_400);
const storedScheme = fromBinary(MessageSchemeSchema, stored);
const from = create(IdentitySchema, { eid: identity.eid, connectionResourceId: identity.device, node: identity.node });

rows.push(
  { name: "decodeFrame", own: () => decodeFrame(bytes), plain: () => fromBinary(MessageSchemeSchema, bytes) },
  { name: "validateStanza", own: () => validateStanza(frame.stanza) ?? true, plain: undefined },
  {
    name: "toStored",
    own: () => toStored(frame, stamp),
    plain: () => {
      const value = clone(MessageSchema, frame.stanza.value as Message);
      value.from = from;
      value.ack = create(MessageSchema, { ack: { status: [12] } }).ack as NonNullable<Message["ack"]>;
      const payload = { case: "message" as const, value };
      return toBinary(MessageSchemeSchema, create(MessageSchemeSchema, { route: 6n, payload }));
    },
  },
  {
    name: "withIndexes",
    own: () => withIndexes(stored, 123_456, 123_400),
    plain: () => {
      const scheme = fromBinary(MessageSchemeSchema, stored);
      const value = scheme.payload.value as Message;
      value.monotonicId = 123_456n;
      value.previousId = 123_400n;
      return toBinary(MessageSchemeSchema, scheme);
    },
  },
  { name: "isFrom", own: () => isFrom(stored, prefix), plain: () => fromBinary(MessageSchemeSchema, stored) },
  { name: "entryTarget", own: () => entryTarget(stored), plain: () => fromBinary(MessageSchemeSchema, stored) },
  {
    name: "encodeStanza",
    own: () => encodeStanza("message", storedScheme.payload.value as Message),
    plain: () => toBinary(MessageSchemeSchema, storedScheme),
  },
  {
    name: "encodeSent",
    own: () =>
      encodeSent({
        id: message.id,
        toEid: "bob@example.com",
        timestampMs: stamp.timestampMs,
        monotonicId: 123_456,
        logId: 99,
      }),
    plain: () =>
      encodeStanza(
        "signal",
        create(SignalSchema, {
          id: message.id,
          to: { eid: "bob@example.com" },
          type: 2,
          status: 12,
          timestamp: BigInt(stamp.timestampMs),
          monotonicId: 123_456n,
          logId: 99n,
        }),
      ),
  },
);

const best = measure();
const line = (...cells: string[]) =>
  process.stdout.write(
    `${(cells[0] ?? "").padEnd(16)}${cells
      .slice(1)
      .map((c) => c.padStart(14))
      .join("")}\n`,
  );
process.stdout.write(`message ${bytes.length} bytes, stored ${stored.length}, delivered ${delivered.length}\n`);
line("", "ops/s", "µs", "protobuf-es µs", "times faster");
for (const { name, own, plain } of rows) {
  const ownNs = best.get(own) ?? Number.NaN;
  const plainNs = plain === undefined ? undefined : best.get(plain);
  line(
    name,
    Math.round(1e9 / ownNs).toLocaleString("en"),
    (ownNs / 1000).toFixed(3),
    plainNs === undefined ? "" : (plainNs / 1000).toFixed(3),
    plainNs === undefined ? "" : (plainNs / ownNs).toFixed(1),
  );
}
const path = rows.filter((row) => /^(decodeFrame|toStored|withIndexes|isFrom)$/.test(row.name));
const pathUs = path.reduce((sum, row) => sum + (best.get(row.own) ?? 0), 0) / 1000;
process.stdout.write(`decodeFrame + toStored + withIndexes + isFrom: ${pathUs.toFixed(2)} µs (${sink} calls)\n`);
