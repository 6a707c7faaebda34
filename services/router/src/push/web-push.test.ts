import { expect, test } from "vitest";
import type { Push } from "./provider.js";
import { webPushPayload } from "./web-push.js";

const push: Push = {
  id: "id",
  eid: "bob@x",
  kind: "message",
  from: "alice@x",
  type: "text",
  text: "hello",
  stanza: {},
  index: 1,
  badge: 3,
  storedAtMs: 1,
  online: false,
};
const payload = (change: Partial<Push>): unknown => JSON.parse(webPushPayload({ ...push, ...change }));

test("text is whole or not there; the type goes next; the rest always fits", () => {
  const small = { id: "id", from: "alice@x", kind: "message", badge: 3 };
  expect(payload({})).toEqual({ ...small, type: "text", text: "hello" });
  expect(payload({ text: undefined })).toEqual({ ...small, type: "text" });
  expect(payload({ text: "€".repeat(1_000) })).toEqual({ ...small, type: "text" });
  expect(payload({ text: "t".repeat(2_900) })).toMatchObject({ text: "t".repeat(2_900) });
  expect(payload({ type: "t".repeat(3_100) })).toEqual(small);
  const longest = webPushPayload({ ...push, from: "\u{1F600}".repeat(63), text: "t".repeat(60_000) });
  expect(Buffer.byteLength(longest)).toBeLessThanOrEqual(3_072);
});
