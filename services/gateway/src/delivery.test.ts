// One device's delivery against a log in memory, with lost copies, lagging pages and a slow socket, in seeded random
// order. Shows that the rules hand over everything once and in order; sockets and NATS are in test/integration.
import {
  decodeFrame,
  encodeIdentity,
  encodeIdentityPrefix,
  encodeStanza,
  isFrom,
  type Message,
  MessageSchema,
  type Signal,
  SignalStatus,
  type Stanza,
  toStored,
  withIndexes,
} from "@bimip/protocol";
import { createMetrics } from "@bimip/runtime";
import { create } from "@bufbuild/protobuf";
import type { LogEntry } from "@bimip/nats";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Delivery } from "./delivery.js";
import type { LiveEntry } from "./delivery-options.js";
import { createGatewayMetrics } from "./metrics.js";
import type { ClientSocket } from "./ports.js";

const metrics = createGatewayMetrics(createMetrics("test"));
const EID = "alice@x";

/** Bytes of a stored entry, from a device. */
function entry(id: number, from: { eid: string; device: string }): Uint8Array {
  const frame = decodeFrame(encodeStanza("message", create(MessageSchema, { id: `m${id}`, to: { eid: EID } })));
  return toStored(frame, { from: encodeIdentity({ ...from, node: "n" }), timestampMs: 1 });
}

class SlowSocket implements ClientSocket {
  readonly address = "";
  readonly stanzas: Stanza[] = [];
  congested = false;
  readonly #congests: () => boolean;
  constructor(congests: () => boolean) {
    this.#congests = congests;
  }
  send(frame: Uint8Array): void {
    this.stanzas.push(decodeFrame(frame).stanza);
    if (this.#congests()) this.congested = true;
  }
  flush(): void {
    // gathers nothing
  }
  close(): void {
    // stays
  }
  messages(): Message[] {
    return this.stanzas.filter((stanza) => stanza.kind === "message").map((stanza) => stanza.value);
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test("whatever is lost on the way, whatever the order of events: everything once, in order, unbroken", async () => {
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.nat(99)), fc.integer({ min: 0, max: 60 }), async (dice, before) => {
      const roll = (): number => dice.next().value as number;
      const log: LogEntry[] = [];
      let index = 0;
      const append = (): LiveEntry => {
        const previous = log.at(-1)?.index ?? 0;
        index += 1 + (roll() % 3); // other users' entries lie between
        const own = roll() < 20;
        const bytes = entry(log.length, own ? { eid: EID, device: "phone" } : { eid: "bob@x", device: "d" });
        log.push({ index, bytes });
        return { index, previous, bytes };
      };
      for (let n = 0; n < before; n++) append();

      const phone = encodeIdentityPrefix(EID, "phone");
      const socket = new SlowSocket(() => roll() < 10);
      const delivery = new Delivery({
        eid: EID,
        device: "phone",
        identityPrefix: phone,
        socket,
        metrics,
        onBack: () => undefined,
        onError: () => undefined,
        reader: {
          async head() {
            await turn();
            return log.at(-1)?.index ?? 0;
          },
          async page(_eid, after, limit) {
            const lag = roll() < 20 ? 2 : 0; // a replica that lags behind the leader
            const page = log.slice(0, log.length - lag).filter((item) => item.index > after);
            await turn();
            return page.slice(0, Math.min(limit, 1 + (roll() % 8)));
          },
        },
      });
      delivery.start({ after: 0, withOwn: false, id: "", firstId: 0, epoch: 1, details: "" }, "connect");
      const drain = (): void => {
        if (!socket.congested) return;
        socket.congested = false;
        delivery.onDrain();
      };
      /** Own copies that SENT told of, and how many stanzas had come before. */
      const sent = new Map<number, number>();
      const unsent: number[] = [];
      const tellSent = (own: number): void => {
        delivery.ownTold(own);
        sent.set(own, socket.stanzas.length);
      };
      for (let n = 0; n < 120; n++) {
        const copy = append();
        // SENT comes before the copy, after it, or, to a message of an earlier session, never.
        if (isFrom(copy.bytes, phone)) {
          if (roll() < 60) tellSent(copy.index);
          else if (roll() < 70) unsent.push(copy.index);
        }
        if (roll() < 20) for (const own of unsent.splice(0)) tellSent(own);
        if (roll() < 85) delivery.onLive(copy, (live, previousId) => withIndexes(live.bytes, live.index, previousId));
        if (roll() < 50) await turn();
        if (roll() < 30) drain();
        if (roll() < 3) delivery.onDoubt("reconnect");
      }
      const wanted = log.filter((item) => decodeFrame(item.bytes).stanza.value.from?.eid === "bob@x").length;
      const resumes = () =>
        socket.stanzas.filter(
          ({ kind, value }) => kind === "signal" && "status" in value && value.status === SignalStatus.RESUME,
        );
      let turns = 0;
      while (socket.messages().length < wanted || resumes().length === 0) {
        drain();
        if (turns++ % 200 === 0) delivery.onDoubt("reconnect"); // the last copies may be lost, and nothing follows to show it
        await turn();
      }
      delivery.close();

      const messages = socket.messages();
      const expected = log
        .map((item) => ({ index: item.index, value: decodeFrame(item.bytes).stanza.value as Message }))
        .filter(({ value }) => value.from?.eid === "bob@x");
      expect(messages.map(({ id }) => id)).toEqual(expected.map(({ value }) => value.id));
      // previous_id: the last entry told to this device; its own copies count once SENT told them, or in a replay
      expect(resumes()).toHaveLength(1);
      const replayedTo = Number((resumes()[0]?.value as Signal | undefined)?.monotonicId);
      const theirs = new Set(messages.map(({ monotonicId }) => Number(monotonicId)));
      for (const [place, { kind, value }] of socket.stanzas.entries()) {
        if (kind !== "message") continue;
        const before = log.map((item) => item.index).filter((at) => at < Number(value.monotonicId));
        const told = before.filter((at) => theirs.has(at) || at <= replayedTo || (sent.get(at) ?? Infinity) <= place);
        expect(Number(value.previousId)).toBe(told.at(-1) ?? 0);
      }
    }),
    { numRuns: 300 },
  );
}, 60_000);
