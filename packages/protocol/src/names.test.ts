import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BimipError, LIMITS, nameProblem, nameToToken, tokenToName } from "./index.js";

const encoder = new TextEncoder();
const name = fc.string({ unit: "binary", minLength: 1, maxLength: 80 });

describe("nameToToken", () => {
  it("is readable", () => {
    expect(nameToToken("alice@example.com")).toBe("alice_40example_2Ecom");
  });

  it.each(["a.b", "a_b", "a*b", ">", "*", "$SYS", "a b", "ünïcode@x", "_", "_40", "@", "\ufeffalice", "x".repeat(255)])(
    "brings %j there and back in subject-safe characters",
    (value) => {
      const token = nameToToken(value);
      expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(tokenToName(token)).toBe(value);
    },
  );

  it("round trips every name and uses safe characters only", () => {
    fc.assert(
      fc.property(name, (value) => {
        const token = nameToToken(value);
        expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
        expect(tokenToName(token)).toBe(value);
      }),
    );
  });

  it("gives different names different tokens", () => {
    fc.assert(
      fc.property(name, name, (a, b) => {
        expect(nameToToken(a) === nameToToken(b)).toBe(a === b);
      }),
    );
  });

  it("refuses the empty name and lone surrogates", () => {
    for (const value of ["", "\ud800", "a\udc00", "\ud83d"]) expect(() => nameToToken(value)).toThrow(BimipError);
  });
});

describe("tokenToName", () => {
  it.each(["", "a.b", "a b", "_", "_4", "_4g", "_2e", "_41", "_2D", "_FF", "ü", "a_C3"])("refuses %j", (token) => {
    expect(() => tokenToName(token)).toThrow(BimipError);
  });

  it("takes only what nameToToken makes", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("_", "2", "E", "4", "C", "3", "a", "-", "A") }), (token) => {
        let value: string;
        try {
          value = tokenToName(token);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(BimipError);
          return;
        }
        expect(nameToToken(value)).toBe(token);
      }),
    );
  });
});

describe("nameProblem", () => {
  it.each([
    ["", "is missing"],
    ["a\u0000", "holds the control character U+0000"],
    ["\n", "holds the control character U+000A"],
    ["\u007f", "holds the control character U+007F"],
    ["a\u0085", "holds the control character U+0085"],
    ["\u009f", "holds the control character U+009F"],
    ["\ud800x", "holds a lone surrogate"],
    ["x\udfff", "holds a lone surrogate"],
    ["x".repeat(256), "is too long: 256 bytes, at most 255"],
    ["ü".repeat(128), "is too long: 256 bytes, at most 255"],
    ["👋".repeat(64), "is too long: 256 bytes, at most 255"],
  ])("%j %s", (value, text) => {
    expect(nameProblem(value, LIMITS.eidBytes)).toBe(text);
  });

  it.each(["a", " ", "\u00a0", "a.b*>", "x".repeat(255), "👋".repeat(63), "\u{10ffff}"])("takes %j", (value) => {
    expect(nameProblem(value, LIMITS.eidBytes)).toBeUndefined();
  });

  it("counts bytes as TextEncoder does", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme-composite", minLength: 1 }), (value) => {
        const bytes = encoder.encode(value).length;
        expect(nameProblem(value, bytes)).toBeUndefined();
        expect(nameProblem(value, bytes - 1)).toBe(`is too long: ${bytes} bytes, at most ${bytes - 1}`);
      }),
    );
  });
});
