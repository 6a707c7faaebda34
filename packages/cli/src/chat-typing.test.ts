// Typing in a chat between two terminals, against a gateway of this process.
import { PassThrough, Writable } from "node:stream";
import { encodeStanza, SignalSchema, SignalStatus } from "@bimip/protocol";
import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, expect, it } from "vitest";
import { errorFrame } from "../../client/test-kit/fake-frames.js";
import { FakeGateway } from "../../client/test-kit/fake-gateway.js";
import { screenOf } from "../test-kit/screen.js";
import { createProgram } from "./program.js";

const COLUMNS = 200;

let gateway: FakeGateway;
beforeAll(async () => {
  gateway = await FakeGateway.start();
});
afterAll(() => gateway.stop());

/** A chat of one person in a terminal. */
function chat(eid: string, to: string) {
  let bytes = "";
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      bytes += chunk.toString();
      done();
    },
  });
  const stdout = Object.assign(sink, { isTTY: true, columns: COLUMNS });
  const context = { env: { NO_COLOR: "1" }, stdin, stdout, stderr: { write: () => true } };
  const args = ["chat", "--as", eid, "--token", `${eid}/cli`, "--url", gateway.url, "--to", to];
  const ended = createProgram(context).parseAsync(["node", "bimip", ...args]);
  return { type: (text: string) => stdin.write(text), screen: () => screenOf(bytes, COLUMNS), ended };
}

it("is told while one types, shown to the other above the prompt, and gone with the message", async () => {
  const [ann, bob] = [chat("ann", "bob"), chat("bob", "ann")];
  for (const { screen } of [ann, bob]) await expect.poll(() => screen().at(-1)).toBe(">");
  ann.type("hel");
  await expect.poll(() => bob.screen().slice(-2)).toEqual(["ann is typing…", ">"]);
  bob.type("half a thou");
  await expect.poll(() => ann.screen().slice(-2)).toEqual(["bob is typing…", "> hel"]);
  ann.type("lo\r");
  await expect.poll(() => bob.screen().slice(-2)).toEqual([expect.stringMatching(/ ann: hello$/), "> half a thou"]);
  // Of Ann's own line above, and that Bob still types.
  await expect.poll(() => ann.screen().slice(-2)).toEqual(["bob is typing…", ">"]);
  expect(bob.screen().filter((line) => line.includes("typing"))).toEqual([]);
  ann.type("\u0004");
  bob.type("\u0003");
  await Promise.all([ann.ended, bob.ended]);
});

it("is not told to who refuses it; that is said once", async () => {
  const cleo = chat("cleo", "dan");
  await expect.poll(() => cleo.screen().at(-1)).toBe(">");
  const refusal = { code: 403, details: "signal.to.eid: does not take stanzas from you" };
  for (let n = 0; n < 2; n++) gateway.broadcast(errorFrame(refusal, ""));
  const typing = create(SignalSchema, { type: 1, status: SignalStatus.TYPING, from: { eid: "dan" } });
  gateway.broadcast(encodeStanza("signal", typing));
  const said = "(403 dan takes nothing from you: they have blocked you)";
  await expect.poll(() => cleo.screen().slice(-3)).toEqual([said, "dan is typing…", ">"]);
  cleo.type("\u0003");
  await cleo.ended;
  expect(cleo.screen().filter((line) => line === said)).toHaveLength(1);
});
