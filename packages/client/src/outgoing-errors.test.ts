// Errors that name an id which several stanzas have, against a gateway of this process.
import { afterEach, expect, it, vi } from "vitest";
import { ALICE, BOB, useClients } from "../test-kit/clients.js";

const clients = useClients();

afterEach(() => {
  vi.restoreAllMocks();
});

/** Lets the monotonic clock jump. */
function jump(ms: number): void {
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + ms);
}

it("does not fail a message for an error about a receipt with the same id", async () => {
  const { gateway } = clients;
  gateway.receiptFate = () => 403;
  gateway.fate = () => (gateway.received.length === 1 ? "storeSilently" : "store");
  const alice = clients.of(ALICE);
  alice.on("message", (message) => message.read());
  const errors: unknown[] = [];
  alice.on("error", ({ code, id }) => errors.push([code, id]));
  await alice.connect();
  const sent = alice.send({ to: BOB, text: "mine", id: "1" });
  await vi.waitFor(() => expect(gateway.received).toHaveLength(1));
  gateway.put(ALICE, "his", BOB, "phone", "1");
  expect(await sent).toMatchObject({ id: "1", to: BOB });
  expect(gateway.texts(BOB)).toEqual(["mine"]);
  // The receipt goes again alone, and its error is told.
  await vi.waitFor(() => expect(errors).toContainEqual([403, "1"]));
});

it("fails a message that is refused beside such a receipt, once the error cannot mean the receipt", async () => {
  const { gateway } = clients;
  gateway.receiptFate = () => 403;
  gateway.fate = () => "ignore";
  const alice = clients.of(ALICE);
  alice.on("message", (message) => message.read());
  await alice.connect();
  const outcome = expect(alice.send({ to: BOB, text: "mine", id: "1" })).rejects.toMatchObject({ code: 403, id: "1" });
  await vi.waitFor(() => expect(gateway.received).toHaveLength(1));
  gateway.fate = () => 403;
  gateway.put(ALICE, "his", BOB, "phone", "1");
  await vi.waitFor(() => expect(gateway.received.length).toBeGreaterThan(2));
  expect(alice.outgoing("1", BOB)?.state).toBe("queued");
  const before = gateway.receipts.length;
  jump(31_000);
  await outcome;
  await vi.waitFor(() => expect(gateway.receipts.length).toBeGreaterThan(before));
});

it("tells an error of one id to the right one of two recipients", async () => {
  const { gateway } = clients;
  gateway.fate = ({ to }) => (to?.eid === BOB ? 403 : "store");
  const alice = clients.of(ALICE);
  await alice.connect();
  const outcomes = await Promise.allSettled(
    [BOB, "carol@example.com", BOB].map((to) => alice.send({ to, text: "x", id: "1" })),
  );
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "fulfilled", "rejected"]);
});
