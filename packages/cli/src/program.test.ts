// The commands in this process against a gateway in memory; the real stack is for the e2e tests.
// Longer than other files: a few lines for every command of the program, all against one scripted server.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { createVerifier } from "@bimip/auth";
import { ContactAction, encodeStanza, PingPongSchema, SignalStatus } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { awarenessOf } from "../../client/test-kit/fake-awareness.js";
import { FakeGateway } from "../../client/test-kit/fake-gateway.js";
import { UsageError } from "./cli-error.js";
import { createProgram } from "./program.js";

const SECRET = "a secret of at least thirty-two bytes";
const PING_HEX = "08031a060a0270311801";

let gateway: FakeGateway;
let dir: string;

beforeAll(async () => {
  gateway = await FakeGateway.start();
  dir = await mkdtemp(join(tmpdir(), "bimip-cli-"));
});

afterAll(async () => {
  await gateway.stop();
  await rm(dir, { recursive: true });
});

/** Runs one command line; rejects with what it throws. */
async function run(
  args: readonly string[],
  { stdin = "", env = {} }: { stdin?: string; env?: Record<string, string> } = {},
) {
  let [out, err] = ["", ""];
  const context = {
    env,
    stdin: Readable.from(stdin === "" ? [] : [Buffer.from(stdin)]),
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  };
  await createProgram(context).parseAsync(["node", "bimip", ...args]);
  return { out, err };
}

/** Runs one that fails with that text. */
async function runToEnd(args: readonly string[], options: { stdin?: string }, text: string) {
  let out = "";
  const stdin = Readable.from([Buffer.from(options.stdin ?? "")]);
  const context = {
    env: {},
    stdin,
    stdout: { write: (chunk: string) => (out += chunk) },
    stderr: { write: () => true },
  };
  await expect(createProgram(context).parseAsync(["node", "bimip", ...args])).rejects.toThrow(text);
  return { out };
}

const as = (eid: string, device: string) => ["--as", eid, "--token", `${eid}/${device}`, "--url", gateway.url];

