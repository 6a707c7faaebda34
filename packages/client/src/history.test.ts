// Queries against a gateway of this process over real sockets.
import { SignalStatus } from "@bimip/protocol";
import { expect, it, vi } from "vitest";
import { ALICE, BOB, messagesOf, useClients } from "../test-kit/clients.js";
import type { BimipClient } from "./bimip-client.js";
import type { HistoryItem, HistoryOptions } from "./history.js";

const clients = useClients();

async function read(client: BimipClient, options?: HistoryOptions): Promise<HistoryItem[]> {
  const items: HistoryItem[] = [];
  for await (const item of client.history(options)) items.push(item);
  return items;
}

const texts = (items: readonly HistoryItem[]) => items.map(({ text }) => text);

it("pages backwards and forwards, of one conversation or all, between bounds", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE);
  for (let n = 1; n <= 7; n++) gateway.put(ALICE, `t${n}`, n % 3 === 0 ? "carol@example.com" : BOB);
  await alice.connect();
  const of = async (options?: HistoryOptions) => texts(await read(alice, options));
  expect(await of()).toEqual(["t7", "t6", "t5", "t4", "t3", "t2", "t1"]);
  expect(await of({ pageSize: 2 })).toEqual(["t7", "t6", "t5", "t4", "t3", "t2", "t1"]);
  expect(await of({ pageSize: 2, direction: "forwards" })).toEqual(["t1", "t2", "t3", "t4", "t5", "t6", "t7"]);
  expect(await of({ with: BOB, pageSize: 2 })).toEqual(["t7", "t5", "t4", "t2", "t1"]);
  expect(await of({ with: BOB, direction: "forwards", pageSize: 1 })).toEqual(["t1", "t2", "t4", "t5", "t7"]);
  expect(await of({ before: 5, after: 1, pageSize: 2 })).toEqual(["t4", "t3", "t2"]);
  expect(await of({ before: 5, after: 1, pageSize: 2, direction: "forwards" })).toEqual(["t2", "t3", "t4"]);
  expect(await of({ with: "nobody@example.com" })).toEqual([]);
  gateway.queries.length = 0;
  for await (const item of alice.history({ pageSize: 2 })) if (item.text === "t6") break;
  expect(gateway.queries).toHaveLength(1);
  await expect(read(alice, { before: -1 })).rejects.toMatchObject({ code: 422, field: "before" });
});

it("shows own messages with the receipts they got, and lets others be read", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE);
  messagesOf(alice);
  await alice.connect();
  const { index } = await alice.send({ to: BOB, text: "mine", id: "m" });
  const receipt = { id: "m", monotonicId: BigInt(index), from: { eid: BOB } };
  gateway.putReceipt(ALICE, { ...receipt, status: SignalStatus.DELIVERED, timestamp: 5n });
  gateway.putReceipt(ALICE, { ...receipt, status: SignalStatus.DELIVERED, timestamp: 6n });
  gateway.putReceipt(ALICE, { ...receipt, status: SignalStatus.READ, timestamp: 7n });
  gateway.put(ALICE, "theirs", BOB, "phone", "t");
  const [theirs, mine] = await read(alice, { with: BOB });
  expect(mine).toMatchObject({
    kind: "message",
    own: true,
    text: "mine",
    receipts: [
      { from: BOB, status: "delivered", at: 5 },
      { from: BOB, status: "read", at: 7 },
    ],
  });
  expect(theirs).toMatchObject({ own: false, receipts: [], replayed: true });
  mine?.read();
  theirs?.read();
  await vi.waitFor(() => expect(gateway.receipts.at(-1)).toMatchObject({ status: SignalStatus.READ, id: "t" }));
  expect(gateway.receipts.filter(({ status }) => status === SignalStatus.READ)).toHaveLength(1);
});

it("counts what is unread, and registers for push", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE);
  await alice.connect();
  gateway.put(ALICE, "a", BOB);
  gateway.put(ALICE, "b", "carol@example.com");
  const last = gateway.put(ALICE, "c", BOB);
  expect(await alice.unread()).toEqual({
    total: 3,
    rows: [
      { with: BOB, count: 2, lastIndex: last },
      { with: "carol@example.com", count: 1, lastIndex: 2 },
    ],
  });
  expect(await alice.unread({ with: BOB })).toMatchObject({ total: 2 });
  const subscription = { endpoint: "https://push.example.com/1", keys: { auth: "a", p256dh: "b" } };
  await alice.subscribePush(subscription);
  const asked = gateway.queries.at(-1);
  expect([asked?.type, JSON.parse(new TextDecoder().decode(asked?.data))]).toEqual([4, subscription]);
  await alice.unsubscribePush();
  expect(gateway.queries.at(-1)?.type).toBe(5);
});

it("asks no more at once than the server takes, also on the next connection", async () => {
  const { gateway } = clients;
  for (let n = 0; n < 5; n++) gateway.put(ALICE, `t${n}`);
  const alice = clients.of(ALICE);
  gateway.answersQueriesLater = true;
  const reading = Array.from({ length: 12 }, () => read(alice, { pageSize: 2 }));
  await alice.connect();
  await vi.waitFor(() => expect(gateway.queries.length).toBeGreaterThan(8));
  gateway.drop();
  for (const items of await Promise.all(reading)) expect(texts(items)).toEqual(["t4", "t3", "t2", "t1", "t0"]);
  expect(gateway.mostQueries).toBe(8);
});

it("waits for a connection, asks again on the next one, and gives up in time", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE, { queryTimeoutMs: 400 });
  await expect(alice.unread()).rejects.toMatchObject({ code: 503, details: "query: no connection within 400 ms" });
  const early = alice.unread();
  await alice.connect();
  expect(await early).toEqual({ total: 0, rows: [] });
  gateway.queryFate = "ignore";
  await expect(alice.unread()).rejects.toMatchObject({ code: 408, details: "query: no answer within 400 ms" });
  const interrupted = alice.unread();
  await alice.ping();
  gateway.queryFate = "answer";
  gateway.drop();
  expect(await interrupted).toEqual({ total: 0, rows: [] });
  gateway.queryFate = 503;
  await expect(alice.unread()).rejects.toMatchObject({ code: 503, details: "fate 503" });
  const patient = alice.unread();
  await alice.ping();
  gateway.queryFate = "answer";
  expect(await patient).toEqual({ total: 0, rows: [] });
  gateway.queryFate = 404;
  await expect(alice.unread()).rejects.toMatchObject({ code: 404, details: "fate 404" });
  gateway.queryFate = "ignore";
  const outcome = expect(alice.unread()).rejects.toMatchObject({ code: 503, details: "the client was closed" });
  await alice.close();
  await outcome;
});
