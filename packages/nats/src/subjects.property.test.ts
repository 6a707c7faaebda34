// Every subject and key that is made of names has as many tokens as it has for plain names, and no wildcard but its own, whatever
// the names.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import * as names from "./names.js";
import { SUBJECTS } from "./names.js";

const RUNS = 3_000;
const name = fc.oneof(
  fc.constantFrom(
    "*",
    ">",
    ".",
    "a.b",
    "a.>",
    "$JS.API.>",
    "_INBOX.>",
    " ",
    "a b",
    "\r\n",
    "\0",
    "\u00a0",
    "..",
    "x".repeat(255),
  ),
  fc.string({ unit: "binary", minLength: 1, maxLength: 60 }),
);

type Builder = readonly [what: string, build: (...given: string[]) => string, names: number];

/** What goes into these is ours: the number of a partition, the id of a process. */
const NOT_OF_NAMES = ["logsOfPartition", "gateway", "fanout", "gatewayPing", "swept"];

/** Each function that makes a subject or a key of names, and of how many. */
const BUILDERS: readonly Builder[] = [
  ["SUBJECTS.log", (eid = "") => SUBJECTS.log(3, eid), 1],
  ...buildersOf("SUBJECTS", SUBJECTS),
  ...buildersOf("revocationKeys", names.revocationKeys),
  ["userKey", names.userKey, 1],
  ["sessionKey", names.sessionKey, 2],
  ["awarenessUserKey", names.awarenessUserKey, 1],
  ["contactKey", names.contactKey, 2],
  ["contactKeysOf", names.contactKeysOf, 1],
  ["refreshKey", names.refreshKey, 2],
];

function buildersOf(path: string, table: object): Builder[] {
  return Object.entries(table).flatMap(([key, value]: [string, unknown]): Builder[] => {
    if (typeof value === "object" && value !== null) return buildersOf(`${path}.${key}`, value);
    if (typeof value !== "function" || key === "log" || NOT_OF_NAMES.includes(key)) return [];
    return [[`${path}.${key}`, value as Builder[1], value.length]];
  });
}

test("the table of subjects is read as it is", () => {
  expect(BUILDERS.map(([what]) => what)).toContain("SUBJECTS.end");
  expect(BUILDERS.length).toBeGreaterThan(15);
});

test.each(BUILDERS)("%s", (_what, build, count) => {
  const plain = build(...Array.from({ length: count }, () => "a")).split(".");
  fc.assert(
    fc.property(fc.array(name, { minLength: count, maxLength: count }), (given) => {
      const made = build(...given);
      const tokens = made.split(".");
      expect(tokens).toHaveLength(plain.length);
      for (const [at, token] of tokens.entries())
        if (token !== plain[at] && !/^[A-Za-z0-9_-]+$/.test(token)) throw new Error(`an unsafe token in ${made}`);
      // With what NATS puts in front for a bucket or a call: one line of its protocol takes 4,096 bytes.
      expect(made.length).toBeLessThan(2_500);
    }),
    { numRuns: RUNS },
  );
});
