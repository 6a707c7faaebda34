import type { JsonObject } from "./json-object.js";

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const SPACE = 0x20;

/**
 * Whether an object in that JSON has a name twice. Parsers differ in which of the two they take, so a token that one
 * service reads as Alice's could be Bob's for another.
 *
 * @param json what `value` was parsed from
 */
export function hasRepeatedName(json: string, value: JsonObject): boolean {
  return writtenNames(json) !== countNames(value);
}

/** Texts with a colon behind them. The JSON is known to be valid; its white space is the space and what comes before it. */
function writtenNames(json: string): number {
  let count = 0;
  for (let at = 0; at < json.length; at++) {
    if (json.charCodeAt(at) !== QUOTE) continue;
    for (at++; at < json.length && json.charCodeAt(at) !== QUOTE; at++) if (json.charCodeAt(at) === BACKSLASH) at++;
    let next = at + 1;
    while (json.charCodeAt(next) <= SPACE) next++;
    if (json.charCodeAt(next) === COLON) count++;
  }
  return count;
}

/** Names of members, at any depth; without recursion, since the depth is the stranger's to choose. */
function countNames(value: JsonObject): number {
  let count = 0;
  const left: object[] = [value];
  for (let one = left.pop(); one !== undefined; one = left.pop()) {
    const members: unknown[] = Object.values(one);
    if (!Array.isArray(one)) count += members.length;
    for (const member of members) if (typeof member === "object" && member !== null) left.push(member);
  }
  return count;
}
