// What the client asks of the log, and when: gaps, replays that are cut off, logs made anew, trimmed ones.
import { encodeSent } from "@bimip/protocol";
import { describe, expect, it, vi } from "vitest";
import { ALICE, BOB, messagesOf, useClients } from "../test-kit/clients.js";
import type { IncomingMessage } from "./incoming-message.js";
import { memoryStore } from "./memory-store.js";
import { defaultSockets } from "./socket-node.js";

const clients = useClients();
const texts = (messages: readonly IncomingMessage[]) => messages.map(({ text }) => text);

/** Sockets whose first connection breaks after so many frames. */
function breakingAfter(frames: number): typeof defaultSockets {
  let first = true;
  const open: typeof defaultSockets.open = (url, token, handlers) => {
    const breaks = first;
    first = false;
    let count = 0;
    const socket = defaultSockets.open(url, token, {
      ...handlers,
      onFrame: (bytes) => (breaks && count++ >= frames ? socket.terminate() : handlers.onFrame(bytes)),
    });
    return socket;
  };
  return { ...defaultSockets, open };
}

describe("previous_id", () => {
  it("asks again for an entry that was lost on the way: handed over once, in order", async () => {
    const { gateway } = clients;
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    gateway.put(ALICE, "one");
    await alice.connect();
    gateway.delivers = ({ value }) => value.id !== "lost";
    gateway.put(ALICE, "two", undefined, undefined, "lost");
    for (const text of ["three", "four"]) gateway.put(ALICE, text);
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "two", "three", "four"]));
    gateway.put(ALICE, "five");
    await vi.waitFor(() => expect(messages).toHaveLength(5));
    expect(gateway.resumes).toEqual([null, 1n]);
    expect(alice.state).toBe("online");
  });

  it("waits for a SENT that comes after the entry behind the own copy", async () => {
    const { gateway } = clients;
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    await alice.connect();
    gateway.fate = () => "storeSilently";
    const sent = alice.send({ to: BOB, text: "mine", id: "m" });
    await vi.waitFor(() => expect(gateway.received).toHaveLength(1));
    for (const text of ["one", "two"]) gateway.put(ALICE, text);
    await alice.ping();
    expect(messages).toEqual([]);
    gateway.broadcast(encodeSent({ id: "m", toEid: BOB, monotonicId: 1, logId: 2, timestampMs: 1 }));
    expect(await sent).toMatchObject({ logIndex: 2 });
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "two"]));
    expect(gateway.resumes).toEqual([null]);
  });

  it("knows an own copy whose SENT came before", async () => {
    const { gateway } = clients;
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    await alice.connect();
    for (let n = 0; n < 5; n++) {
      await alice.send({ to: BOB, text: "mine" });
      gateway.put(ALICE, `${n}`);
    }
    await vi.waitFor(() => expect(texts(messages)).toEqual(["0", "1", "2", "3", "4"]));
    expect(gateway.resumes).toEqual([null]);
  });

  it("asks once for an own copy whose SENT nobody gets", async () => {
    const { gateway } = clients;
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    await alice.connect();
    gateway.put(ALICE, "of an earlier process", ALICE, "laptop");
    for (const text of ["one", "two"]) gateway.put(ALICE, text);
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "two"]));
    await alice.ping();
    gateway.put(ALICE, "three");
    await vi.waitFor(() => expect(messages).toHaveLength(3));
    expect(gateway.resumes).toEqual([null, 0n]);
  });

  it("asks again for what it would have to hold beyond measure", async () => {
    const { gateway } = clients;
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    await alice.connect();
    gateway.fate = () => "storeSilently";
    const outcome = alice.send({ to: BOB, text: "mine" }).catch(() => undefined);
    await vi.waitFor(() => expect(gateway.received).toHaveLength(1));
    for (let n = 0; n < 1_000; n++) gateway.put(ALICE, "t");
    await alice.ping();
    expect(messages).toEqual([]);
    for (let n = 0; n < 5; n++) gateway.put(ALICE, "t");
    await vi.waitFor(() => expect(messages).toHaveLength(1_005));
    expect(gateway.resumes).toEqual([null, 0n]);
    await alice.close();
    await outcome;
  });

  it("forgets what it held when the connection ends: it comes again", async () => {
    const { gateway } = clients;
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    gateway.put(ALICE, "one");
    await alice.connect();
    gateway.fate = () => "storeSilently";
    const sent = alice.send({ to: BOB, text: "mine" });
    await vi.waitFor(() => expect(gateway.received).toHaveLength(1));
    for (const text of ["two", "three"]) gateway.put(ALICE, text);
    await alice.ping();
    expect(messages).toHaveLength(1);
    gateway.fate = () => "store";
    gateway.drop();
    await sent;
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "two", "three"]));
    expect(gateway.resumes).toEqual([null, "manual", 1n]);
  });

  it("asks once more when all up to the gap was trimmed meanwhile", async () => {
    const { gateway } = clients;
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    gateway.put(ALICE, "one");
    await alice.connect();
    gateway.answersResume = false;
    gateway.delivers = ({ value }) => value.id !== "lost";
    gateway.put(ALICE, "two", undefined, undefined, "lost");
    const upTo = gateway.put(ALICE, "three");
    await vi.waitFor(() => expect(gateway.resumes).toHaveLength(2));
    gateway.trim(ALICE, upTo);
    gateway.answersResume = true;
    const last = gateway.put(ALICE, "four");
    await alice.ping();
    expect(messages).toHaveLength(1);
    // The answer to the RESUME above, with nothing before it.
    gateway.announce({ id: gateway.resumeIds.at(-1) ?? "", monotonicId: BigInt(last) });
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "four"]));
    gateway.put(ALICE, "five");
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "four", "five"]));
    expect(gateway.resumes).toEqual([null, 1n, 1n]);
  });
});

