// Which messages go to the logs, in which order, and which come back: router, logs and publisher are the test's.
import { create } from "@bufbuild/protobuf";
import type { Append, AppendResult } from "@bimip/nats";
import {
  BimipError,
  decodeFrame,
  encodeIdentity,
  encodeStanza,
  ErrorCode,
  type Message,
  MessageSchema,
  type PushNotification,
  PushNotificationSchema,
} from "@bimip/protocol";
import { expect, it, vi } from "vitest";
import type { Gateway } from "../gateway.js";
import type { Session } from "../session.js";
import { handleMessage, handlePushNotification } from "./message.js";
import { Outgoing } from "./outgoing.js";

const ALLOWED = { refusal: undefined, logSubject: "bimip.log.0.bob" };
const UNKNOWN = { refusal: new BimipError(ErrorCode.UNKNOWN, "to.eid: was never seen"), logSubject: "" };
const LIMITS = {
  maxUnconfirmed: 4_096,
  maxPendingBytesPerSession: 4_194_304,
  maxPendingBytes: 268_435_456,
  sendDeadlineMs: 60_000,
};

/** A session of alice's, who leaves no copies; what she is told as `sent m1` and `503 m1`. */
function setUp(limits: Partial<typeof LIMITS> = {}) {
  const appended: { readonly id: string; done(result: AppendResult): void }[] = [];
  const told: string[] = [];
  const details: string[] = [];
  const unconfirmed: (() => void)[] = [];
  const world = {
    inDoubt: false,
    flow: ALLOWED as typeof ALLOWED | typeof UNKNOWN | undefined,
    /** What is asked of the router, and of the log. */
    decide: (): Promise<typeof ALLOWED> => new Promise<never>(() => undefined),
    find: (): Promise<number | undefined> => new Promise<never>(() => undefined),
  };
  const gateway = {
    limits: { ...LIMITS, ...limits },
    pending: { bytes: 0 },
    policy: { known: () => world.flow, decide: () => world.decide() },
    lateResends: { isLate: (timestamp: bigint) => timestamp > 0n, find: () => world.find() },
    publisher: {
      append: ({ payload }: Append, done: (result: AppendResult) => void) =>
        appended.push({ id: (decodeFrame(payload).stanza.value as Message).id, done }),
    },
    metrics: { lateRepeats: { inc: () => undefined }, sentSeconds: { observe: () => undefined } },
    logger: { warn: () => undefined },
  };
  const openSession = () => ({
    id: "session",
    eid: "alice",
    identity: encodeIdentity({ eid: "alice", device: "phone", node: "n" }),
    logSubject: "bimip.log.0.alice",
    claims: { scopes: new Set(["no-copy", "push"]) },
    outgoing: new Outgoing(),
    delivery: { ownTold: () => undefined },
    fenced: false,
    fence: { confirm: (run: () => void) => (world.inDoubt ? void unconfirmed.push(run) : run()) },
    send: (bytes: Uint8Array) => told.push(`sent ${(decodeFrame(bytes).stanza.value as Message).id}`),
    fail(error: BimipError) {
      told.push(`${error.code} ${error.id}`);
      details.push(error.details);
    },
  });
  const session = openSession();
  const send = (id: string, { text = "", timestamp = 0n, from = session } = {}): void => {
    const message = create(MessageSchema, { id, to: { eid: "bob" }, timestamp, payload: { data: { text } } });
    const frame = decodeFrame(encodeStanza("message", message));
    const { value } = frame.stanza as { value: Message };
    handleMessage(gateway as unknown as Gateway, from as unknown as Session, value, frame);
  };
  const push = (id: string): void => {
    const frame = decodeFrame(
      encodeStanza("pushNotification", create(PushNotificationSchema, { id, to: { eid: "bob" } })),
    );
    const { value } = frame.stanza as { value: PushNotification };
    handlePushNotification(gateway as unknown as Gateway, session as unknown as Session, value, frame);
  };
  const settle = (id: string, result: AppendResult): void => {
    const at = appended.findIndex((append) => append.id === id);
    appended.splice(at, 1)[0]?.done(result);
  };
  return {
    world,
    gateway,
    session,
    openSession,
    unconfirmed,
    told,
    details,
    send,
    push,
    waiting: () => appended.map(({ id }) => id),
    store: (id: string) => settle(id, { ok: true, sequence: 1, duplicate: false }),
    fail: (id: string) => settle(id, { ok: false, retryable: true, reason: "NATS was away" }),
  };
}

/** The router is asked from now on; the returned function has it answer. */
function askRouter({ world }: ReturnType<typeof setUp>): () => void {
  let answer: (flow: typeof ALLOWED) => void = () => undefined;
  const asked = new Promise<typeof ALLOWED>((resolve) => {
    answer = resolve;
  });
  world.flow = undefined;
  world.decide = () => asked;
  return () => {
    world.flow = ALLOWED;
    answer(ALLOWED);
  };
}

it("answers 503 to what waits for the router when an earlier message fails", async () => {
  const alice = setUp();
  alice.send("A");
  const answer = askRouter(alice);
  alice.send("B");
  alice.fail("A");
  answer();
  await vi.waitFor(() => expect(alice.told).toEqual(["503 A", "503 B"]));
  for (const id of ["A", "B"]) alice.send(id);
  expect(alice.waiting()).toEqual(["A", "B"]);
  expect(alice.session.outgoing).toMatchObject({ count: 2 });
});

