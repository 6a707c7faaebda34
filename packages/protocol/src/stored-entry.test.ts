import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import {
  BimipError,
  decodeFrame,
  EventSchema,
  encodeIdentity,
  encodeStanza,
  MessageSchema,
  PingPongSchema,
  PushNotificationSchema,
  SignalSchema,
  summaryOf,
  toStored,
} from "./index.js";

const from = { eid: "zoë", connectionResourceId: "phone", node: "g" };
const to = { eid: "bob" };
const stamp = { from: encodeIdentity({ eid: "zoë", device: "phone", node: "g" }), timestampMs: 1 };
const summary = { from: { eid: "zoë", device: "phone" }, to: { eid: "bob", device: undefined } };

test("summaryOf tells kind, sender and addressee of what is stored", () => {
  const message = encodeStanza("message", create(MessageSchema, { id: "m", to, type: "text" }));
  expect(summaryOf(toStored(decodeFrame(message), stamp))).toEqual({ kind: "message", ...summary });
  const push = encodeStanza("pushNotification", create(PushNotificationSchema, { id: "p", to, type: "news" }));
  expect(summaryOf(toStored(decodeFrame(push), stamp))).toEqual({ kind: "pushNotification", ...summary });
  const signal = encodeStanza("signal", create(SignalSchema, { id: "m", from, to, type: 1, status: 4 }));
  expect(summaryOf(signal)).toEqual({ kind: "signal", ...summary });
  const event = encodeStanza("event", create(EventSchema, { id: "e", from, to, type: "call.offer" }));
  expect(summaryOf(event)).toEqual({ kind: "event", ...summary });
});

test("summaryOf takes what is not there as nobody", () => {
  const nobody = { eid: "", device: undefined };
  const signal = encodeStanza("signal", create(SignalSchema, { id: "m", type: 1, status: 4 }));
  expect(summaryOf(signal)).toEqual({ kind: "signal", from: nobody, to: nobody });
});

test("summaryOf refuses what is no entry of a log", () => {
  expect(() => summaryOf(encodeStanza("pingPong", create(PingPongSchema, { id: "p" })))).toThrow(BimipError);
  expect(() => summaryOf(Uint8Array.of(1, 2, 3))).toThrow(BimipError);
  expect(() => summaryOf(new Uint8Array())).toThrow(BimipError);
});