describe("the end of a replay", () => {
  it("is the answer to the RESUME, not a notice of what was trimmed", async () => {
    const { gateway } = clients;
    gateway.answersResume = false;
    for (let n = 0; n < 20; n++) gateway.put(ALICE, "t");
    const alice = clients.of(ALICE);
    messagesOf(alice);
    const gaps: number[] = [];
    alice.on("gap", ({ firstId }) => gaps.push(firstId));
    const online = alice.connect();
    await vi.waitFor(() => expect(alice.state).toBe("replaying"));
    const notice = { monotonicId: 5n, firstId: 9n, details: "entries up to 8 were trimmed" };
    gateway.announce(notice);
    await alice.ping();
    expect([alice.state, gaps]).toEqual(["replaying", [9]]);
    gateway.announce({ monotonicId: 12n, firstId: 9n, details: "entries were trimmed" });
    await online;
    // With a RESUME of its own the answer has its id.
    gateway.drop();
    await vi.waitFor(() => expect(gateway.resumes).toHaveLength(3));
    gateway.announce({ monotonicId: 20n });
    gateway.announce({ monotonicId: 20n, id: "of another" });
    await alice.ping();
    expect(alice.state).toBe("replaying");
    gateway.announce({ monotonicId: 20n, id: gateway.resumeIds.at(-1) ?? "" });
    await vi.waitFor(() => expect(alice.state).toBe("online"));
    expect(new Set(gateway.resumeIds).size).toBe(gateway.resumeIds.length);
  });

  it("sends what waits and answers queries while a replay goes on", async () => {
    const { gateway } = clients;
    gateway.put(ALICE, "one");
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    await alice.connect();
    gateway.answersResume = false;
    gateway.drop();
    await vi.waitFor(() => expect(alice.state).toBe("replaying"));
    const indexes = [];
    for (const text of ["a", "b", "c"]) indexes.push((await alice.send({ to: BOB, text })).index);
    expect(indexes).toEqual(indexes.toSorted((a, b) => a - b));
    expect(await alice.unread()).toMatchObject({ total: 1 });
    // The replay brings what lies before, between and behind the own copies.
    gateway.answersResume = true;
    gateway.put(ALICE, "two");
    gateway.drop();
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "two"]));
    gateway.put(ALICE, "three");
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "two", "three"]));
    expect(gateway.texts(BOB)).toEqual(["a", "b", "c"]);
  });
});

