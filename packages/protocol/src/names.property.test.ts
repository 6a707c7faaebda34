// A hundred thousand random names: each has a token that NATS takes for one word, and no two share one.
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nameProblem, nameToToken, tokenToName } from "./index.js";

const RUNS = 100_000;
/** Characters that mean something somewhere are as likely as all others together. */
const SPECIAL = Array.from("._*>$-@%/\\ \t\r\n\0\u007f\u0085\u00a0\u200b\u202e\ufeff2E40Aa👩\u00e9\u0301");
const special = fc.constantFrom(...SPECIAL);
const name = fc.string({
  unit: fc.oneof(special, fc.string({ unit: "binary", minLength: 1, maxLength: 1 })),
  minLength: 1,
  maxLength: 40,
});

describe("names as tokens", () => {
  it("go there and back in characters that are safe in a subject, one token each", () => {
    const tokens = new Map<string, string>();
    fc.assert(
      fc.property(name, (value) => {
        const token = nameToToken(value);
        if (!/^[A-Za-z0-9_-]+$/.test(token)) throw new Error(`an unsafe token: ${token}`);
        if (tokenToName(token) !== value) throw new Error(`${token} comes back as something else`);
        const other = tokens.get(token);
        if (other !== undefined && other !== value) throw new Error(`${token} stands for two names`);
        tokens.set(token, value);
      }),
      { numRuns: RUNS },
    );
    expect(tokens.size).toBeGreaterThan(RUNS / 2);
  });

  it("are at most three times as long: the longest subject stays far below what nats-server reads in one line", () => {
    fc.assert(
      fc.property(name, (value) => {
        expect(nameToToken(value).length).toBeLessThanOrEqual(3 * Buffer.byteLength(value));
      }),
    );
  });

  it("of what no account may be called are still safe", () => {
    fc.assert(
      fc.property(name, (value) => {
        // The rule for names is the gateway's first line; the encoding does not rely on it.
        if (nameProblem(value, 255) === undefined) return;
        expect(nameToToken(value)).toMatch(/^[A-Za-z0-9_-]+$/);
      }),
    );
  });
});
