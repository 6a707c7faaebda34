// What a device said before it was gone; awareness's answers are the test's.
import { AwarenessRequestSchema, AwarenessResponseSchema, AwarenessSchema } from "@bimip/protocol";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { AskedInOrder } from "../awareness/asked-in-order.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { handleAwareness } from "./awareness.js";

test("of a session that has ended, a status is told, a presence is not", async () => {
  const told: number[] = [];
  const request = async (_subject: string, bytes: Uint8Array) => {
    told.push(fromBinary(AwarenessRequestSchema, bytes).awareness[0] ?? 0);
    return { data: toBinary(AwarenessResponseSchema, create(AwarenessResponseSchema)) };
  };
  const gateway = { node: "n", link: { up: true, nc: { request } } } as unknown as Gateway;
  const asked = new AskedInOrder();
  const session = { eid: "a@x", device: "phone", id: "s", ended: true, requests: { asked } };
  Object.assign(session, { awareness: { registered: async () => true } });
  for (const [type, status] of [
    [1, 1],
    [1, 4],
    [2, 6],
  ] as const) {
    const said = create(AwarenessSchema, { type, status });
    const frame = { bytes: Uint8Array.of(status), payloadStart: 0, payloadEnd: 1 };
    await handleAwareness(gateway, session as unknown as Session, said, frame as never);
  }
  expect(told).toEqual([6]);
});
