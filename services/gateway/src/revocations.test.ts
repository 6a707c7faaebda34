// What is refused, and which sessions end, for what the feed tells. Shows that nothing is taken back and that many sessions end in slices.
import type { Claims } from "@bimip/auth";
import { revocationKeys } from "@bimip/nats";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Revocable, Revocations, type RevokedBy } from "./revocations.js";
import { SessionsByJti } from "./sessions-by-jti.js";

const NOW_S = 1_000_000;

beforeEach(() => {
  vi.useFakeTimers({ now: NOW_S * 1_000 });
});
afterEach(() => {
  vi.useRealTimers();
});

function claims(parts: Partial<Claims> = {}): Claims {
  return {
    eid: "alice@x",
    device: "phone",
    jti: "token-1",
    issuedAtS: NOW_S - 10,
    expiresAtMs: undefined,
    scopes: new Set(),
    name: undefined,
    ...parts,
  };
}

class FakeSession implements Revocable {
  leaving = false;
  ended: RevokedBy | undefined;
  readonly claims: Claims;

  constructor(parts: Partial<Claims> = {}) {
    this.claims = claims(parts);
  }

  endRevoked(by: RevokedBy): void {
    this.ended ??= by;
  }
}

function setUp() {
  const sessions: FakeSession[] = [];
  const errors: unknown[] = [];
  const counts: number[] = [];
  const ofUser = (eid: string): FakeSession[] => sessions.filter((session) => session.claims.eid === eid);
  const revocations = new Revocations({
    users: {
      sessionsOf: ofUser,
      sessionOf: (eid, device) => ofUser(eid).find((session) => session.claims.device === device),
    },
    logger: { error: (text: unknown) => void errors.push(text), warn: () => undefined } as never,
    gauge: { set: (count) => void counts.push(count) },
  });
  const open = (parts: Partial<Claims> = {}): FakeSession => {
    const session = new FakeSession(parts);
    sessions.push(session);
    revocations.hold(session);
    return session;
  };
  const tell = (key: string, record: object | undefined): void => {
    const bytes = record === undefined ? new Uint8Array() : Buffer.from(JSON.stringify(record));
    revocations.take({ key, bytes, revision: 1, initial: false });
  };
  return { revocations, open, tell, errors, counts };
}

const at = (atS: number, untilMs = 0) => ({ atS, untilMs, by: "test" });

test("a token is refused by its id, by its device and by its account, up to the very second of the revocation", () => {
  const { revocations, tell } = setUp();
  expect(revocations.refusal(claims())).toBeUndefined();
  tell(revocationKeys.jti("token-1"), at(NOW_S));
  expect(revocations.refusal(claims())).toBe("jti");
  expect(revocations.refusal(claims({ jti: "token-2" }))).toBeUndefined();
  expect(revocations.refusal(claims({ jti: undefined }))).toBeUndefined();

  tell(revocationKeys.device("alice@x", "phone"), at(NOW_S));
  for (const [issuedAtS, refused] of [
    [NOW_S - 1, "device"],
    [NOW_S, "device"],
    [NOW_S + 1, undefined],
    [undefined, "device"],
  ] as const)
    expect(revocations.refusal(claims({ jti: "token-2", issuedAtS }))).toBe(refused);
  expect(revocations.refusal(claims({ jti: "token-2", device: "laptop" }))).toBeUndefined();

  tell(revocationKeys.user("alice@x"), at(NOW_S));
  expect(revocations.refusal(claims({ jti: "token-2", device: "laptop" }))).toBe("user");
  expect(revocations.refusal(claims({ jti: "token-2", device: "laptop", issuedAtS: NOW_S + 1 }))).toBeUndefined();
  expect(revocations.refusal(claims({ jti: "token-2", eid: "bob@x" }))).toBeUndefined();
});

test("the sessions of what is told end, and no others", () => {
  const { open, tell } = setUp();
  const phone = open();
  const again = open({ eid: "bob@x" }); // a token id belongs to nobody: who made two of one has both refused
  const laptop = open({ device: "laptop", jti: "token-2" });
  const bob = open({ eid: "bob@x", device: "tablet", jti: "token-3" });
  const nameless = open({ eid: "carol@x", jti: undefined, issuedAtS: undefined });
  const fresh = open({ eid: "carol@x", device: "new", jti: undefined, issuedAtS: NOW_S + 1 });
  const all = (): (RevokedBy | undefined)[] => [phone, again, laptop, bob, nameless, fresh].map(({ ended }) => ended);
  tell(revocationKeys.jti("token-1"), at(NOW_S));
  expect(all()).toEqual(["jti", "jti", undefined, undefined, undefined, undefined]);
  tell(revocationKeys.device("bob@x", "tablet"), at(NOW_S));
  tell(revocationKeys.device("bob@x", "nobody's"), at(NOW_S));
  expect(all()).toEqual(["jti", "jti", undefined, "device", undefined, undefined]);
  tell(revocationKeys.user("carol@x"), at(NOW_S));
  expect(all()).toEqual(["jti", "jti", undefined, "device", "user", undefined]);
});

test("a session ends whose token was revoked between the look at it and the session's beginning", async () => {
  const { open, tell } = setUp();
  tell(revocationKeys.jti("token-1"), at(NOW_S));
  const session = open();
  await Promise.resolve();
  expect(session.ended).toBe("jti");
});

