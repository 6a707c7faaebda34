import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { base64url } from "../../../test/kit/token-keys.js";
import { hasRepeatedName } from "./repeated-name.js";
import { tokenParts } from "./token-parts.js";

const header = base64url('{"alg":"HS256"}');
const payload = base64url('{"sub":"a"}');

function problemOf(token: string): string {
  try {
    tokenParts(token);
    return "none";
  } catch (error) {
    return (error as Error).message;
  }
}

describe("one spelling of a token", () => {
  test("as it is", () => {
    expect(tokenParts(`${header}.${payload}.QUJD`)).toEqual({
      header: { alg: "HS256" },
      payload: { sub: "a" },
      signed: `${header}.${payload}`,
      signature: Buffer.from("ABC"),
    });
  });

  test.each([
    ["bits that no byte takes", `${header}.${payload}.QUJDRB`, "token: its signature is not base64url"],
    ["a letter too many", `${header}.${payload}.QUJDR`, "token: its signature is not base64url"],
    [
      "bits in the payload",
      `${header}.${base64url('{"sub":"abc"}').slice(0, -1)}R.QUJD`,
      "token: its payload is not base64url",
    ],
    ["padding", `${header}.${payload}.QUI=`, "token: is not a signed JWT"],
    ["the other base64", `${header}.${payload}.QU+/`, "token: is not a signed JWT"],
    ["a line feed at the end", `${header}.${payload}.QUJD\n`, "token: is not a signed JWT"],
    ["a blank before", ` ${header}.${payload}.QUJD`, "token: is not a signed JWT"],
    ["a letter of another script", `${header}.${payload}.QUJ\u0410`, "token: is not a signed JWT"],
    ["a fourth part", `${header}.${payload}.QUJD.`, "token: is not a signed JWT"],
    [
      "a byte order mark",
      `${header}.${base64url('\ufeff{"sub":"a"}')}.QUJD`,
      "token: its payload is not JSON in UTF-8",
    ],
    ["NaN", `${header}.${base64url('{"exp":NaN}')}.QUJD`, "token: its payload is not JSON in UTF-8"],
    ["a comment", `${header}.${base64url('{"exp":1/**/}')}.QUJD`, "token: its payload is not JSON in UTF-8"],
    ["two values", `${header}.${base64url('{"sub":"a"}{"sub":"b"}')}.QUJD`, "token: its payload is not JSON in UTF-8"],
  ])("%s", (_, token, expected) => {
    expect(problemOf(token)).toBe(expected);
  });
});

describe("names that stand twice", () => {
  test.each([
    '{"sub":"a","sub":"b"}',
    '{"sub":"a","\\u0073ub":"b"}',
    '{"sub" : "a", "sub"\n\t: "a"}',
    '{"x":{"y":1,"y":2}}',
    '{"x":[[{"y":1,"y":2}]]}',
    '{"__proto__":1,"__proto__":2}',
    '{"":1,"":2}',
    '{"1":1,"1":2}',
    '{"a\\"":1,"a\\"":2}',
  ])("%s", (json) => {
    expect(problemOf(`${header}.${base64url(json)}.QUJD`)).toBe("token: its payload says something twice");
    expect(problemOf(`${base64url(json)}.${payload}.QUJD`)).toBe("token: its header says something twice");
  });

  test.each([
    '{"sub":"sub\\":","x":"\\\\"}',
    '{"x":{"x":{"x":[{"x":1},{"x":"\\\\\\":"}]}}}',
    '{"a":"b","c":["a","c",":"]}',
    '{"__proto__":1,"constructor":2,"10":3,"9":4}',
  ])("not in %s", (json) => {
    expect(problemOf(`${header}.${base64url(json)}.QUJD`)).toBe("none");
  });

  test("never in what JSON.stringify makes", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.nat(3), (value, indent) => {
        const json = JSON.stringify(value, undefined, indent);
        expect(hasRepeatedName(json, JSON.parse(json))).toBe(false);
      }),
    );
  });

  test("always where one is written once more", () => {
    const value = fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 });
    fc.assert(
      fc.property(value, fc.jsonValue(), fc.nat(), (object, more, at) => {
        const names = Object.keys(object);
        const name = JSON.stringify(names[at % names.length]);
        const json = `${JSON.stringify(object).slice(0, -1)},${name}:${JSON.stringify(more)}}`;
        expect(hasRepeatedName(json, JSON.parse(json))).toBe(true);
      }),
    );
  });
});
