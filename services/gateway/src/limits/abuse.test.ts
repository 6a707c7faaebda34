import { BimipError, decodeFrame, ErrorCode } from "@bimip/protocol";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Refusal } from "../audit.js";
import { Abuse, Refused } from "./abuse.js";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Abuse is five refusals in ten seconds. */
function setUp(refusals = 5) {
  const audited: Refusal[] = [];
  const count = { inc: vi.fn() };
  const abuse = new Abuse({
    refusals,
    windowMs: 10_000,
    audit: { refused: (refusal) => void audited.push(refusal) },
    metrics: { errors: count, abuseClosed: count } as never,
  });
  const openSession = (eid = "a@x") => {
    const told: string[] = [];
    const closed: string[] = [];
    const session = {
      eid,
      device: "phone",
      address: "192.0.2.7",
      ended: false,
      refused: new Refused(),
      send(frame: Uint8Array) {
        const { stanza } = decodeFrame(frame);
        if (stanza.kind === "error") told.push(`${stanza.value.code} ${stanza.value.details}`);
      },
      close(code: number, reason: string) {
        session.ended = true;
        closed.push(`${code} ${reason}`);
      },
    };
    return { session, told, closed };
  };
  return { abuse, audited, openSession };
}

const error = (code: number) => new BimipError(code, "the text");
const { TOO_FAST, MALFORMED } = ErrorCode;

it("closes a session that goes on for longer than it takes to hear of it", () => {
  const { abuse, openSession, audited } = setUp();
  const { session, told, closed } = openSession();
  const refuse = (code: number, times: number): void => {
    for (let n = 0; n < times; n++) abuse.note(session, error(code));
  };
  refuse(TOO_FAST, 500);
  vi.advanceTimersByTime(1_000);
  refuse(TOO_FAST, 500);
  vi.advanceTimersByTime(1);
  refuse(TOO_FAST, 2);
  refuse(MALFORMED, 2);
  expect([told, closed]).toEqual([[], []]);
  refuse(MALFORMED, 1);
  const details = "closed for 5 refused stanzas, try again in 10 s";
  expect([told, closed]).toEqual([[`429 ${details}`], [`4429 ${details}`]]);
  refuse(TOO_FAST, 100);
  expect(closed).toHaveLength(1);
  const who = { eid: "a@x", device: "phone", address: "192.0.2.7" };
  expect(audited.filter(({ reason }) => reason === "abuse")).toEqual([
    { reason: "abuse", code: 4429, details, ...who },
  ]);
});

it("overlooks what was under way, but not everything", () => {
  const { abuse, openSession } = setUp();
  const { session, closed } = openSession();
  for (let n = 0; n < 1_004; n++) abuse.note(session, error(TOO_FAST));
  expect(closed).toEqual([]);
  abuse.note(session, error(TOO_FAST));
  expect(closed).toHaveLength(1);
});

it("overlooks it again where the client has listened meanwhile", () => {
  const { abuse, openSession } = setUp();
  const { session, closed } = openSession();
  for (let round = 0; round < 20; round++) {
    for (let n = 0; n < 500; n++) abuse.note(session, error(TOO_FAST));
    vi.advanceTimersByTime(2_501);
  }
  expect(closed).toEqual([]);
  for (let n = 0; n < 500; n++) abuse.note(session, error(TOO_FAST));
  vi.advanceTimersByTime(2_500);
  for (let n = 0; n < 5; n++) abuse.note(session, error(TOO_FAST));
  expect(closed).toHaveLength(1);
});

it("counts those of the window only", () => {
  const { abuse, openSession } = setUp();
  const { session, closed } = openSession();
  for (let n = 0; n < 50; n++) {
    abuse.note(session, error(TOO_FAST));
    vi.advanceTimersByTime(2_500);
  }
  expect(closed).toEqual([]);
});

it("counts nothing else, and each session by itself", () => {
  const { abuse, openSession } = setUp();
  const { session, closed } = openSession();
  const other = openSession();
  const codes = [ErrorCode.NOT_ALLOWED, ErrorCode.FIELD_WRONG, ErrorCode.TOO_LARGE, ErrorCode.TRY_AGAIN];
  abuse.note(session, error(TOO_FAST));
  vi.advanceTimersByTime(1_001);
  for (const code of codes) for (let n = 0; n < 100; n++) abuse.note(session, error(code));
  for (let n = 0; n < 4; n++) for (const one of [session, other.session]) abuse.note(one, error(TOO_FAST));
  expect([closed, other.closed]).toEqual([[], []]);
});

it("never closes with 0", () => {
  const { abuse, openSession } = setUp(0);
  const { session, closed } = openSession();
  for (let n = 0; n < 100; n++) {
    abuse.note(session, error(TOO_FAST));
    vi.advanceTimersByTime(50);
  }
  expect(closed).toEqual([]);
});

it("keeps the account out for the time, and nobody else", () => {
  const { abuse, openSession } = setUp(1);
  for (const [eid, atMs] of [
    ["a@x", 0],
    ["b@x", 5_000],
  ] as const) {
    vi.advanceTimersByTime(atMs);
    const { session, closed } = openSession(eid);
    abuse.note(session, error(TOO_FAST));
    vi.advanceTimersByTime(1_001);
    abuse.note(session, error(TOO_FAST));
    expect(closed).toHaveLength(1);
  }
  const barred = (): number[] => ["a@x", "b@x", "c@x"].map((eid) => abuse.barredMs(eid));
  expect(barred()).toEqual([3_999, 10_000, 0]);
  expect(abuse.barredDetails(3_999)).toBe("too many refused stanzas of this account, try again in 3.999 s");
  vi.advanceTimersByTime(3_999);
  expect(barred()).toEqual([0, 6_001, 0]);
  vi.advanceTimersByTime(6_001);
  expect(barred()).toEqual([0, 0, 0]);
});

it("tells the audit what concerns it", () => {
  const { abuse, openSession, audited } = setUp();
  const { session } = openSession();
  for (const code of [400, 401, 403, 404, 409, 413, 422, 429, 500, 501, 503]) abuse.note(session, error(code));
  expect(audited.map(({ code, reason }) => `${code} ${reason}`)).toEqual([
    "400 malformed",
    "403 forbidden",
    "413 malformed",
    "422 malformed",
    "429 rate",
  ]);
  expect(audited[0]).toMatchObject({ eid: "a@x", device: "phone", address: "192.0.2.7", details: "the text" });
});

it("tells a class once in the time that it was told to wait", () => {
  const refused = new Refused();
  expect([refused.tell("signals", 50), refused.tell("signals", 50), refused.tell("other", 50)]).toEqual([
    true,
    false,
    true,
  ]);
  vi.advanceTimersByTime(50);
  expect(refused.tell("signals", 50)).toBe(true);
});