test("so does one that got another token, if it is not being answered", async () => {
  const { revocations, open, tell } = setUp();
  const [phone, laptop] = [open(), open({ device: "laptop", jti: "token-2" })];
  tell(revocationKeys.jti("token-3"), at(NOW_S));
  laptop.leaving = true;
  for (const session of [phone, laptop]) {
    revocations.release(session);
    Object.assign(session, { claims: claims({ jti: "token-3" }) });
    revocations.hold(session);
  }
  await Promise.resolve();
  expect([phone.ended, laptop.ended]).toEqual(["jti", undefined]);
});

test("a session that got another token goes by that one", () => {
  const { revocations, open, tell } = setUp();
  const session = open();
  revocations.release(session);
  Object.assign(session, { claims: claims({ jti: "token-2" }) });
  revocations.hold(session);
  tell(revocationKeys.jti("token-1"), at(NOW_S));
  expect(session.ended).toBeUndefined();
  tell(revocationKeys.jti("token-2"), at(NOW_S));
  expect(session.ended).toBe("jti");
});

test("a session that is being answered ends right after, not before", () => {
  const { revocations, open, tell } = setUp();
  const session = open();
  session.leaving = true;
  tell(revocationKeys.user("alice@x"), at(NOW_S));
  expect(session.ended).toBeUndefined();
  revocations.check(session);
  expect(session.ended).toBe("user");
});

test("a revocation that is told again, with less, refuses no less", () => {
  const { revocations, tell } = setUp();
  tell(revocationKeys.user("alice@x"), at(NOW_S, 0));
  tell(revocationKeys.user("alice@x"), at(NOW_S - 100, NOW_S * 1_000 + 1));
  vi.advanceTimersByTime(60_000);
  expect(revocations.refusal(claims())).toBe("user");
});

test("what has expired is forgotten, at once for tokens and soon in memory; what has not is kept", () => {
  const { revocations, tell, counts } = setUp();
  tell(revocationKeys.user("alice@x"), at(NOW_S, NOW_S * 1_000 + 5_000));
  tell(revocationKeys.jti("token-1"), at(NOW_S, NOW_S * 1_000 + 90_000));
  tell(revocationKeys.jti("for ever"), at(NOW_S));
  vi.advanceTimersByTime(4_999);
  expect(revocations.refusal(claims({ jti: "x" }))).toBe("user");
  vi.advanceTimersByTime(1);
  expect(revocations.refusal(claims({ jti: "x" }))).toBeUndefined();
  vi.advanceTimersByTime(1_001);
  expect(counts.at(-1)).toBe(2);
  vi.advanceTimersByTime(100_000);
  expect([counts.at(-1), revocations.size]).toEqual([1, 1]);
  expect(revocations.refusal(claims())).toBeUndefined();
});

test("an entry that somebody deletes by hand is forgotten; a bucket that was made anew takes nothing back, and is told of", () => {
  const { revocations, tell, errors } = setUp();
  tell(revocationKeys.user("alice@x"), at(NOW_S));
  revocations.onReset();
  expect(revocations.refusal(claims())).toBe("user");
  expect(errors).toEqual([{ held: 1 }]);
  tell(revocationKeys.user("alice@x"), undefined);
  expect(revocations.refusal(claims())).toBeUndefined();
});

test("what is no revocation is refused and changes nothing", () => {
  const { revocations, tell } = setUp();
  expect(() => tell("strange.key", at(NOW_S))).toThrow("is no key of a revocation");
  expect(() => tell("user", at(NOW_S))).toThrow("not the token of a name");
  expect(() => tell(revocationKeys.user("alice@x"), { atS: "yesterday" })).toThrow("is no revocation");
  expect(revocations.refusal(claims())).toBeUndefined();
});

test("10,000 devices of one account end in slices; those that came meanwhile end, too", () => {
  const { open, tell } = setUp();
  const sessions = Array.from({ length: 10_000 }, (_, n) => open({ device: `device-${n}`, jti: `token-${n}` }));
  const ended = (): number => sessions.filter((session) => session.ended !== undefined).length;
  tell(revocationKeys.user("alice@x"), at(NOW_S));
  expect(ended()).toBe(50);
  const late = open({ eid: "bob@x", jti: "late" });
  tell(revocationKeys.jti("late"), at(NOW_S));
  vi.advanceTimersToNextTimer();
  expect(ended()).toBe(100);
  vi.runAllTimers();
  expect([ended(), late.ended]).toEqual([10_000, "jti"]);
});

test("ids of 10 kB are found by a number; two that share one are told apart by the claims", () => {
  const { open, tell, revocations } = setUp();
  const long = "x".repeat(10_240);
  const one = open({ jti: long });
  const other = open({ jti: `${long}y`, device: "laptop" });
  tell(revocationKeys.jti(long), at(NOW_S));
  expect([one.ended, other.ended]).toEqual(["jti", undefined]);
  expect(revocations.refusal(other.claims)).toBeUndefined();

  const held = new SessionsByJti<object>();
  const [first, second] = [{}, {}];
  const [key, sameNumber] = ["jti.AAAAAAxxxx", "jti.AAAAAAyyyy"];
  held.add(key, first);
  held.add(sameNumber, second);
  expect([...held.of(key)]).toEqual([first, second]);
  held.remove(key, first);
  held.remove(key, first);
  expect([...held.of(sameNumber)]).toEqual([second]);
  held.remove(sameNumber, second);
  expect([held.of(key), held.size]).toEqual([[], 0]);
});
