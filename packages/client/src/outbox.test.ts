// What becomes of unconfirmed messages at the end of a client, against a gateway of this process.
import { expect, it, vi } from "vitest";
import { ALICE, BOB, useClients } from "../test-kit/clients.js";

const clients = useClients();

it("says of what was sent before close() that it may be stored, and how to repeat it; not of what was not sent", async () => {
  const { gateway } = clients;
  const alice = clients.of(ALICE, { maxInFlight: 1 });
  await alice.connect();
  gateway.fate = () => "storeSilently";
  const message = { to: BOB, text: "x", id: "m", timestamp: 5 };
  const [sent, waiting] = [alice.send(message), alice.send({ to: BOB, text: "y", id: "n" })];
  const outcomes = Promise.allSettled([sent, waiting]);
  await vi.waitFor(() => expect(gateway.received).toHaveLength(1));
  await alice.close();
  const unknown = "the client was closed; outcome unknown: it may be stored; repeat it with the same id and timestamp";
  expect(await outcomes).toMatchObject([
    { reason: { code: 503, id: "m", details: unknown } },
    { reason: { code: 503, details: "the client was closed" } },
  ]);
  expect(alice.outgoing("m", BOB)).toMatchObject({ state: "failed", error: { details: unknown } });
  gateway.fate = () => "store";
  await alice.connect();
  expect(await alice.send(message)).toMatchObject({ index: 1 });
  expect([gateway.texts(BOB), gateway.received.map(({ timestamp }) => timestamp)]).toEqual([["x"], [5n, 5n]]);
  expect(alice.outgoing("m", BOB)?.state).toBe("sent");
});