describe("decode", () => {
  it("shows a stanza given as hex, as a file of either kind, or on standard input", async () => {
    const { out } = await run(["decode", PING_HEX]);
    expect(out).toMatch(/^pingPong \(field 3\), 10 bytes\n\{\n {2}"route": 3,/);
    expect(out).toContain('"type_name": "PING"');
    const binary = join(dir, "frame.bin");
    await writeFile(binary, Buffer.from(PING_HEX, "hex"));
    const text = join(dir, "frame.hex");
    await writeFile(text, "08 03 1a 06\n0a 02 70 31 18 01\n");
    for (const { out: other } of [
      await run(["decode", binary]),
      await run(["decode", text]),
      await run(["decode"], { stdin: PING_HEX }),
    ]) {
      expect(other).toBe(out);
    }
  });

  it("is one line with --json", async () => {
    const frame = encodeStanza("pingPong", create(PingPongSchema, { id: "a", type: 2 }));
    const { out } = await run(["decode", "--json", Buffer.from(frame).toString("hex")]);
    expect(JSON.parse(out)).toEqual({ route: 3, ping_pong: { id: "a", type: 2, type_name: "PONG" } });
    expect(out.trim().split("\n")).toHaveLength(1);
  });

  it("says what is wrong", async () => {
    await expect(run(["decode", "no-such-file"])).rejects.toThrow("no-such-file is neither hex nor a file");
    await expect(run(["decode", "ff"])).rejects.toMatchObject({ code: 400 });
    await expect(run(["decode"])).rejects.toThrow("no bytes");
  });
});

describe("token", () => {
  it("signs with the secret given, of the environment, or of the data directory", async () => {
    await writeFile(join(dir, "jwt-secret"), `${SECRET}\n`);
    const args = ["token", "--eid", "alice@example.com", "--device", "phone", "--expires", "15m"];
    const verifier = createVerifier({ secret: SECRET });
    const runs = [
      run([...args, "--secret", SECRET]),
      run(args, { env: { BIMIP_JWT_SECRET: SECRET } }),
      run(args, { env: { BIMIP_DATA_DIR: dir } }),
      run([...args, "--data-dir", dir]),
    ];
    for (const { out } of await Promise.all(runs)) {
      expect(await verifier.verify(out.trim(), {})).toMatchObject({ eid: "alice@example.com", device: "phone" });
    }
  });

  it("is one line with --json, and refuses what is no name or duration", async () => {
    const { out } = await run(["token", "--json", "--eid", "a", "--secret", SECRET, "--expires", "2h"]);
    expect(JSON.parse(out)).toMatchObject({ eid: "a", expiresInS: 7_200, token: expect.stringMatching(/^ey/) });
    await expect(run(["token", "--eid", "", "--secret", SECRET])).rejects.toThrow("--eid: is missing");
    await expect(run(["token", "--eid", "a", "--expires", "soon"])).rejects.toMatchObject({
      code: "commander.invalidArgument",
    });
    await expect(run(["token", "--eid", "a", "--data-dir", join(dir, "none")])).rejects.toThrow(/npm start/);
    await expect(run(["token", "--eid", "a", "--secret", "short"])).rejects.toThrow(/32/);
  });
});

describe("send, listen and chat", () => {
  it("send waits until it is stored; listen shows it", async () => {
    const sent = await run(["send", ...as("ann", "s"), "--to", "ben", "--json", "hello", "there"]);
    expect(JSON.parse(sent.out)).toMatchObject({ to: "ben", index: expect.any(Number) });
    const piped = await run(["send", ...as("ann", "s"), "--to", "ben", "--id", "m2"], { stdin: "from a pipe\n" });
    expect(piped.out).toMatch(/✓ stored at index \d+ of ben \(id m2\)/);
    const heard = await run(["listen", ...as("ben", "l"), "--count", "2", "--json"]);
    const messages = heard.out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(messages.map(({ text, from, kind, replayed }) => [kind, text, from.eid, replayed])).toEqual([
      ["message", "hello there", "ann", true],
      ["message", "from a pipe", "ann", true],
    ]);
    const shown = await run(["listen", ...as("ben", "l"), "--all", "--count", "1"]);
    expect(shown.out).toMatch(/^\d\d:\d\d ann: hello there\n$/);
  });

  it("send repeats a message with the id and the time that it had", async () => {
    const args = ["send", ...as("ann", "s"), "--to", "gil", "--id", "m7", "--timestamp", "1767225600000", "x"];
    const [first, second] = [await run(args), await run(args)];
    expect(second.out).toBe(first.out);
    expect(gateway.received.slice(-2).map(({ id, timestamp }) => [id, timestamp])).toEqual([
      ["m7", 1_767_225_600_000n],
      ["m7", 1_767_225_600_000n],
    ]);
    const soon = run(["send", ...as("ann", "s"), "--to", "gil", "--timestamp", "soon", "x"]);
    await expect(soon).rejects.toMatchObject({ code: "commander.invalidArgument" });
  });

  it("send takes nothing from the log", async () => {
    gateway.put("hal", "for a device that listens");
    const before = gateway.resumes.length;
    await run(["send", ...as("hal", "s"), "--to", "ben", "x"]);
    expect(gateway.resumes.slice(before)).toEqual(["manual"]);
  });

  it("listen goes on where it was: what --count left out comes the next time", async () => {
    for (const text of ["one", "two", "three"]) gateway.put("ida", text);
    const listen = async (count: number) => (await run(["listen", ...as("ida", "l"), "--count", String(count)])).out;
    expect(await listen(2)).toMatch(/one\n.*two\n$/);
    expect(await listen(1)).toMatch(/^\d\d:\d\d \S+ three\n$/);
  });

  it("listen --new skips what was stored", async () => {
    gateway.put("cleo", "old");
    const listening = run(["listen", ...as("cleo", "l"), "--new", "--count", "1"]);
    await expect.poll(() => [...gateway.sessions].some(({ eid, live }) => eid === "cleo" && live)).toBe(true);
    gateway.put("cleo", "new", "dan");
    const { out, err } = await listening;
    expect(out).toContain("dan: new\n");
    expect(out).not.toContain("old");
    expect(err).toContain("Ctrl-C ends");
  });

  it("chat sends each line of a pipe and ends when all is stored", async () => {
    gateway.put("eve", "earlier", "fay");
    gateway.put("eve", "of somebody else", "gus");
    const { out } = await run(["chat", ...as("eve", "c"), "--to", "fay"], { stdin: "one\n\ntwo\n" });
    expect(out).toMatch(/fay: earlier\n/);
    expect(out).toMatch(/\d eve: one ✓\n\d\d:\d\d eve: two ✓\n$/);
    expect(out).toContain("(1 unread)");
    expect(out).not.toContain("somebody else");
    expect(gateway.texts("fay")).toEqual(["one", "two"]);
    expect(gateway.receipts.filter(({ status, to }) => status === SignalStatus.READ && to?.eid === "fay")).toHaveLength(
      1,
    );
    const json = await run(["chat", ...as("eve", "c"), "--to", "fay", "--json"], { stdin: "three\n" });
    expect(
      json.out
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).event),
    ).toEqual(["sent"]);
  });

  it("chat shows how the conversation ended last time, with ticks", async () => {
    await run(["chat", ...as("jo", "c"), "--to", "kim"], { stdin: "first\nsecond\n" });
    const [first] = gateway.received.slice(-2);
    for (const status of [SignalStatus.DELIVERED, SignalStatus.READ]) {
      gateway.putReceipt("jo", { id: first?.id ?? "", from: { eid: "kim" }, status, monotonicId: 1n });
    }
    gateway.put("jo", "hello jo", "kim");
    const { out } = await run(["chat", ...as("jo", "c"), "--to", "kim"], { stdin: "third\n" });
    expect(
      out
        .replaceAll(/\d\d:\d\d /g, "")
        .split("\n")
        .slice(1),
    ).toEqual(["jo: first → kim ✓✓", "jo: second → kim ✓", "(1 unread)", "kim: hello jo", "jo: third ✓", ""]);
  });

  it("chat goes on without a history", async () => {
    gateway.queryFate = 500; // after a 503 it would be asked again first
    const { out } = await run(["chat", ...as("lea", "c"), "--to", "max"], { stdin: "x\n" });
    gateway.queryFate = "answer";
    expect(out).toMatch(/\(earlier messages cannot be shown: 500 fate 500\)\n.* lea: x ✓\n$/);
  });

  it("send and chat say it clearly when a block stands between", async () => {
    gateway.fate = () => ({ code: 403, details: "message.to.eid: does not take stanzas from you" });
    const { out } = await runToEnd(["chat", ...as("eve", "c"), "--to", "fay"], { stdin: "x\n" }, "1 not sent");
    expect(out).toContain("eve: x ✗ 403 fay takes nothing from you: they have blocked you");
    gateway.fate = () => ({ code: 403, details: "message.to.eid: is blocked by you, unblock first" });
    const blocked = "403 you have blocked fay; npx bimip contacts unblock fay ends that";
    await expect(run(["send", ...as("eve", "s"), "--to", "fay", "x"])).rejects.toMatchObject({
      message: blocked,
      code: 403,
    });
    gateway.fate = () => "store";
  });

  it("chat fails when something was refused", async () => {
    gateway.fate = () => 403;
    const { out } = await runToEnd(["chat", ...as("eve", "c"), "--to", "fay"], { stdin: "x\n" }, "1 not sent");
    expect(out).toContain("eve: x ✗ 403 fate 403");
    gateway.fate = () => "store";
  });

  it("says clearly why there is no connection", async () => {
    const nobody = ["send", "--as", "a", "--secret", SECRET, "--to", "b", "x"];
    await expect(run([...nobody, "--url", "ws://127.0.0.1:1/v1/ws"])).rejects.toThrow(
      /^cannot connect to ws:\/\/127\.0\.0\.1:1\/v1\/ws: .*ECONNREFUSED/,
    );
    await expect(run([...nobody, "--url", "here"])).rejects.toThrow(/not a ws:\/\//);
    const bad = ["send", "--as", "a", "--token", "bad", "--url", gateway.url, "--to", "b", "x"];
    await expect(run(bad)).rejects.toThrow("401 token: the signature is wrong");
    await expect(run(["send", "--to", "b", "x"])).rejects.toMatchObject({
      name: "UsageError",
      message: expect.stringMatching(/--as/),
    });
  });
});

