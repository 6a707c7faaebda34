// Awareness as Bodies. Shows their routes, their sizes, and that equal lists are encoded once.
import { decodeFrame, AwarenessSchema, type Body } from "@bimip/protocol";
import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { encodeBodies, SharedBodies } from "./bodies.js";
import { Change } from "./change.js";

const awareness = (id: string, bytes = 0): Uint8Array =>
  toBinary(AwarenessSchema, create(AwarenessSchema, { id, details: "x".repeat(bytes) }));
const routes = { last: 9, before: 10 };
const body = (frame: Uint8Array): Body => decodeFrame(frame, { maxStanzaBytes: 1 << 24 }).stanza.value as Body;
const ids = (frame: Uint8Array): string[] => body(frame).awarenessList.map(({ id }) => id);

test("nothing is one empty Body", () => {
  const frames = encodeBodies(routes, []);
  expect(frames.map((frame) => [body(frame).route, ids(frame)])).toEqual([[9n, []]]);
});

test("no Body has more than 512 KiB, but for one stanza that has; the last one has a route of its own", () => {
  const sizes = [200_000, 200_000, 200_000, 600_000, 1, 524_000, 400];
  const frames = encodeBodies(
    routes,
    sizes.map((size, at) => awareness(String(at), size)),
  );
  expect(frames.map(ids)).toEqual([["0", "1"], ["2"], ["3"], ["4", "5"], ["6"]]);
  expect(frames.map((frame) => body(frame).route)).toEqual([10n, 10n, 10n, 10n, 9n]);
});

test("the same changes one after the other are the same bytes", () => {
  const change = (id: string): Change => new Change({ about: "a", revision: 1, payload: awareness(id), asBody: false });
  const [a, b] = [change("a"), change("b")];
  const bodies = new SharedBodies();
  const first = bodies.of([a, b]);
  expect(bodies.of([a, b])).toBe(first);
  expect(bodies.of([b, a])).not.toBe(first);
  expect(bodies.of([b, a]).map(ids)).toEqual([["b", "a"]]);
});

test("a change is a frame of its own, as a Body where that is asked for, and keeps nothing of where it came from", () => {
  const chunk = new Uint8Array(65_536);
  const bytes = awareness("a");
  chunk.set(bytes, 100);
  const payload = chunk.subarray(100, 100 + bytes.length);
  for (const asBody of [false, true]) {
    const change = new Change({ about: "a", revision: 1, payload, asBody });
    expect(new Uint8Array(change.payload)).toEqual(bytes);
    expect(change.payload.buffer).not.toBe(chunk.buffer);
    expect(decodeFrame(change.frame).stanza.kind).toBe(asBody ? "body" : "awareness");
  }
});
