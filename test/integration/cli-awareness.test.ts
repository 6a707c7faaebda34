// Contacts, watch and typing of the command line against the real services.
import { PassThrough, Readable, Writable } from "node:stream";
import { createProgram } from "@bimip/cli";
import { type BimipClient, createClient } from "@bimip/client";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { eventually } from "../kit/eventually.js";
import { SECRET, startSystem, type System } from "../kit/system.js";

let system: System;
const clients: BimipClient[] = [];

beforeAll(async () => {
  system = await startSystem({ gateways: 2, env: { BIMIP_OFFLINE_GRACE_MS: "300" } });
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});
afterAll(() => system.stop());

const as = (eid: string, gateway = 0): string[] => [
  "--as",
  eid,
  "--secret",
  SECRET,
  "--url",
  system.urls[gateway] ?? "",
];

/** One command line, running. */
function start(...args: string[]) {
  let out = "";
  const write = (text: string): number => (out += text).length;
  const context = { env: {}, stdin: Readable.from([]), stdout: { write }, stderr: { write: () => true } };
  const ended = createProgram(context).parseAsync(["node", "bimip", ...args]);
  return { out: () => out.replaceAll(/\d\d:\d\d /g, ""), ended };
}

/** One command line to its end; rejects with what it throws. */
async function run(...args: string[]): Promise<string> {
  const { out, ended } = start(...args);
  await ended;
  return out();
}

async function connected(eid: string, gateway = 0): Promise<BimipClient> {
  const token = await system.token(eid, "phone");
  const client = createClient({ url: system.urls[gateway] ?? "", token, eid, receive: false });
  clients.push(client);
  await client.connect();
  return client;
}

const contacts = (eid: string, ...words: string[]): Promise<string> => run("contacts", ...words, ...as(eid));

test("contacts: asked, accepted, listed, followed, ended", async () => {
  expect(await contacts("ann1", "add", "bob1", "--precision", "500", "--details", "it's Ann")).toBe(
    "bob1: you asked to be contacts\n",
  );
  expect(await contacts("bob1")).toBe("ann1  asks to be contacts\n");
  expect(await contacts("bob1", "accept", "ann1", "--precision", "none")).toBe("ann1: contact\n");
  expect(await contacts("ann1", "add", "carol1", "--follow")).toBe("carol1: you asked to follow\n");
  expect(await contacts("carol1", "accept", "ann1")).toBe("ann1: follows you\n");
  expect(await contacts("ann1")).toBe("bob1    contact     your location to 500 m\ncarol1  you follow\n");
  expect(await contacts("bob1")).toBe("ann1  contact  never your location\n");
  const [line] = (await contacts("ann1", "--json")).split("\n");
  expect(JSON.parse(line ?? "")).toMatchObject({ eid: "bob1", state: "contact", locationPrecisionM: 500 });
  await expect(contacts("ann1", "deny", "bob1")).rejects.toThrow("404 bob1 has asked nothing that waits for an answer");
  expect(await contacts("ann1", "remove", "bob1")).toBe("bob1: removed\n");
  expect(await contacts("bob1")).toBe("");
});

test("a block is said clearly to both, whatever they send", async () => {
  await contacts("ann2", "add", "bob2");
  expect(await contacts("bob2", "block", "ann2")).toBe("ann2: blocked\n");
  const toBob = ["send", ...as("ann2"), "--to", "bob2", "x"];
  await eventually("the block is known", () =>
    run(...toBob).then(
      () => false,
      () => true,
    ),
  );
  await expect(run(...toBob)).rejects.toThrow("403 bob2 takes nothing from you: they have blocked you");
  const toAnn = ["send", ...as("bob2"), "--to", "ann2", "x"];
  await expect(run(...toAnn)).rejects.toThrow("403 you have blocked ann2; npx bimip contacts unblock ann2 ends that");
  await expect(contacts("ann2", "add", "bob2")).rejects.toThrow("403 bob2 takes nothing from you");
  await expect(contacts("bob2", "add", "ann2")).rejects.toThrow("409 you have blocked ann2");
  expect(await contacts("bob2", "unblock", "ann2")).toBe("ann2: not blocked\n");
  await eventually("let through", () => run(...toBob));
});

test("watch shows who is there as it changes, and oneself to others", async () => {
  const [ann, bob] = [await connected("ann3"), await connected("bob3", 1)];
  await ann.contacts.request("bob3");
  await bob.contacts.accept("ann3");
  await ann.close();
  await eventually("alone", () => bob.presence.get("ann3")?.status === "offline");
  const watching = start("watch", ...as("ann3"), "--status", "busy", "--details", "writing", "--count", "4");
  await eventually("shown as busy", () => bob.presence.get("ann3")?.details === "writing");
  expect(bob.presence.get("ann3")?.status).toBe("busy");
  bob.presence.set("away", { details: "lunch" });
  await eventually("away", () => watching.out().includes("bob3 away (lunch)"));
  bob.presence.shareLocation({ latitude: 48.5, longitude: 11.25 });
  await eventually("a place", () => watching.out().includes("bob3 is at 48.50000, 11.25000"));
  await bob.close();
  await watching.ended;
  const lines = watching.out().trim().split("\n");
  expect(lines).toEqual([
    expect.stringMatching(/^bob3 online since /),
    expect.stringMatching(/^bob3 away \(lunch\) since /),
    "bob3 is at 48.50000, 11.25000",
    expect.stringMatching(/^bob3 offline last seen /),
  ]);
});

test("chat shows in a terminal that the other types", async () => {
  const [ann, bob] = [chat("ann4", "bob4", 0), chat("bob4", "ann4", 1)];
  for (const { shown } of [ann, bob]) await eventually("the prompt", () => shown().includes("> "));
  ann.stdin.write("hello");
  await eventually("typing", () => bob.shown().includes("ann4 is typing…"));
  ann.stdin.write("\r");
  await eventually("the message", () => bob.shown().includes("ann4: hello"));
  ann.stdin.write("\u0004");
  bob.stdin.write("\u0003");
  await Promise.all([ann.ended, bob.ended]);
});

function chat(eid: string, to: string, gateway: number) {
  let bytes = "";
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.toString();
      done();
    },
  });
  const stdout = Object.assign(sink, { isTTY: true, columns: 200 });
  const context = { env: { NO_COLOR: "1" }, stdin, stdout, stderr: { write: () => true } };
  const ended = createProgram(context).parseAsync(["node", "bimip", "chat", ...as(eid, gateway), "--to", to]);
  return { stdin, shown: () => bytes, ended };
}