describe("history and unread", () => {
  it("print the last messages, and what is unread", async () => {
    for (let n = 1; n <= 3; n++) gateway.put("nia", `t${n}`, "otto");
    gateway.put("nia", "from pat", "pat");
    await run(["send", ...as("nia", "s"), "--to", "otto", "mine"]);
    const history = async (...args: string[]) => (await run(["history", ...as("nia", "h"), ...args])).out;
    const lines = async (...args: string[]) =>
      (await history(...args))
        .replaceAll(/\d\d:\d\d /g, "")
        .trim()
        .split("\n");
    expect(await lines("--with", "otto", "--limit", "3")).toEqual(["otto: t2", "otto: t3", "nia: mine → otto ✓"]);
    expect(await lines()).toHaveLength(5);
    const json = (await history("--limit", "1", "--json")).trim();
    expect(JSON.parse(json)).toMatchObject({ kind: "message", text: "mine", own: true, receipts: [] });
    const { out } = await run(["unread", ...as("nia", "u")]);
    expect(out).toBe("   3  otto\n   1  pat\n   4  unread\n");
    const { out: one } = await run(["unread", ...as("nia", "u"), "--with", "pat", "--json"]);
    expect(JSON.parse(one)).toEqual({ total: 1, rows: [{ with: "pat", count: 1, lastIndex: expect.any(Number) }] });
  });
});

