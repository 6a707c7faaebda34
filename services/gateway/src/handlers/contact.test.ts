// A LIST to a device that takes it slowly or not at all; awareness's answers are the test's.
import type { BimipError } from "@bimip/protocol";
import { AwarenessContactSchema, ContactResponseSchema } from "@bimip/protocol";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AskedInOrder } from "../awareness/asked-in-order.js";
import { GatewayAwareness } from "../awareness/gateway-awareness.js";
import { SessionAwareness } from "../awareness/session-awareness.js";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { handleContact } from "./contact.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Asks for a list of 500; the socket is congested with every tenth stanza. */
function setUp() {
  const sent: Uint8Array[] = [];
  const send = (frame: Uint8Array): void => {
    sent.push(frame);
    if (sent.length % 10 === 0) socket.congested = true;
  };
  const socket = { congested: false, send };
  const contacts = Array.from({ length: 500 }, () => new Uint8Array());
  const data = toBinary(ContactResponseSchema, create(ContactResponseSchema, { contacts }));
  const gateway = { node: "n", link: { up: true, nc: { request: async () => ({ data }) } } } as unknown as Gateway;
  const side = { snapshots: { add: () => undefined } } as unknown as GatewayAwareness;
  const awareness = new SessionAwareness(side, socket as never, "a@x");
  awareness.begin(1);
  const asked = new AskedInOrder();
  const session = { eid: "a@x", device: "phone", ended: false, awareness, requests: { asked }, send };
  const contact = create(AwarenessContactSchema, { trackingId: "list", action: 9 });
  const frame = { bytes: new Uint8Array(), payloadStart: 0, payloadEnd: 0 };
  const failures: BimipError[] = [];
  const work = handleContact(gateway, session as unknown as Session, contact, frame as never);
  const done = Promise.resolve(work).catch((error: BimipError) => void failures.push(error));
  const drain = (): void => {
    socket.congested = false;
    awareness.onDrain();
  };
  return { sent, failures, done, drain, asked };
}

test("goes out in slices, as the device takes them", async () => {
  const { sent, failures, done, drain } = setUp();
  for (let slices = 1; slices <= 50; slices++) {
    await vi.advanceTimersByTimeAsync(9_000);
    expect(sent).toHaveLength(slices * 10);
    drain();
  }
  await done;
  expect(failures).toEqual([]);
});

test("a device that takes nothing for 10 s does not get the rest, and holds nothing up", async () => {
  const { sent, failures, done, asked } = setUp();
  const next = asked.add("setting", async () => undefined);
  await vi.advanceTimersByTimeAsync(10_001);
  await Promise.all([done, next]);
  expect(sent).toHaveLength(10);
  expect(failures).toMatchObject([{ code: 503, id: "list" }]);
});