describe("everything", () => {
  it("is asked for again when its first replay was cut off; what came before comes once", async () => {
    const { gateway } = clients;
    const expected: string[] = [];
    for (let n = 0; n < 4; n++) {
      gateway.put(ALICE, `in${n}`);
      gateway.put(ALICE, `own${n}`, ALICE, "laptop");
      expected.push(`in${n}`, `own${n}`);
    }
    const alice = clients.of(ALICE, { begin: "everything", socket: breakingAfter(3) });
    const messages = messagesOf(alice);
    await alice.connect();
    expect(texts(messages)).toEqual(expected);
    gateway.drop();
    gateway.put(ALICE, "later");
    await vi.waitFor(() => expect(texts(messages)).toEqual([...expected, "later"]));
    expect(gateway.resumes).toEqual(["manual", -1n, "manual", -1n, "manual", 8n]);
  });

  it("is asked for again after close() too, until all of it was handed over", async () => {
    const { gateway } = clients;
    for (const n of [1, 2]) {
      gateway.put(ALICE, `in${n}`);
      gateway.put(ALICE, `own${n}`, ALICE, "laptop");
    }
    const store = memoryStore();
    const first = clients.of(ALICE, { begin: "everything", store });
    let end: (() => void) | undefined;
    first.on("message", () => new Promise<void>((resolve) => (end = resolve)));
    await first.connect();
    const closed = first.close();
    end?.();
    await closed;
    const second = clients.of(ALICE, { begin: "everything", store });
    const messages = messagesOf(second);
    await second.connect();
    expect(texts(messages)).toEqual(["own1", "in2", "own2"]);
    await second.close();
    const third = clients.of(ALICE, { begin: "everything", store });
    await third.connect();
    expect(gateway.resumes.filter((asked) => typeof asked === "bigint")).toEqual([-1n, -1n, 4n]);
  });
});

describe("a log that was made anew", () => {
  it("is handed over in order from its beginning, and all of it is told as delivered", async () => {
    const { gateway } = clients;
    const store = memoryStore();
    for (const text of ["one", "two"]) gateway.put(ALICE, text);
    const first = clients.of(ALICE, { store });
    messagesOf(first);
    await first.connect();
    await first.close();
    gateway.forget();
    gateway.receipts.length = 0;
    for (const id of ["A", "B", "C", "D"]) gateway.put(ALICE, id, BOB, "phone", id);
    const second = clients.of(ALICE, { store });
    const messages = messagesOf(second);
    await second.connect();
    expect(texts(messages)).toEqual(["A", "B", "C", "D"]);
    await vi.waitFor(() => expect(gateway.receipts).toHaveLength(4));
    expect(gateway.receipts.map(({ id, monotonicId }) => [id, Number(monotonicId)])).toEqual([
      ["A", 1],
      ["B", 2],
      ["C", 3],
      ["D", 4],
    ]);
    expect(gateway.resumes.slice(-2)).toEqual([2n, 0n]);
  });

  it("under a live connection is handed over in order, though the server begins with it by itself", async () => {
    const { gateway } = clients;
    for (const text of ["one", "two"]) gateway.put(ALICE, text);
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    await alice.connect();
    await vi.waitFor(() => expect(gateway.receipts).toHaveLength(2));
    gateway.forget();
    for (const text of ["A", "B", "C", "D"]) gateway.put(ALICE, text);
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "two", "A", "B", "C", "D"]));
    expect(gateway.resumes).toEqual([null, 2n, 0n]);
    await vi.waitFor(() => expect(gateway.receipts).toHaveLength(6));
    // Nothing came yet when the server says that it is another log.
    gateway.forget();
    gateway.announce();
    gateway.put(ALICE, "E");
    await vi.waitFor(() => expect(messages.at(-1)?.text).toBe("E"));
    expect([messages.length, gateway.resumes.at(-1), alice.state]).toEqual([7, 0n, "online"]);
  });

  it("is not what an overtaken RESUME tells of", async () => {
    const { gateway } = clients;
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    gateway.put(ALICE, "one");
    await alice.connect();
    gateway.answersResume = false;
    gateway.drop();
    await vi.waitFor(() => expect(gateway.resumes).toHaveLength(3));
    gateway.answersResume = true;
    gateway.announce({ type: 3, id: gateway.resumeIds.at(-1) ?? "", details: "overtaken by a newer RESUME" });
    await vi.waitFor(() => expect(alice.state).toBe("online"));
    gateway.put(ALICE, "two");
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "two"]));
    expect(gateway.resumes.slice(2)).toEqual([1n, 1n]);
  });

  it("of a server that does not compare epochs too, though live entries come before the second replay", async () => {
    const { gateway } = clients;
    for (const text of ["one", "two"]) gateway.put(ALICE, text);
    const alice = clients.of(ALICE);
    const messages = messagesOf(alice);
    await alice.connect();
    gateway.forget();
    gateway.comparesEpochs = false;
    for (const text of ["A", "B", "C"]) gateway.put(ALICE, text);
    gateway.drop();
    await vi.waitFor(() => expect(texts(messages)).toEqual(["one", "two", "C", "A", "B"]));
    gateway.put(ALICE, "D");
    await vi.waitFor(() => expect(messages.at(-1)?.text).toBe("D"));
  });
});
