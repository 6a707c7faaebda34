// Whatever bytes come: a stanza that can be written and read again, or a BimipError. How long that may take is judged by
// `npm run fuzz`, which prints the longest turn of a gateway's event loop.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import vectors from "../vectors/stanzas.json" with { type: "json" };
import {
  BimipError,
  decodeFrame,
  encodeIdentity,
  encodeStanza,
  entryTarget,
  errorFrame,
  type Frame,
  toStored,
  validateStanza,
  withIndexes,
} from "./index.js";

const RUNS = 20_000;
const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
const golden = vectors
  .filter(({ type }) => type === "bimip.MessageScheme")
  .flatMap(({ hex, goHex }) => [hex, goHex])
  .map(bytesOf);

interface Change {
  /** Where, modulo the frame's length. */
  readonly from: number;
  readonly insert: Uint8Array;
  /** Bytes that go away; undefined: as many as come, so that lengths stay true. */
  readonly remove: number | undefined;
}

const change: fc.Arbitrary<Change> = fc.record({
  from: fc.nat({ max: 9_999 }),
  insert: fc.oneof(
    { weight: 4, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 1 }) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }) },
    // Tags, lengths, groups and bad UTF-8 are more likely to hurt than noise is.
    { weight: 1, arbitrary: fc.constantFrom(...["8001", "ffffffff0f", "0a00", "9b06", "9c06", "c080"].map(bytesOf)) },
  ),
  remove: fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.nat({ max: 12 }) }),
});

const mutated = fc
  .tuple(fc.constantFrom(...golden), fc.array(change, { minLength: 1, maxLength: 3 }))
  .map(([frame, changes]) =>
    changes.reduce((bytes, { from, insert, remove = insert.length }) => {
      const at = from % (bytes.length + 1);
      return Uint8Array.from([...bytes.subarray(0, at), ...insert, ...bytes.subarray(at + remove)]);
    }, frame),
  );
const anyBytes = fc.oneof(
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) },
  { weight: 4, arbitrary: mutated },
);

/** The frame, or undefined where it was refused. @throws whatever is no BimipError */
function decoded(bytes: Uint8Array): Frame | undefined {
  try {
    return decodeFrame(bytes);
  } catch (thrown) {
    if (!(thrown instanceof BimipError)) throw thrown;
    expect([400, 413]).toContain(thrown.code);
    // The client is told of it in a frame that it can read.
    const { stanza } = decodeFrame(errorFrame(thrown, 1));
    expect(stanza).toMatchObject({ kind: "error", value: { code: thrown.code } });
    return undefined;
  }
}

describe("any bytes", () => {
  it("are refused with a BimipError, or make a stanza that is the same once written and read again", () => {
    let taken = 0;
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const frame = decoded(bytes);
        if (frame === undefined) return;
        taken++;
        const { kind, value } = frame.stanza;
        const again = decodeFrame(encodeStanza(kind, value as never), { maxStanzaBytes: 1 << 20 });
        expect(again.stanza).toEqual(frame.stanza);
      }),
      { numRuns: RUNS },
    );
    // Else nothing was put to the test.
    expect(taken).toBeGreaterThan(RUNS / 20);
  });

  it("that pass validation can be stored, numbered and read by the receiver, with the sender that was stamped", () => {
    const from = encodeIdentity({ eid: "alice@example.com", device: "phone", node: "gateway" });
    let stored = 0;
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const frame = decoded(bytes);
        if (frame === undefined || validateStanza(frame.stanza) !== undefined) return;
        const { kind, value } = frame.stanza;
        if (kind !== "message" && kind !== "pushNotification") return;
        stored++;
        const entry = toStored(frame, { from, timestampMs: 1 });
        expect(entryTarget(entry).eid).toBe(value.to?.eid);
        const { stanza } = decodeFrame(withIndexes(entry, 7, 5), { maxStanzaBytes: 1 << 20 });
        expect(stanza).toMatchObject({
          kind,
          value: { id: value.id, from: { eid: "alice@example.com" }, monotonicId: 7n, previousId: 5n },
        });
      }),
      { numRuns: RUNS },
    );
    expect(stored).toBeGreaterThan(100);
  });
});
