// How much the publisher has under way at once, and in which order; the test answers in nats-server's place.
import type { Msg } from "@nats-io/nats-core";
import { afterEach, expect, test, vi } from "vitest";
import type { Link } from "./connect.js";
import { type AppendResult, Publisher, type PublisherOptions } from "./publisher.js";

interface Published {
  readonly subject: string;
  readonly text: string;
  readonly answer: (json: string) => void;
}

const publishers: Publisher[] = [];
const links: { answering: boolean; published: Published[] }[] = [];
afterEach(async () => {
  for (const link of links.splice(0)) acceptAll(link);
  for (const publisher of publishers.splice(0)) await publisher.close();
});

/** A link to nobody: keeps what is published; with `answering` each publish is acknowledged at once. */
function setUp(options: PublisherOptions & { cluster?: string } = {}) {
  let onReply: (message: Msg) => void = () => undefined;
  let onChange: (up: boolean) => void = () => undefined;
  const state = { up: true, answering: false, published: [] as Published[], info: { cluster: options.cluster } };
  const nc = {
    get info() {
      return state.info;
    },
    subscribe(_inbox: string, { callback }: { callback: (error: null, message: Msg) => void }) {
      onReply = (message) => callback(null, message);
    },
    publish(subject: string, payload: Uint8Array, { reply }: { reply: string }) {
      const answer = (json: string) => onReply({ subject: reply, data: Buffer.from(json) } as unknown as Msg);
      const published = { subject, text: Buffer.from(payload).toString(), answer };
      state.published.push(published);
      if (state.answering) queueMicrotask(() => answer('{"seq":1}'));
    },
  };
  const link = {
    nc,
    get up() {
      return state.up;
    },
    onChange(listener: (up: boolean) => void) {
      onChange = listener;
      return () => undefined;
    },
  } as unknown as Link;
  const publisher = new Publisher(link, { laneDepth: 64, ...options });
  publishers.push(publisher);
  links.push(state);
  const append = (partition: number, lane: string, text: string): Promise<AppendResult> =>
    new Promise((resolve) => {
      const entry = { subject: `bimip.log.${partition}.${lane}`, payload: Buffer.from(text), entryId: text, lane };
      publisher.append(entry, resolve);
    });
  const change = (up: boolean, cluster?: string): void => {
    state.up = up;
    state.info = { cluster };
    onChange(up);
  };
  return Object.assign(state, { append, change });
}

function acceptAll(link: { answering: boolean; published: Published[] }): void {
  link.answering = true;
  for (const { answer } of link.published) answer('{"seq":1}');
}

const REFUSED = '{"error":{"code":429,"err_code":10167,"description":"too many requests"}}';
const texts = (published: readonly Published[]): string[] => published.map(({ text }) => text);
const numbered = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, n) => `${prefix}${n}`);

test("1,000 publishes at most are under way to one stream, whatever the lanes; another stream has room of its own", async () => {
  const link = setUp();
  for (let lane = 0; lane < 30; lane++) for (const text of numbered("", 64)) void link.append(0, `lane${lane}`, text);
  void link.append(1, "other", "there");
  await vi.waitFor(() => expect(link.published).toHaveLength(1_001));
  expect(link.published.at(-1)?.text).toBe("there");
  for (const { answer } of link.published.slice(0, 10)) answer('{"seq":1}');
  await vi.waitFor(() => expect(link.published).toHaveLength(1_011));
});

test("16 MiB at most are under way to one stream", async () => {
  const link = setUp();
  const text = "x".repeat(1024 * 1024);
  for (let lane = 0; lane < 20; lane++) void link.append(0, `lane${lane}`, text);
  await vi.waitFor(() => expect(link.published).toHaveLength(16));
  link.published[0]?.answer('{"seq":1}');
  await vi.waitFor(() => expect(link.published).toHaveLength(17));
});

test("lanes take turns when a stream has no room, each in its order", async () => {
  const link = setUp({ laneDepth: 1_000 }); // "c" could take all of it
  for (const text of numbered("c", 1_200)) void link.append(0, "c", text);
  for (const text of numbered("a", 3)) void link.append(0, "a", text);
  for (const text of numbered("b", 3)) void link.append(0, "b", text);
  await vi.waitFor(() => expect(link.published).toHaveLength(1_000));
  for (const { answer } of link.published.slice(0, 9)) answer('{"seq":1}');
  await vi.waitFor(() => expect(link.published).toHaveLength(1_009));
  const next = texts(link.published.slice(1_000));
  expect(next.filter((text) => text.startsWith("a"))).toEqual(["a0", "a1", "a2"]);
  expect(next.filter((text) => text.startsWith("b"))).toEqual(["b0", "b1", "b2"]);
  expect(next.filter((text) => text.startsWith("c"))).toEqual(["c1000", "c1001", "c1002"]);
});

test("what waits for room goes on after a loss and return of NATS", async () => {
  const link = setUp();
  const all = Array.from({ length: 20 }, (_, lane) =>
    numbered("", 100).map((text) => link.append(0, `lane${lane}`, text)),
  );
  await vi.waitFor(() => expect(link.published).toHaveLength(1_000));
  link.change(false);
  link.answering = true;
  link.change(true);
  const results = await Promise.all(all.flat());
  expect(results.every(({ ok }) => ok)).toBe(true);
});

test("a lane of which nats-server refused a publish goes on with one at a time; others keep their depth", async () => {
  const link = setUp();
  for (const text of numbered("a", 100)) void link.append(0, "a", text);
  await vi.waitFor(() => expect(link.published).toHaveLength(64));
  for (const { answer } of link.published.splice(0)) answer(REFUSED);
  for (const text of numbered("a", 100)) {
    await vi.waitFor(() => expect(texts(link.published)).toEqual([text]), { interval: 1 });
    link.published.splice(0)[0]?.answer('{"seq":1}');
  }
  for (const text of numbered("b", 100)) void link.append(0, "b", text);
  await vi.waitFor(() => expect(link.published).toHaveLength(64));
});

test("over a cluster a lane has one publish under way, without replicas too: routes lose some of what they carry", async () => {
  for (const before of [undefined, "east"]) {
    const link = setUp({ cluster: before });
    for (const text of numbered("a", 10)) void link.append(0, "a", text);
    void link.append(0, "b", "b0");
    await vi.waitFor(() => expect(link.published).toHaveLength(before === undefined ? 11 : 2));
    link.change(false);
    link.published.length = 0;
    link.change(true, "east");
    await vi.waitFor(() => expect(texts(link.published)).toEqual(["a0", "b0"]));
  }
});
