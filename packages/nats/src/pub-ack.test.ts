import { expect, test } from "vitest";
import { parsePubAck } from "./pub-ack.js";

const parse = (text: string) => parsePubAck(Buffer.from(text));

test("a PubAck gives its sequence", () => {
  expect(parse('{"stream":"LOG_0","seq":123}')).toEqual({ ok: true, sequence: 123, duplicate: false });
  expect(parse('{"stream":"LOG_0","domain":"d","seq":9007199254740991,"duplicate":true}')).toEqual({
    ok: true,
    sequence: 9007199254740991,
    duplicate: true,
  });
});

test("a duplicate in process, no leader, no space: to be tried again", () => {
  for (const [code, errCode] of [
    [409, 10158],
    [503, 10008],
    [503, 10077],
  ]) {
    const answer = parse(`{"error":{"code":${code},"err_code":${errCode},"description":"x"},"stream":"LOG_0","seq":0}`);
    expect(answer).toEqual({ ok: false, retryable: true, reason: `x (${errCode})` });
  }
});

test("too large and sealed can never succeed", () => {
  expect(parse('{"error":{"code":400,"err_code":10054,"description":"too large"}}')).toMatchObject({
    ok: false,
    retryable: false,
  });
  expect(parse('{"error":{"code":400,"err_code":10109,"description":"sealed"}}')).toMatchObject({
    ok: false,
    retryable: false,
  });
});

test("nonsense is no confirmation", () => {
  for (const text of ["", "{}", '{"stream":"LOG_0","seq":0}', "+OK", '{"seq":']) {
    expect(parse(text)).toMatchObject({ ok: false, retryable: true });
  }
});