describe("contacts", () => {
  const contacts = (who: string, ...args: string[]) => run(["contacts", ...args, ...as(who, "c")]);

  it("are listed", async () => {
    gateway.awareness.lists.set("quin", [
      { eid: "ruth", words: "follower asks-contact" },
      { eid: "otto", words: "contact", precisionM: 500 },
    ]);
    const { out } = await contacts("quin");
    expect(out).toBe(
      "otto  contact                           your location to 500 m\nruth  follows you, asks to be contacts\n",
    );
    expect((await contacts("quin", "list")).out).toBe(out);
    const lines = (await contacts("quin", "--json")).out.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { eid: "ruth", state: "none", follower: true, askedByThem: "contact" },
      { eid: "otto", state: "contact", locationPrecisionM: 500 },
    ]);
    const nobody = await contacts("nobody");
    expect([nobody.out, nobody.err]).toEqual(["", "nobody yet: npx bimip contacts add <eid> --as nobody\n"]);
  });

  it("are asked, answered, ended and blocked", async () => {
    const { contacts: came } = gateway.awareness;
    came.length = 0;
    const done = [
      await contacts("sue", "add", "tom", "--details", "it's Sue", "--precision", "100"),
      await contacts("sue", "add", "news", "--follow"),
      await contacts("sue", "accept", "uma", "--precision", "none"),
      await contacts("sue", "deny", "uma"),
      await contacts("sue", "remove", "tom"),
      await contacts("sue", "block", "tom"),
      await contacts("sue", "unblock", "tom"),
    ];
    expect(done.map(({ out }) => out)).toEqual([
      "tom: you asked to be contacts\n",
      "news: you asked to follow\n",
      "uma: follows you\n",
      "uma: denied\n",
      "tom: removed\n",
      "tom: blocked\n",
      "tom: not blocked\n",
    ]);
    const asked = came.filter(({ action }) => action !== ContactAction.LIST);
    expect(
      asked.map(({ action, relationship, locationPrecisionM }) => [action, relationship, locationPrecisionM]),
    ).toEqual([
      [ContactAction.REQUEST, 2, 100],
      [ContactAction.REQUEST, 1, 0],
      [ContactAction.ACCEPT, 0, -1],
      [ContactAction.DENY, 0, 0],
      [ContactAction.REMOVE, 0, 0],
      [ContactAction.BLOCK, 0, 0],
      [ContactAction.UNBLOCK, 0, 0],
    ]);
    expect(asked[0]?.details).toBe("it's Sue");
    const [added, removed] = [
      await contacts("sue", "add", "tom", "--json"),
      await contacts("sue", "remove", "tom", "--json"),
    ];
    expect([added, removed].map(({ out }) => JSON.parse(out))).toMatchObject([
      { eid: "tom", askedByMe: "contact" },
      { eid: "tom", done: "removed" },
    ]);
  });

  it("say what stands in the way", async () => {
    const refuse = (code: number, details: string): void => {
      gateway.awareness.contactFate = ({ action }) =>
        action === ContactAction.LIST
          ? "answer"
          : code === 0
            ? { action: ContactAction.ERROR, to: { eid: "x" }, details }
            : { code, details };
    };
    refuse(403, "awareness_contact.to.eid: does not take stanzas from you");
    await expect(contacts("sue", "add", "tom")).rejects.toMatchObject({
      message: "403 tom takes nothing from you: they have blocked you",
      code: 403,
    });
    refuse(409, "awareness_contact.to.eid: is blocked by you, unblock first");
    await expect(contacts("sue", "add", "tom")).rejects.toThrow(
      "409 you have blocked tom; npx bimip contacts unblock tom ends that",
    );
    refuse(409, "awareness_contact.to.eid: you have 5000 contacts, the most there may be");
    await expect(contacts("sue", "add", "tom")).rejects.toThrow("409 awareness_contact.to.eid: you have 5000");
    refuse(0, "to.eid: has no request that waits");
    await expect(contacts("sue", "deny", "tom")).rejects.toThrow("404 tom has asked nothing that waits for an answer");
    gateway.awareness.contactFate = () => "answer";
  });
});

