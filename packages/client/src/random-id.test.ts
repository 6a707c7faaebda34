import { expect, it, vi } from "vitest";
import { randomId } from "./random-id.js";

const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

it("is a version 4 UUID, also on a page without randomUUID", () => {
  expect(randomId()).toMatch(UUID_V4);
  vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
  expect(randomId()).toMatch(UUID_V4);
  expect(randomId()).not.toBe(randomId());
  vi.unstubAllGlobals();
});
