// The clients of `npm run bench:presence`, as a process of their own: one author and many who hear it. Talks to presence.ts.
import { setTimeout as delay } from "node:timers/promises";
import { connectNats, type NatsAccess, type NatsConnection } from "@bimip/nats";
import {
  AwarenessContactSchema,
  AwarenessStatus,
  ContactAction,
  ContactRelationship,
  encodeStanza,
  STANZA_ROUTE,
} from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { flipOf, markedAwareness } from "./marked-awareness.js";
import { LiteSocket } from "./ws-lite.js";

export interface Member {
  readonly eid: string;
  readonly token: string;
}

export type Way = "bimip" | "sockets" | "nats";

/** Answered by `{ done: true }`, or by `{ milliseconds }` for flips. */
export type PresenceOrder =
  | { readonly do: "connect"; readonly port: number; readonly author: Member; readonly contacts: readonly Member[] }
  | { readonly do: "connect raw"; readonly port: number; readonly count: number }
  | { readonly do: "connect nats"; readonly nats: NatsAccess; readonly count: number }
  | { readonly do: "flip"; readonly way: Way; readonly times: number; readonly pauseMs: number };

/** Until the last one has it. */
const LATE_MS = 10_000;
const BATCH = 50;

/** Tells something to all; each is counted once for each flip. */
class Flips {
  readonly #count: number;
  #number = 0;
  #missing = 0;
  #resolve: () => void = () => undefined;

  constructor(count: number) {
    this.#count = count;
  }

  /** Milliseconds until the last one has it. @throws Error when it is late */
  async flip(send: (number: number) => void): Promise<number> {
    this.#number++;
    this.#missing = this.#count;
    const startedMs = performance.now();
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${this.#missing} of ${this.#count} were not told`)), LATE_MS);
      this.#resolve = () => {
        clearTimeout(late);
        resolve();
      };
      send(this.#number);
    });
    return performance.now() - startedMs;
  }

  /** One of them was told this. */
  came(number: number): void {
    if (number === this.#number && --this.#missing === 0) this.#resolve();
  }
}

/** What tells all. */
interface Told {
  readonly flips: Flips;
  send(number: number): void;
}

const ways: Partial<Record<Way, Told>> = {};

async function connectMany(port: number, tokens: readonly string[], onFrame: (frame: Buffer) => void) {
  const sockets: LiteSocket[] = [];
  for (let at = 0; at < tokens.length; at += BATCH)
    sockets.push(
      ...(await Promise.all(tokens.slice(at, at + BATCH).map((token) => LiteSocket.open(port, token, { onFrame })))),
    );
  return sockets;
}

/** Connects all, and makes them contacts of the author. */
async function connect({ port, author, contacts }: Extract<PresenceOrder, { do: "connect" }>): Promise<void> {
  const flips = new Flips(contacts.length);
  const tokens = contacts.map(({ token }) => token);
  const sockets = await connectMany(port, tokens, (frame) => flips.came(flipOf(frame)));
  let heard = 0;
  const socket = await LiteSocket.open(port, author.token, {
    onFrame: (frame) => {
      if (frame[1] === STANZA_ROUTE.awarenessContact) heard++;
    },
  });
  const contact = (eid: string, action: ContactAction): Uint8Array => {
    const relationship = ContactRelationship.MUTUAL;
    return encodeStanza("awarenessContact", create(AwarenessContactSchema, { to: { eid }, action, relationship }));
  };
  for (let at = 0; at < contacts.length; at += BATCH) {
    const batch = contacts.slice(at, at + BATCH);
    // Asked, told so; then accepted, told so.
    for (const { eid } of batch) socket.send(contact(eid, ContactAction.REQUEST));
    await until(() => heard >= 2 * at + batch.length);
    for (const [n] of batch.entries()) sockets[at + n]?.send(contact(author.eid, ContactAction.ACCEPT));
    await until(() => heard >= 2 * (at + batch.length));
  }
  const { AWAY, ONLINE } = AwarenessStatus;
  ways.bimip = { flips, send: (number) => socket.send(markedAwareness(number % 2 === 0 ? ONLINE : AWAY, number)) };
}

async function connectRaw({ port, count }: Extract<PresenceOrder, { do: "connect raw" }>): Promise<void> {
  const flips = new Flips(count);
  const tokens = Array.from({ length: count }, () => "none");
  await connectMany(port, tokens, (frame) => flips.came(flipOf(frame)));
  const author = await LiteSocket.open(port, "none");
  // As long as what the gateway sends, and begun as it begins it.
  ways.sockets = { flips, send: (number) => author.send(asFromServer(number)) };
}

async function connectToNats({ nats, count }: Extract<PresenceOrder, { do: "connect nats" }>): Promise<void> {
  const publisher: NatsConnection = (await connectNats({ ...nats, name: "bench presence publisher" })).nc;
  const subscriber: NatsConnection = (await connectNats({ ...nats, name: "bench presence subscriber" })).nc;
  const flips = new Flips(count);
  const subjects = Array.from({ length: count }, (_, at) => `bench.presence.${at}`);
  for (const subject of subjects)
    subscriber.subscribe(subject, { callback: (_error, { data }) => flips.came(flipOf(Buffer.from(data))) });
  await subscriber.flush();
  ways.nats = {
    flips,
    send(number) {
      const bytes = asFromServer(number);
      for (const subject of subjects) publisher.publish(subject, bytes);
    },
  };
}

function asFromServer(number: number): Buffer {
  const from = { eid: "author@bench", connectionResourceId: "bench", node: "node" };
  return Buffer.from(markedAwareness(AwarenessStatus.AWAY, number, { from, timestamp: BigInt(Date.now()) }));
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + LATE_MS;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error("contacts were not made in time");
    await delay(5);
  }
}

async function flip({ way, times, pauseMs }: Extract<PresenceOrder, { do: "flip" }>): Promise<number[]> {
  const told = ways[way];
  if (told === undefined) throw new Error(`${way} is not connected`);
  const milliseconds: number[] = [];
  for (let n = 0; n < times; n++) {
    milliseconds.push(await told.flips.flip((number) => told.send(number)));
    await delay(pauseMs);
  }
  return milliseconds;
}

async function obey(order: PresenceOrder): Promise<object> {
  if (order.do === "flip") return { milliseconds: await flip(order) };
  if (order.do === "connect") await connect(order);
  else if (order.do === "connect raw") await connectRaw(order);
  else await connectToNats(order);
  return { done: true };
}

process.on("message", (order: PresenceOrder) => {
  obey(order).then(
    (answer) => void process.send?.(answer),
    (error: unknown) => void process.send?.({ error: String(error) }),
  );
});