describe("watch", () => {
  it("shows who is there, and what changes", async () => {
    gateway.awareness.people.set("vic", [
      awarenessOf("bob", { status: 3, details: "lunch" }),
      awarenessOf("ann", { status: 2 }),
    ]);
    const watching = run(["watch", ...as("vic", "w"), "--count", "3", "--status", "busy", "--details", "writing"]);
    await expect.poll(() => gateway.awareness.told.at(-1)?.details).toBe("writing");
    gateway.awareness.tell("vic", awarenessOf("bob", { status: 1 }));
    const { out } = await watching;
    expect(out.replaceAll(/\d\d:\d\d /g, "")).toBe("bob away (lunch)\nann offline\nbob online\n");
    expect(gateway.awareness.told.at(-1)).toMatchObject({ type: 1, status: 4 });
  });

  it("says nothing of itself unless told to, and prints JSON", async () => {
    const before = gateway.awareness.told.length;
    gateway.awareness.people.set("wes", [awarenessOf("bob", { status: 3, locationSharing: 1, latitude: 1 })]);
    const { out } = await run(["watch", ...as("wes", "w"), "--count", "1", "--json"]);
    expect(JSON.parse(out)).toMatchObject({ event: "presence", eid: "bob", status: "away" });
    expect(gateway.awareness.told).toHaveLength(before);
    await expect(run(["watch", "--status", "gone", ...as("wes", "w")])).rejects.toMatchObject({
      code: "commander.invalidArgument",
    });
    const bad = ["watch", "--as", "a", "--token", "bad", "--url", gateway.url];
    await expect(run(bad)).rejects.toThrow("401 token: the signature is wrong");
  });
});

describe("export and erase", () => {
  it("say what is missing", async () => {
    await expect(run(["erase", "ann", "--nats", "127.0.0.1:1"])).rejects.toMatchObject({
      name: "UsageError",
      message: /--yes/,
    });
    await expect(run(["export", ""])).rejects.toMatchObject({ name: "UsageError", message: "<eid>: is missing" });
    await expect(run(["export", "ann", "--data-dir", join(dir, "none")])).rejects.toThrow(
      /no NATS to ask: .*npm start/,
    );
    await expect(run(["erase", "ann", "--yes"], { env: { NATS_URL: "nats://me:secret@127.0.0.1:1" } })).rejects.toThrow(
      /^cannot connect to NATS at nats:\/\/…@127\.0\.0\.1:1: /,
    );
  });
});

describe("usage", () => {
  it.each([
    [["chat", "--as", "a"], "commander.missingMandatoryOptionValue"],
    [["lissten"], "commander.unknownCommand"],
    [["listen", "--count", "0"], "commander.invalidArgument"],
    [["up", "--port", "70000"], "commander.invalidArgument"],
    [["decode", "--colour"], "commander.unknownOption"],
    [["contacts", "add", "--as", "a"], "commander.missingArgument"],
    [["contacts", "add", "bob", "--precision", "-5"], "commander.invalidArgument"],
  ])("%j is %s", async (args, code) => {
    await expect(run(args)).rejects.toMatchObject({ code });
  });

  it("an action that there is not is named, with those that there are", async () => {
    const wrong = run(["contacts", "befriend", "bob"]);
    await expect(wrong).rejects.toBeInstanceOf(UsageError);
    await expect(wrong).rejects.toThrow("unknown action befriend: contacts takes list, add, accept, deny");
  });

  it.each([
    "up",
    "token",
    "chat",
    "send",
    "listen",
    "history",
    "unread",
    "contacts",
    "watch",
    "decode",
    "export",
    "erase",
  ])("%s --help has examples", async (name) => {
    await expect(run([name, "--help"])).rejects.toMatchObject({ code: "commander.helpDisplayed", exitCode: 0 });
  });
});