it("does not let what waits in line go before the repeat that stands behind it; what came after that may go", async () => {
  const alice = setUp();
  alice.send("A");
  const answer = askRouter(alice);
  alice.send("B");
  alice.fail("A");
  for (const id of ["A", "C"]) alice.send(id);
  answer();
  await vi.waitFor(() => expect(alice.waiting()).toEqual(["A", "C"]));
  expect(alice.told).toEqual(["503 A", "503 B"]);
  alice.send("B");
  expect(alice.waiting()).toEqual(["A", "C", "B"]);
});

it("answers 503 to what follows a 429 until that message comes again", () => {
  const alice = setUp({ maxUnconfirmed: 2 });
  for (const id of ["1", "2", "3"]) alice.send(id);
  alice.store("1");
  alice.send("4");
  expect(alice.told).toEqual(["429 3", "sent 1", "503 4"]);
  for (const id of ["3", "4"]) alice.send(id);
  expect(alice.waiting()).toEqual(["2", "3"]);
  expect(alice.told.at(-1)).toBe("429 4");
});

it("lets what waits in line before a refused message go: it was taken earlier", async () => {
  const set = setUp({ maxUnconfirmed: 3 });
  const decide = askRouter(set);
  for (const id of ["m1", "m2", "m3", "m4", "m5"]) set.send(id);
  expect(set.told).toEqual(["429 m4", "503 m5"]);
  decide();
  await vi.waitUntil(() => set.waiting().length === 3 || set.told.length > 2);
  expect(set.waiting()).toEqual(["m1", "m2", "m3"]);
  expect(set.told).toHaveLength(2);
});

it("holds so many bytes of one session, then answers 429; what is stored makes room", () => {
  const alice = setUp({ maxPendingBytesPerSession: 2_500 });
  const text = "x".repeat(1_000);
  for (const id of ["1", "2", "3"]) alice.send(id, { text });
  expect(alice.told).toEqual(["429 3"]);
  expect(alice.details).toEqual(["more than 2500 bytes of messages wait for their SENT, try again in 1 s"]);
  alice.store("1");
  alice.send("3", { text });
  expect(alice.waiting()).toEqual(["2", "3"]);
  for (const id of ["2", "3"]) alice.store(id);
  expect(alice.session.outgoing).toMatchObject({ count: 0, bytes: 0 });
  expect(alice.gateway.pending).toEqual({ bytes: 0 });
});

it("holds so many bytes of all sessions, ended ones too, then answers 503", () => {
  const alice = setUp({ maxPendingBytes: 2_500 });
  const text = "x".repeat(1_000);
  for (const id of ["1", "2"]) alice.send(id, { text, from: alice.openSession() });
  alice.send("3", { text });
  expect(alice.told).toEqual(["503 3"]);
  alice.fail("1");
  alice.send("4", { text });
  alice.send("3", { text });
  expect(alice.told).toEqual(["503 3", "503 1", "503 4"]);
  expect(alice.waiting()).toEqual(["2", "3"]);
});

it("answers 503 by the deadline when a log is not read, to all that wait in line", async () => {
  const alice = setUp({ sendDeadlineMs: 20 });
  alice.send("late", { timestamp: 1n });
  alice.send("next");
  await vi.waitFor(() => expect(alice.told).toEqual(["503 late", "503 next"]));
  expect(alice.details[0]).toBe("not stored, try again with the same id");
  alice.world.find = () => Promise.resolve(undefined);
  for (const [id, timestamp] of [
    ["late", 1n],
    ["next", 0n],
  ] as const)
    alice.send(id, { timestamp });
  await vi.waitFor(() => expect(alice.waiting()).toEqual(["late", "next"]));
});

it("names the field of the stanza that a flow was refused for", () => {
  const alice = setUp();
  alice.world.flow = UNKNOWN;
  alice.send("m");
  alice.push("p");
  expect(alice.told).toEqual(["404 m", "404 p"]);
  expect(alice.details).toEqual(["message.to.eid: was never seen", "push_notification.to.eid: was never seen"]);
  expect(alice.gateway.pending).toEqual({ bytes: 0 });
});

it("does not store what waited in line when its session was replaced meanwhile, and leaves nothing behind", async () => {
  const alice = setUp();
  const answer = askRouter(alice);
  for (const id of ["A", "B"]) alice.send(id);
  alice.session.fenced = true;
  answer();
  await vi.waitFor(() => expect(alice.session.outgoing.lines.size).toBe(0));
  expect([alice.waiting(), alice.told]).toEqual([[], []]);
  expect([alice.session.outgoing.count, alice.gateway.pending.bytes]).toEqual([0, 0]);
});

it("confirms nothing while it is in doubt whether the session is the newest one; until then it counts as unconfirmed", () => {
  const alice = setUp();
  alice.world.inDoubt = true;
  for (const id of ["A", "B"]) alice.send(id);
  for (const id of ["A", "B"]) alice.store(id);
  expect([alice.told, alice.session.outgoing.count]).toEqual([[], 2]);
  for (const confirm of alice.unconfirmed) confirm();
  expect([alice.told, alice.session.outgoing.count]).toEqual([["sent A", "sent B"], 0]);
});
