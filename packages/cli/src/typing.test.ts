import { BimipError, SignalSchema, SignalStatus } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Typing } from "./typing.js";

const { TYPING, RECORDING, READ } = SignalStatus;
const signal = (eid: string, status: number) => create(SignalSchema, { type: 1, status, from: { eid } });

let shown: (string | undefined)[];
let tell: ReturnType<typeof vi.fn<(to: string) => void>>;
let typing: Typing;
beforeEach(() => {
  vi.useFakeTimers();
  shown = [];
  tell = vi.fn();
  typing = new Typing({ client: { typing: tell }, peer: "bob", show: (text) => shown.push(text) });
});
afterEach(() => {
  vi.useRealTimers();
});

it("is told at most every 3 s while one types, and anew after a line was sent", () => {
  for (let at = 0; at < 70; at++) {
    typing.typed();
    vi.advanceTimersByTime(100);
  }
  expect(tell.mock.calls).toEqual([["bob"], ["bob"], ["bob"]]);
  typing.sent();
  typing.typed();
  expect(tell).toHaveBeenCalledTimes(4);
});

it("is told no more to who refused it, or cannot be told", () => {
  tell.mockImplementation(() => {
    throw new BimipError(422, "signal.to.eid: is missing");
  });
  typing.typed();
  vi.advanceTimersByTime(10_000);
  typing.typed();
  expect(tell).toHaveBeenCalledTimes(1);
  const other = new Typing({ client: { typing: tell }, peer: "bob", show: () => undefined });
  other.refuse();
  other.typed();
  expect(tell).toHaveBeenCalledTimes(1);
});

it("of the other is shown for 5 s, or until a message comes", () => {
  typing.onSignal(signal("carol", TYPING));
  typing.onSignal(signal("bob", READ));
  expect(shown).toEqual([]);
  typing.onSignal(signal("bob", TYPING));
  vi.advanceTimersByTime(4_000);
  typing.onSignal(signal("bob", RECORDING));
  vi.advanceTimersByTime(4_999);
  expect(shown).toEqual(["bob is typing…", "bob is recording…"]);
  vi.advanceTimersByTime(1);
  expect(shown.slice(2)).toEqual([undefined]);
  typing.onSignal(signal("bob", TYPING));
  typing.hide();
  vi.advanceTimersByTime(10_000);
  expect(shown.slice(3)).toEqual(["bob is typing…", undefined]);
});
